"""The query writer: call trace -> advanced tool -> query that passes the deterministic gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ModelOutputError
from funreason_agents.graphs.agents import find_missing_inputs, make_advanced_tool, write_query
from funreason_agents.graphs.conversation import from_state
from funreason_agents.graphs.retry import MODEL_RETRY
from funreason_agents.graphs.state import Json, Node, WriterInput, WriterOutput, WriterState
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, TurnTask
from funreason_agents.seeding import rng
from funreason_agents.verification.derivations import facts_of
from funreason_agents.verification.query_gate import find_query_problems, supplied_leaves

PERSONAS = (
    "a busy office worker", "a retired teacher", "a student", "a small-business owner",
    "a parent with little time", "a careful planner", "a newcomer to the service",
)  # fmt: skip
TONES = ("friendly", "terse", "polite", "chatty", "matter-of-fact")


def create_query_writer(
    *,
    environment: Environment,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | RoleModels | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "query_writer",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that turns a call trace into a turn task.

    Input: `call_trace`; optionally `run_seed`, `index`, `turn`, and the `conversation` before.
    Output: `turn_task`, or `rejection` with the reason why there is none.

    Args:
        environment: Whose tools the trace called.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role (`tooling`, `querying`).
        checkpointer: Only for use on its own; nested, the parent's is used.
        name: Shown in Studio and logs.

    Raises:
        ConfigurationError: a model string is unknown or its key is missing.
    """
    roles = models if isinstance(models, RoleModels) else load_models(model, models)
    builder = StateGraph(
        WriterState,
        context_schema=SynthesisContext,
        input_schema=WriterInput,
        output_schema=WriterOutput,
    )
    builder.add_node("make_advanced_tool", _make_tool(environment, roles), retry_policy=MODEL_RETRY)
    builder.add_node("write_query", _write(roles), retry_policy=MODEL_RETRY)
    builder.add_node("gate_query", _gate(environment))
    builder.add_edge(START, "make_advanced_tool")
    builder.add_conditional_edges("make_advanced_tool", _after_tool, ["write_query", END])
    builder.add_conditional_edges("write_query", _after_write, ["gate_query", END])
    builder.add_conditional_edges("gate_query", _after_gate, ["write_query", END])
    return builder.compile(checkpointer=checkpointer, name=name)


def _after_tool(state: WriterState) -> str:
    return END if state.get("rejection") else "write_query"


def _after_write(state: WriterState) -> str:
    return END if state.get("rejection") else "gate_query"


def _after_gate(state: WriterState) -> str:
    return END if state.get("turn_task") or state.get("rejection") else "write_query"


def _make_tool(environment: Environment, roles: RoleModels) -> Node[WriterState]:
    def make_tool(state: WriterState, runtime: Runtime[SynthesisContext]) -> Json:
        trace = CallTrace.model_validate(state["call_trace"])
        facts = facts_of(from_state(state.get("conversation", [])))
        update: Json = {"turn_task": None, "rejection": None, "problems": [], "query_rounds": 0}
        try:
            tool = make_advanced_tool(roles.tooling, trace, environment.tools, facts)
        except ModelOutputError:
            return {**update, "rejection": "unparseable_answer"}
        needed = list(supplied_leaves(trace, environment.tools))
        if find_missing_inputs(tool, needed):
            return {**update, "rejection": "incomplete_advanced_tool"}
        return {**update, "advanced_tool": tool.to_json()}

    return make_tool


def _write(roles: RoleModels) -> Node[WriterState]:
    def write(state: WriterState, runtime: Runtime[SynthesisContext]) -> Json:
        tool = AdvancedTool.model_validate(state["advanced_tool"])
        conversation = [
            message.content
            for message in from_state(state.get("conversation", []))
            if message.role in ("user", "assistant") and message.content
        ]
        noise = _draw_noise(state)
        try:
            query = write_query(
                roles.querying, tool, conversation, noise, state.get("problems", [])
            )
        except ModelOutputError:
            return {"rejection": "unparseable_answer"}
        return {"query": query, "query_rounds": state.get("query_rounds", 0) + 1}

    return write


def _draw_noise(state: WriterState) -> Json:
    """Realise the paper's synthesis noise as persona, tone and a variant, keyed by the turn."""
    generator = rng(
        state.get("run_seed", 0),
        state.get("index", 0),
        state.get("turn", 0),
        state.get("turn_attempt", 1),
        "noise",
    )
    return {
        "persona": generator.choice(PERSONAS),
        "tone": generator.choice(TONES),
        "variant": generator.randrange(60),
    }


def _gate(environment: Environment) -> Node[WriterState]:
    def gate(state: WriterState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        trace = CallTrace.model_validate(state["call_trace"])
        facts = facts_of(from_state(state.get("conversation", [])))
        problems = find_query_problems(state["query"], trace, environment.tools, facts)
        if problems:
            spent = state["query_rounds"] >= context.query_rounds
            return {"problems": problems, "rejection": "query_gate" if spent else None}
        task = TurnTask(
            query=state["query"],
            advanced_tool=AdvancedTool.model_validate(state["advanced_tool"]),
            trace=trace,
            query_rounds=state["query_rounds"],
        )
        return {"turn_task": task.to_json(), "problems": []}

    return gate
