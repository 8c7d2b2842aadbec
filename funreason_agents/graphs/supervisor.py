"""The supervisor: N turns over one persisting state. Its edges are code, not a model's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

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
from funreason_agents.graphs.environment_explorer import make_explore
from funreason_agents.graphs.query_writer import create_query_writer
from funreason_agents.graphs.reasoner_critic import create_reasoner_critic
from funreason_agents.graphs.review import BY_REVIEWER, is_due, make_review
from funreason_agents.graphs.state import (
    ExplorerInput,
    Json,
    Node,
    SupervisorInput,
    SupervisorOutput,
    SupervisorState,
    merge_by_key,
)
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.tasks import TurnKind, TurnTask
from funreason_agents.schemas.trajectory import RejectedTurn, Trajectory, Turn
from funreason_agents.seeding import derive_seed, rng

T = TypeVar("T", Turn, RejectedTurn)
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

    Where the context's `review` wants a person, it stops by `interrupt()` with a `ReviewRequest`;
    `Command(resume=...)` with a `ReviewDecision` as JSON, and the same context, goes on.

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
    writer = create_query_writer(environment=environment, models=roles)
    reasoner = create_reasoner_critic(environment=environment, models=roles, sessions=pool)
    builder = StateGraph(
        SupervisorState,
        context_schema=SynthesisContext,
        input_schema=SupervisorInput,
        output_schema=SupervisorOutput,
    )
    builder.add_node("plan", _plan)
    builder.add_node("environment_explorer", _explore(environment, pool))
    # What it makes is in the task that it returns; a run that is killed asks for it anew.
    write = as_node(writer, read=_ask_writer, write=dict, durability="exit")
    builder.add_node("query_writer", write)
    builder.add_node("reasoner_critic", as_node(reasoner, read=_ask_reasoner, write=dict))
    builder.add_node("settle_turn", _settle_turn(environment, roles))
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "environment_explorer")
    builder.add_conditional_edges(
        "environment_explorer", _unless_rejected("query_writer"), ["query_writer", "settle_turn"]
    )
    builder.add_node("review_query", make_review("query", environment, pool, _conversation))
    builder.add_node("review_turn", make_review("turn", environment, pool, _conversation))
    for node in ("query_writer", "review_query"):
        builder.add_conditional_edges(
            node, _after_query, ["review_query", "reasoner_critic", "settle_turn"]
        )
    for node in ("reasoner_critic", "review_turn"):
        builder.add_conditional_edges(node, _after_attempt, ["review_turn", "settle_turn"])
    builder.add_conditional_edges(
        "settle_turn", _after_turn, ["environment_explorer", "reasoner_critic", END]
    )
    return builder.compile(checkpointer=checkpointer, name=name)


def _plan(state: SupervisorState, runtime: Runtime[SynthesisContext]) -> Json:
    context = SynthesisContext.resolve(runtime.context)
    seed, index = state.get("seed") or 0, state.get("index") or 0
    return {
        "seed": seed,
        "index": index,
        "environment_seed": derive_seed(seed, index, "environment"),
        "turn": 0,
        "turn_attempt": 1,
        "turn_kind": draw_kind(seed, index, 0, context),
        "state_hash": None,
        "status": "running",
        "trajectory": None,
        # An earlier run on the same thread may have left some.
        "turns": Overwrite([]),
        "rejected_turns": Overwrite([]),
        "parts": [],
        "review": list(context.review),
        **_EMPTY,
    }


def draw_kind(seed: int, index: int, turn: int, context: SynthesisContext) -> TurnKind:
    """Return the kind of a turn, by the shares that the context gives."""
    drawn = rng(seed, index, turn, "turn_kind").random()
    for kind, share in sorted(context.hard_turns.items()):
        drawn -= share
        if drawn < 0:
            return kind
    return "plain"


_EMPTY: Json = {
    "call_trace": None,
    "turn_task": None,
    "attempt": None,
    "verdict": None,
    "critiques": [],
    "accepted_samples": [],
    "rejection": None,
    "target": None,
    "reviewed": [],
    "review_refused": [],
    "edits": [],
}


def _conversation(state: SupervisorState) -> list[Json]:
    return [
        item
        for entry in (*state.get("turns", []), *state.get("parts", []))
        for item in to_state(entry["turn"]["query"], entry["turn"]["attempt"], entry["key"])
    ]


def _place(state: SupervisorState) -> Json:
    return {
        "run_seed": state["seed"],
        "index": state["index"],
        "turn": state["turn"],
        "turn_attempt": state["turn_attempt"],
        "turn_kind": state["turn_kind"],
        "conversation": _conversation(state),
    }


def _explore(environment: Environment, pool: SessionPool) -> Node[SupervisorState]:
    """Take the one step of `create_environment_explorer`, which is no graph to enter for that."""
    explore = make_explore(environment, pool)

    def environment_explorer(state: SupervisorState, runtime: Runtime[SynthesisContext]) -> Json:
        return explore(_ask_explorer(state), runtime)

    return environment_explorer


def _ask_explorer(state: SupervisorState) -> ExplorerInput:
    asked = {**_place(state), "environment_seed": state["environment_seed"]}
    expected = {"state_hash": state["state_hash"]} if state["state_hash"] else {}
    return cast(ExplorerInput, {**asked, **expected})


def _ask_writer(state: SupervisorState) -> Json:
    return {**_place(state), "call_trace": state["call_trace"]}


def _ask_reasoner(state: SupervisorState) -> Json:
    return {"turn_task": state["turn_task"], "conversation": _conversation(state)}


def _unless_rejected(node: str) -> Callable[[SupervisorState], str]:
    return lambda state: "settle_turn" if state.get("rejection") else node


def _after_query(state: SupervisorState) -> str:
    if state.get("rejection"):
        return "settle_turn"
    return "review_query" if is_due(state, "query") else "reasoner_critic"


def _after_attempt(state: SupervisorState) -> str:
    return "review_turn" if is_due(state, "turn") else "settle_turn"


def _settle_turn(environment: Environment, roles: RoleModels) -> Callable[..., Json]:
    """Keep an accepted turn, note a rejected one; after the last one the trajectory is complete."""

    def settle_turn(
        state: SupervisorState, runtime: Runtime[SynthesisContext], config: RunnableConfig
    ) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        update = _reject_turn(state) if state.get("rejection") else _accept_turn(state)
        spent = update.get("turn_attempt", 1) > context.turn_attempts
        following = update.get("turn", state["turn"])
        if not spent and following < context.turns:
            place = (state["seed"], state["index"], following)
            if following > state["turn"]:
                update["turn_kind"] = draw_kind(*place, context)
            elif update.get("turn_attempt") == context.turn_attempts:
                update["turn_kind"] = "plain"  # rather than lose the trajectory
            return update
        status = "rejected" if spent else "accepted"
        trajectory = Trajectory(
            thread_id=str(config.get("configurable", {}).get("thread_id", "")),
            environment_id=environment.id,
            tools_hash=environment.tools_hash,
            models=roles.ids,
            environment_seed=state["environment_seed"],
            run_seed=state["seed"],
            index=state["index"],
            status="rejected" if spent else "accepted",
            turns=_collect(Turn, state.get("turns", []), update.get("turns", [])),
            rejected_turns=_collect(
                RejectedTurn, state.get("rejected_turns", []), update.get("rejected_turns", [])
            ),
            planned_turns=context.turns,
        )
        made = {"status": status, "trajectory": trajectory.to_json()}
        # Over: whoever invokes this thread again without them wants the defaults.
        return {**update, **made, "seed": None, "index": None}

    return settle_turn


def _collect(model: type[T], present: list[Json], new: list[Json]) -> tuple[T, ...]:
    items = merge_by_key(present, [new])
    return tuple(model.model_validate(item["turn"]) for item in items)


def _accept_turn(state: SupervisorState) -> Json:
    """Close a turn. Of one that takes two messages of the user, both are kept or none."""
    task = TurnTask.model_validate(state["turn_task"])
    part = len(state["parts"])
    key = f"{state['turn']}/{part}" if part else str(state["turn"])
    parts = [*state["parts"], {"key": key, "turn": _close_turn(state, task).to_json()}]
    if task.then is not None:
        then = task.then.to_json()
        return {**_EMPTY, "target": state["target"], "parts": parts, "turn_task": then}
    return {
        **_EMPTY,
        "turns": parts,
        "parts": [],
        "turn": state["turn"] + 1,
        "turn_attempt": 1,
        "state_hash": task.trace.state_after,
    }


def _reject_turn(state: SupervisorState) -> Json:
    rejected = _describe_rejection(state)
    key = f"{state['turn']}/{state['turn_attempt']}"
    return {
        **_EMPTY,
        "rejected_turns": [{"key": key, "turn": rejected.to_json()}],
        "parts": [],
        "turn_attempt": state["turn_attempt"] + 1,
    }


def _close_turn(state: SupervisorState, task: TurnTask) -> Turn:
    return Turn.model_validate(
        {
            "index": state["turn"],
            "query": task.query,
            "advanced_tool": task.advanced_tool.to_json(),
            "trace": task.trace.to_json(),
            "attempt": state["attempt"],
            "verdict": state["verdict"],
            "turn_attempt": state["turn_attempt"],
            "hard": task.hard.to_json() if task.hard else None,
            "samples": state["accepted_samples"],
            "edits": state["edits"],
        }
    )


def _describe_rejection(state: SupervisorState) -> RejectedTurn:
    reached = [state.get("call_trace"), state.get("turn_task")]
    # The task that completes a turn comes without the explorer and the query writer.
    stage = 2 if state["parts"] else sum(each is not None for each in reached)
    task = state.get("turn_task")
    verdict = state.get("verdict")
    assert state["rejection"] is not None
    by_reviewer = state["rejection"].startswith(BY_REVIEWER)
    return RejectedTurn.model_validate(
        {
            "turn": state["turn"],
            "turn_attempt": state["turn_attempt"],
            "kind": state["turn_kind"],
            "target": state["target"],
            "stage": "review" if by_reviewer else STAGES[stage],
            "reason": state["rejection"].removeprefix(BY_REVIEWER),
            "query": task["query"] if task else None,
            # The task that completes a turn brings its own trace.
            "trace": state.get("call_trace") or (task["trace"] if task else None),
            "attempt": state.get("attempt"),
            "checks": verdict["checks"] if verdict else [],
            "critiques": state.get("critiques") or [],
            "samples": state.get("accepted_samples") or [],
        }
    )


def _after_turn(state: SupervisorState) -> str:
    # Of the state alone: `update_state`, as a human's edit in Studio, knows no context.
    if state.get("trajectory"):
        return END
    return "reasoner_critic" if state.get("turn_task") else "environment_explorer"
