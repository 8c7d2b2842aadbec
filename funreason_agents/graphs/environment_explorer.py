"""The environment explorer: walk the tool graph to a target tool and keep what it needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment, EnvSession, Snapshot
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.graphs.conversation import from_state, to_history
from funreason_agents.graphs.state import ExplorerInput, ExplorerOutput, ExplorerState, Json
from funreason_agents.hard_turns.planning import are_parallel, find_mistake
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ToolGraph
from funreason_agents.schemas.trajectory import Message, calls_of
from funreason_agents.seeding import derive_seed, rng
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.coverage import find_targets, plan_target
from funreason_agents.tool_graph.minimise import find_requests, minimise
from funreason_agents.tool_graph.sampler import plan_lookups
from funreason_agents.tool_graph.walk import Walk
from funreason_agents.verification.derivations import facts_of
from funreason_agents.verification.references import find_referable


def create_environment_explorer(
    *,
    environment: Environment,
    sessions: SessionPool | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "environment_explorer",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that makes one call trace.

    Input: `run_seed`, `index`, `turn` (all 0 by default); optionally a `wanted_target`, the
    `turn_kind` it is for, and the `conversation` before. Output: `call_trace`, or `rejection` with
    the reason why there is none.

    Args:
        environment: Where to walk. Its tool graph is built by probing when first needed.
        sessions: Live sessions to share with other graphs.
        checkpointer: Only for use on its own; nested, the parent's is used.
        name: Shown in Studio and logs.
    """
    pool = sessions or SessionPool(environment)
    builder = StateGraph(
        ExplorerState,
        context_schema=SynthesisContext,
        input_schema=ExplorerInput,
        output_schema=ExplorerOutput,
    )
    explore = make_explore(environment, pool)

    def explore_and_forget(state: ExplorerState, runtime: Runtime[SynthesisContext]) -> Json:
        return {**_FORGET, **explore(state, runtime)}

    builder.add_node("explore", explore_and_forget)
    builder.add_edge(START, "explore")
    builder.add_edge("explore", END)
    return builder.compile(checkpointer=checkpointer, name=name)


def _place(state: ExplorerInput) -> tuple[int, int, int, int]:
    """Return the key of every draw: (run seed, index, turn, turn attempt)."""
    return (
        state.get("run_seed") or 0,
        state.get("index") or 0,
        state.get("turn") or 0,
        state.get("turn_attempt") or 1,
    )


_FORGET: Json = {
    **dict.fromkeys(("run_seed", "index", "turn", "turn_attempt", "turn_kind")),
    **dict.fromkeys(("environment_seed", "wanted_target", "state_hash")),
    "conversation": Overwrite([]),
}
"""Ends a run: whoever invokes the thread again without these inputs wants the defaults."""


def walkable_tools(graph: ToolGraph, *, read_only: bool) -> tuple[str, ...]:
    """Return the tools that a walk may call, in order."""
    return tuple(t for t in graph.reachable if not (read_only and t in graph.writes))


def make_explore(
    environment: Environment, pool: SessionPool
) -> Callable[[ExplorerInput, Runtime[SynthesisContext]], Json]:
    """Return the explorer's one step, which the supervisor takes as a node of its own."""

    def explore(state: ExplorerInput, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        seed, index, _, _ = _place(state)
        conversation = from_state(state.get("conversation", []))
        kind = state.get("turn_kind") or "plain"
        target = _choose_target(environment, state, context)
        if target is None and kind != "irrelevance":
            wanted = state.get("wanted_target")
            return {"target": wanted, "call_trace": None, "rejection": "unreachable_target"}
        session_seed = state.get("environment_seed")
        if session_seed is None:
            session_seed = derive_seed(seed, index, "environment")
        with pool.lease(
            session_seed, calls_of(conversation), state_hash=state.get("state_hash")
        ) as session:
            start = session.snapshot()
            if kind == "irrelevance":  # nothing is to be called
                found: CallTrace | str = CallTrace(
                    environment_id=environment.id,
                    seed=session_seed,
                    target="",
                    state_before=session.state_hash(),
                )
            else:
                assert target is not None
                walk = _make_walk(environment, session, state, target, conversation, context)
                found = _find_trace(walk, start)
            session.restore(start)
            if isinstance(found, CallTrace) and found.calls:
                found = _serve(kind, found, session, environment, conversation, _place(state))
                session.restore(start)
        rejected = isinstance(found, str)
        return {
            "target": "" if kind == "irrelevance" else target,
            "call_trace": None if isinstance(found, str) else found.to_json(),
            "rejection": found if rejected else None,
        }

    return explore


def _choose_target(
    environment: Environment, state: ExplorerInput, context: SynthesisContext
) -> str | None:
    """Return the tool to head for; None if no walk can reach it, or any."""
    seed, index, turn, attempt = _place(state)
    tools = walkable_tools(tool_graph_of(environment), read_only=context.read_only)
    wanted = state.get("wanted_target")
    if wanted is not None:
        return wanted if wanted in tools else None
    targets = find_targets(tools, context.target_weights)
    if not targets:
        return None
    return plan_target(
        targets,
        seed=seed,
        index=index,
        turn=turn,
        turns=context.turns,
        attempt=attempt,
        weights=context.target_weights,
    )


def _make_walk(
    environment: Environment,
    session: EnvSession,
    state: ExplorerInput,
    target: str,
    conversation: Sequence[Message],
    context: SynthesisContext,
) -> Walk:
    graph, place, write = tool_graph_of(environment), _place(state), get_stream_writer()
    lookups = rng(*place, "lookups")
    extra = int(rng(*place, "extra").random() < context.extra_rate)
    said = facts_of(conversation)
    return Walk(
        environment=environment,
        graph=graph,
        session=session,
        target=target,
        allowed=frozenset(walkable_tools(graph, read_only=context.read_only)),
        history=to_history(conversation),
        lookups=plan_lookups(graph, target, lambda: lookups.random() < context.lookup_rate),
        generator=rng(*place, "walk"),
        max_calls=context.max_calls,
        extra_calls=PARALLEL_EXTRA if state.get("turn_kind") == "parallel_calls" else extra,
        reference_rate=context.reference_rate,
        referable=cache(lambda name, listed: tuple(find_referable(name, said, listed=listed))),
        on_call=lambda step: write({"call": step.call.name, "ok": not step.result.is_error}),
    )


PARALLEL_EXTRA = 2
"""Requests that are added where some of them are to be independent of each other."""


def _find_trace(walk: Walk, start: Snapshot) -> CallTrace | str:
    """Walk, and minimise what was walked; return why there is no trace, if there is none."""
    rejection = walk.run()
    if rejection is not None:
        return rejection
    result = minimise(walk.session, start, walk.done, walk.asked)
    if result is None:
        return "not_repeatable"
    calls, asked = result
    changed = any(step.state_before != step.state_after for step in calls)
    if changed and calls[0].state_before == calls[-1].state_after:
        return "no_effect"  # it undoes what it does
    needed = {edge.source for edge in walk.graph.edges if edge.kind == "requires"}
    return CallTrace(
        environment_id=walk.environment.id,
        seed=walk.session.seed,
        target=walk.target,
        state_before=calls[0].state_before,
        calls=tuple(calls),
        requests=tuple(find_requests(calls, asked, needed)),
    )


def _serve(
    kind: str,
    trace: CallTrace,
    session: EnvSession,
    environment: Environment,
    conversation: Sequence[Message],
    place: tuple[int, int, int, int],
) -> CallTrace | str:
    """Make sure that a trace serves for a kind of hard turn; it takes a live session to know."""
    if kind == "parallel_calls" and not are_parallel(session, trace):
        return "no_independent_calls"
    if kind != "error_recovery":
        return trace
    generator = rng(*place, "mistake")
    mistake = find_mistake(session, trace, environment, conversation, generator)
    return "no_mistake" if mistake is None else trace.model_copy(update={"mistake": mistake})
