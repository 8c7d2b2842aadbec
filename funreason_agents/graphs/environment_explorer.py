"""The environment explorer: walk the tool graph to a target tool and keep what it needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.graphs.conversation import from_state, to_history
from funreason_agents.graphs.state import ExplorerInput, ExplorerOutput, ExplorerState, Json, Node
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, ToolGraph
from funreason_agents.schemas.trajectory import calls_of
from funreason_agents.seeding import derive_seed, rng
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.coverage import plan_target
from funreason_agents.tool_graph.minimise import find_requests, minimise
from funreason_agents.tool_graph.sampler import plan_lookups
from funreason_agents.tool_graph.walk import Walk


def create_environment_explorer(
    *,
    environment: Environment,
    sessions: SessionPool | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "environment_explorer",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that makes one call trace.

    Input: `run_seed`, `index`, `turn` (all 0 by default); optionally a `wanted_target`, and the
    `conversation` before. Output: `call_trace`, or `rejection` with the reason why there is none.

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
    builder.add_node("choose_target", _choose_target(environment))
    builder.add_node("walk", _walk(environment, pool))
    builder.add_node("minimise", _minimise(environment, pool))
    builder.add_edge(START, "choose_target")
    builder.add_conditional_edges("choose_target", _unless_rejected("walk"), ["walk", END])
    builder.add_conditional_edges("walk", _unless_rejected("minimise"), ["minimise", END])
    builder.add_edge("minimise", END)
    return builder.compile(checkpointer=checkpointer, name=name)


def _unless_rejected(node: str) -> Callable[[ExplorerState], str]:
    return lambda state: END if state.get("rejection") else node


def _place(state: ExplorerState) -> tuple[int, int, int, int]:
    """Return the key of every draw: (run seed, index, turn, turn attempt)."""
    return (
        state.get("run_seed", 0),
        state.get("index", 0),
        state.get("turn", 0),
        state.get("turn_attempt", 1),
    )


def walkable_tools(graph: ToolGraph, *, read_only: bool) -> tuple[str, ...]:
    """Return the tools that a walk may call, in order."""
    return tuple(t for t in graph.reachable if not (read_only and t in graph.writes))


def _choose_target(environment: Environment) -> Node[ExplorerState]:
    def choose_target(state: ExplorerState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        seed, index, turn, attempt = _place(state)
        tools = walkable_tools(tool_graph_of(environment), read_only=context.read_only)
        update: Json = {
            "session_seed": state.get("environment_seed", derive_seed(seed, index, "environment")),
            "call_trace": None,
            "rejection": None,
            "walk": [],
        }
        wanted = state.get("wanted_target")
        if not tools or (wanted is not None and wanted not in tools):
            return {**update, "target": wanted, "rejection": "unreachable_target"}
        planned = plan_target(
            tools, seed=seed, index=index, turn=turn, turns=context.turns, attempt=attempt
        )
        return {**update, "target": wanted or planned}

    return choose_target


def _walk(environment: Environment, pool: SessionPool) -> Node[ExplorerState]:
    def walk(state: ExplorerState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        graph = tool_graph_of(environment)
        place, target = _place(state), state["target"]
        lookups = rng(*place, "lookups")
        conversation = from_state(state.get("conversation", []))
        write = get_stream_writer()
        with pool.lease(
            state["session_seed"],
            calls_of(conversation),
            state_hash=state.get("state_hash"),
        ) as session:
            start = session.snapshot()
            walk = Walk(
                environment=environment,
                graph=graph,
                session=session,
                target=target,
                allowed=frozenset(walkable_tools(graph, read_only=context.read_only)),
                history=to_history(conversation),
                lookups=plan_lookups(graph, target, lambda: lookups.random() < context.lookup_rate),
                generator=rng(*place, "walk"),
                max_calls=context.max_calls,
                extra_calls=int(rng(*place, "extra").random() < context.extra_rate),
                on_call=lambda step: write(
                    {"call": step.call.name, "ok": not step.result.is_error}
                ),
            )
            rejection = walk.run()
            session.restore(start)
        steps = [] if rejection else [step.to_json() for step in walk.done]
        return {"walk": steps, "rejection": rejection}

    return walk


def _minimise(environment: Environment, pool: SessionPool) -> Node[ExplorerState]:
    def minimise_walk(state: ExplorerState, runtime: Runtime[SynthesisContext]) -> Json:
        graph = tool_graph_of(environment)
        walk = [ExecutedCall.model_validate(step) for step in state["walk"]]
        target = state["target"]
        first = next(n for n, step in enumerate(walk) if step.call.name == target)
        conversation = from_state(state.get("conversation", []))
        with pool.lease(state["session_seed"], calls_of(conversation)) as session:
            start = session.snapshot()
            result = minimise(session, start, walk, range(first, len(walk)))
            session.restore(start)
        if result is None:
            return {"rejection": "not_repeatable", "walk": []}
        calls, asked = result
        changed = any(step.state_before != step.state_after for step in calls)
        if changed and calls[0].state_before == calls[-1].state_after:
            return {"rejection": "no_effect", "walk": []}  # it undoes what it does
        needed = {edge.source for edge in graph.edges if edge.kind == "requires"}
        trace = CallTrace(
            environment_id=environment.id,
            seed=state["session_seed"],
            target=target,
            calls=tuple(calls),
            requests=tuple(find_requests(calls, asked, needed)),
        )
        return {"call_trace": trace.to_json(), "walk": []}

    return minimise_walk
