"""The query writer: call trace -> advanced tool -> query that passes the deterministic gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ModelOutputError
from funreason_agents.graphs.agents import (
    find_missing_inputs,
    judge_query,
    make_advanced_tool,
    strip_leaks,
    write_query,
)
from funreason_agents.graphs.conversation import from_state
from funreason_agents.graphs.noise import draw_noise
from funreason_agents.graphs.state import (
    Json,
    Node,
    WriterInput,
    WriterOutput,
    WriterState,
    scope_of,
)
from funreason_agents.hard_turns.planning import (
    Scene,
    make_foreign_tool,
    plan_hard_turn,
    set_task,
)
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.tasks import (
    AdvancedTool,
    CallTrace,
    HardTurn,
    HardTurnKind,
    OuterInput,
)
from funreason_agents.schemas.trajectory import Message, calls_of
from funreason_agents.seeding import rng
from funreason_agents.verification.derivations import DIRECT, Facts, facts_of, find_derivation
from funreason_agents.verification.query_gate import CHOICE, find_query_problems, supplied_leaves
from funreason_agents.verification.references import plan_reference
from funreason_agents.verification.values import fold, same_value

IDLE = {"missing_function", "missing_parameter", "irrelevance"}
ENGLISH = ("English",)
"""Where the right answer is words alone, code reads these, and its rules are English."""


def create_query_writer(
    *,
    environment: Environment,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | RoleModels | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "query_writer",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that turns a call trace into a turn task.

    Input: `call_trace`; optionally `run_seed`, `index`, `turn`, the `turn_kind` to make of it, and
    the `conversation` before. Output: `turn_task`, or `rejection` with the reason why there is
    none. A turn that takes two messages of the user has the second one as `then` of the first.

    Args:
        environment: Whose tools the trace called.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role (`tooling`, `querying`, `judging`).
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
    builder.add_node("make_advanced_tool", _make_tool(environment, roles))
    builder.add_node("write_query", _write(environment, roles))
    builder.add_edge(START, "make_advanced_tool")
    builder.add_conditional_edges("make_advanced_tool", _go_on, ["write_query", END])
    builder.add_conditional_edges("write_query", _go_on, ["write_query", END])
    return builder.compile(checkpointer=checkpointer, name=name)


def _go_on(state: WriterState) -> str:
    return END if state.get("turn_task") or state.get("rejection") else "write_query"


_FORGET: Json = {
    **dict.fromkeys(("run_seed", "index", "turn", "turn_attempt", "turn_kind")),
    "conversation": Overwrite([]),
}
"""Ends a run: whoever invokes the thread again without these inputs wants the defaults."""


def _place(state: WriterState) -> tuple[int, int, int, int]:
    """Return the key of every draw: (run seed, index, turn, turn attempt)."""
    return (
        state.get("run_seed") or 0,
        state.get("index") or 0,
        state.get("turn") or 0,
        state.get("turn_attempt") or 1,
    )


def _rng(state: WriterState, purpose: str) -> Random:
    return rng(*_place(state), purpose)


def _make_tool(environment: Environment, roles: RoleModels) -> Node[WriterState]:
    def make_tool(state: WriterState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        trace = CallTrace.model_validate(state["call_trace"])
        conversation = from_state(state.get("conversation", []))
        facts = facts_of(conversation)
        update: Json = {"turn_task": None, "rejection": None, "problems": [], "query_rounds": 0}
        tool = None
        if trace.calls:
            scope = scope_of(runtime, "make_advanced_tool")
            try:
                tool = make_advanced_tool(roles.tooling, trace, environment.tools, facts, scope)
            except ModelOutputError:
                return {**update, **_FORGET, "rejection": "unparseable_answer"}
            needed = list(supplied_leaves(trace, environment.tools))
            if find_missing_inputs(tool, needed):
                return {**update, **_FORGET, "rejection": "incomplete_advanced_tool"}
            tool = strip_leaks(tool, trace, [value for _, value in needed])
            if tool is None:
                return {**update, **_FORGET, "rejection": "leaky_advanced_tool"}
        hard = _plan(state, context, environment, trace, tool, conversation)
        if isinstance(hard, str):
            return {**update, **_FORGET, "rejection": hard}
        if tool is None:
            assert hard is not None, "a trace without calls is for irrelevance"
            tool = make_foreign_tool(hard, _rng(state, "foreign"))
        if context.reference_rate:
            tool = _refer(tool, trace, environment, facts)
        return {
            **update,
            "advanced_tool": tool.to_json(),
            "hard": hard.to_json() if hard else None,
        }

    return make_tool


def _plan(
    state: WriterState,
    context: SynthesisContext,
    environment: Environment,
    trace: CallTrace,
    tool: AdvancedTool | None,
    conversation: Sequence[Message],
) -> HardTurn | str | None:
    """Return what makes the turn hard; why the trace does not serve for that; None if plain."""
    kind = state.get("turn_kind") or "plain"
    if kind == "plain":
        return None
    scene = Scene(
        trace=trace,
        tool=tool,
        tools=environment.tools,
        before=facts_of(conversation),
        called=frozenset(call.name for call in calls_of(conversation)),
        context=context,
        generator=_rng(state, "hard_turn"),
    )
    return plan_hard_turn(cast(HardTurnKind, kind), scene)


def _refer(
    tool: AdvancedTool, trace: CallTrace, environment: Environment, facts: Facts
) -> AdvancedTool:
    """Have what was said before referred to, wherever there are words that resolve to it."""
    needed = [each for each in supplied_leaves(trace, environment.tools) if each[0] != CHOICE]
    inputs = []
    for each in tool.inputs:
        labels = [label for label, value in needed if same_value(value, each.value)]
        words = plan_reference(labels[0], each.value, facts) if labels else None
        inputs.append(each.model_copy(update={"reference": words}))
    return tool.model_copy(update={"inputs": tuple(inputs)})


def _write(environment: Environment, roles: RoleModels) -> Node[WriterState]:
    def write(state: WriterState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        trace = CallTrace.model_validate(state["call_trace"])
        tool = AdvancedTool.model_validate(state["advanced_tool"])
        hard = HardTurn.model_validate(state["hard"]) if state.get("hard") else None
        conversation = from_state(state.get("conversation", []))
        said = [m.content for m in conversation if m.role in ("user", "assistant") and m.content]
        scope, kind = scope_of(runtime, "write_query"), hard.kind if hard else "plain"
        omitted = hard.omitted if hard else None
        noise = draw_noise(*_place(state), ENGLISH if kind in IDLE else context.languages)
        shown = _without(tool, omitted)
        rounds = state.get("query_rounds", 0) + 1
        try:
            query = write_query(roles.querying, shown, said, noise, state["problems"], scope)
            problems = find_query_problems(
                query,
                trace,
                environment.tools,
                facts_of(conversation),
                omitted=[omitted.value] if omitted else (),
                allowed=() if trace.calls else [each.value for each in shown.inputs],
            )
            problems += _missing_foreign_inputs(query, shown) if not trace.calls else []
            if any(fold(problem) in fold(query) for problem in state["problems"]):
                problems.append("it repeats why the one before was refused")
            if not problems and context.judge_queries:
                refusal = judge_query(roles.judging, query, shown, said, scope)
                problems = [refusal] if refusal else []
        except ModelOutputError:
            return {**_FORGET, "rejection": "unparseable_answer"}
        if problems:
            refused: Json = {"problems": problems, "query_rounds": rounds}
            spent = rounds >= context.query_rounds
            return {**refused, **_FORGET, "rejection": "query_gate"} if spent else refused
        task = set_task(query, tool, trace, rounds, hard, _rng(state, "follow_up"))
        made = {"query": query, "turn_task": task.to_json()}
        return {**_FORGET, **made, "query_rounds": rounds, "problems": []}

    return write


def _without(tool: AdvancedTool, omitted: OuterInput | None) -> AdvancedTool:
    if omitted is None:
        return tool
    kept = [each for each in tool.inputs if not same_value(each.value, omitted.value)]
    return tool.model_copy(update={"inputs": tuple(kept)})


def _missing_foreign_inputs(query: str, tool: AdvancedTool) -> list[str]:
    said = Facts().add_text(query)
    return [
        f"the value for {each.label!r} is missing"
        for each in tool.inputs
        if find_derivation(each.value, said) not in DIRECT
    ]
