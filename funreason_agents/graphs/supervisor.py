"""The supervisor: N turns over one persisting state. Its edges are code, not a model's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.graphs.compose import as_node
from funreason_agents.graphs.conversation import to_state
from funreason_agents.graphs.environment_explorer import create_environment_explorer
from funreason_agents.graphs.query_writer import create_query_writer
from funreason_agents.graphs.reasoner_critic import create_reasoner_critic
from funreason_agents.graphs.state import (
    Json,
    SupervisorInput,
    SupervisorOutput,
    SupervisorState,
)
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.tasks import TurnTask
from funreason_agents.schemas.trajectory import RejectedTurn, Trajectory, Turn
from funreason_agents.seeding import derive_seed

STAGES = ("environment_explorer", "query_writer", "reasoner_critic")


def create_supervisor(
    *,
    environment: Environment,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | RoleModels | None = None,
    sessions: SessionPool | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "supervisor",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that makes one trajectory.

    Input: `seed` of the run and `index` of the trajectory, 0 by default. Output: `status`
    (`"accepted"` or `"rejected"`) and `trajectory`. A world or provider that breaks raises; the
    thread then stays at its last checkpoint, and invoking it again with `None` goes on from there.

    Args:
        environment: Where the trajectory takes place.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role.
        sessions: Live sessions to share with other graphs.
        checkpointer: None inherits the parent's, or the server's.
        name: Shown in Studio and logs.

    Raises:
        ConfigurationError: a model string is unknown or its key is missing.
    """
    roles = models if isinstance(models, RoleModels) else load_models(model, models)
    pool = sessions or SessionPool(environment)
    explorer = create_environment_explorer(environment=environment, sessions=pool)
    writer = create_query_writer(environment=environment, models=roles)
    reasoner = create_reasoner_critic(environment=environment, models=roles, sessions=pool)
    builder = StateGraph(
        SupervisorState,
        context_schema=SynthesisContext,
        input_schema=SupervisorInput,
        output_schema=SupervisorOutput,
    )
    builder.add_node("plan", _plan)
    builder.add_node("environment_explorer", as_node(explorer, read=_ask_explorer, write=_take))
    builder.add_node("query_writer", as_node(writer, read=_ask_writer, write=_take))
    builder.add_node("reasoner_critic", as_node(reasoner, read=_ask_reasoner, write=_take))
    builder.add_node("settle_turn", _settle_turn)
    builder.add_node("assemble", _assemble(environment, roles))
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "environment_explorer")
    builder.add_conditional_edges(
        "environment_explorer", _unless_rejected("query_writer"), ["query_writer", "settle_turn"]
    )
    builder.add_conditional_edges(
        "query_writer", _unless_rejected("reasoner_critic"), ["reasoner_critic", "settle_turn"]
    )
    builder.add_edge("reasoner_critic", "settle_turn")
    builder.add_conditional_edges("settle_turn", _after_turn, ["environment_explorer", "assemble"])
    builder.add_edge("assemble", END)
    return builder.compile(checkpointer=checkpointer, name=name)


def _plan(state: SupervisorState, runtime: Runtime[SynthesisContext]) -> Json:
    seed, index = state.get("seed", 0), state.get("index", 0)
    return {
        "seed": seed,
        "index": index,
        "environment_seed": derive_seed(seed, index, "environment"),
        "turn": 0,
        "turn_attempt": 1,
        "state_hash": None,
        "status": "running",
        "trajectory": None,
        "finished": False,
        # An earlier run on the same thread may have left some.
        "turns": Overwrite([]),
        "rejected_turns": Overwrite([]),
        **_EMPTY,
    }


_EMPTY: Json = {
    "call_trace": None,
    "turn_task": None,
    "attempt": None,
    "verdict": None,
    "critiques": [],
    "rejection": None,
    "target": None,
}


def _conversation(state: SupervisorState) -> list[Json]:
    return [
        item
        for entry in state.get("turns", [])
        for item in to_state(entry["turn"]["query"], entry["turn"]["attempt"], entry["key"])
    ]


def _place(state: SupervisorState) -> Json:
    return {
        "run_seed": state["seed"],
        "index": state["index"],
        "turn": state["turn"],
        "turn_attempt": state["turn_attempt"],
        "conversation": _conversation(state),
    }


def _ask_explorer(state: SupervisorState) -> Json:
    asked = {**_place(state), "environment_seed": state["environment_seed"]}
    return {**asked, "state_hash": state["state_hash"]} if state["state_hash"] else asked


def _ask_writer(state: SupervisorState) -> Json:
    return {**_place(state), "call_trace": state["call_trace"]}


def _ask_reasoner(state: SupervisorState) -> Json:
    return {"turn_task": state["turn_task"], "conversation": _conversation(state)}


def _take(output: Json) -> Json:
    return output


def _unless_rejected(node: str) -> Callable[[SupervisorState], str]:
    return lambda state: "settle_turn" if state.get("rejection") else node


def _settle_turn(state: SupervisorState, runtime: Runtime[SynthesisContext]) -> Json:
    """Keep an accepted turn; note a rejected one, whose target is then drawn anew."""
    context = SynthesisContext.resolve(runtime.context)
    update = _close_turn(state)
    spent = update["turn_attempt"] > context.turn_attempts
    finished = spent or update.get("turn", state["turn"]) >= context.turns
    return {**update, "finished": finished, **_EMPTY}


def _close_turn(state: SupervisorState) -> Json:
    if state.get("rejection"):
        rejected = _describe_rejection(state)
        return {
            "rejected_turns": [
                {"key": f"{state['turn']}/{state['turn_attempt']}", "turn": rejected.to_json()}
            ],
            "turn_attempt": state["turn_attempt"] + 1,
        }
    task = TurnTask.model_validate(state["turn_task"])
    turn = Turn.model_validate(
        {
            "index": state["turn"],
            "query": task.query,
            "advanced_tool": task.advanced_tool.to_json(),
            "trace": task.trace.to_json(),
            "attempt": state["attempt"],
            "verdict": state["verdict"],
            "turn_attempt": state["turn_attempt"],
        }
    )
    return {
        "turns": [{"key": str(state["turn"]), "turn": turn.to_json()}],
        "turn": state["turn"] + 1,
        "turn_attempt": 1,
        "state_hash": turn.trace.state_after,
    }


def _describe_rejection(state: SupervisorState) -> RejectedTurn:
    reached = [state.get("call_trace"), state.get("turn_task")]
    task = state.get("turn_task")
    verdict = state.get("verdict")
    return RejectedTurn.model_validate(
        {
            "turn": state["turn"],
            "turn_attempt": state["turn_attempt"],
            "target": state["target"],
            "stage": STAGES[sum(each is not None for each in reached)],
            "reason": state["rejection"],
            "query": task["query"] if task else None,
            "trace": state.get("call_trace"),
            "attempt": state.get("attempt"),
            "checks": verdict["checks"] if verdict else [],
            "critiques": state.get("critiques") or [],
        }
    )


def _after_turn(state: SupervisorState) -> str:
    # Of the state alone: `update_state`, as a human's edit in Studio, knows no context.
    return "assemble" if state["finished"] else "environment_explorer"


def _assemble(environment: Environment, roles: RoleModels) -> Callable[..., Json]:
    def assemble(
        state: SupervisorState, runtime: Runtime[SynthesisContext], config: RunnableConfig
    ) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        turns = [Turn.model_validate(item["turn"]) for item in state.get("turns", [])]
        status = "accepted" if len(turns) == context.turns else "rejected"
        trajectory = Trajectory(
            thread_id=str(config.get("configurable", {}).get("thread_id", "")),
            environment_id=environment.id,
            tools_hash=environment.tools_hash,
            models=roles.ids,
            environment_seed=state["environment_seed"],
            run_seed=state["seed"],
            index=state["index"],
            status=status,
            turns=tuple(turns),
            rejected_turns=tuple(
                RejectedTurn.model_validate(item["turn"])
                for item in state.get("rejected_turns", [])
            ),
            planned_turns=context.turns,
        )
        return {"status": status, "trajectory": trajectory.to_json()}

    return assemble
