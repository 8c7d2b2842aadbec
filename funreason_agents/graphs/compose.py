"""Use one of our graphs as a node of anybody's graph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, ensure_config
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Durability

from funreason_agents.graphs.state import Json


def as_node(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    *,
    read: Callable[[Any], Json],
    write: Callable[[Json], Json],
    durability: Durability | None = None,
) -> Runnable[Any, Json]:
    """Return a node that maps the parent's state to `graph`'s input, and its output back.

    A graph nested as it is does nothing, without an error, if it shares no key with its parent.
    This node always does; and the inner graph still shows in `get_graph(xray=True)`, in
    `get_subgraphs()`, and in a checkpoint namespace of its own.

    Args:
        graph: A compiled graph; compile it without a checkpointer to inherit the parent's.
        read: From the parent's state to the graph's input.
        write: From the graph's output to an update of the parent's state.
        durability: When the inner graph's checkpoints are written; None as the parent's. With
            `"exit"` only if it stops on its way, and it goes on there; once it is through, its
            output is in the parent's state. A parent run with `"sync"` has all of them written.
    """

    def invoke(state: Any, config: RunnableConfig) -> Json:
        return write(graph.invoke(read(state), config, durability=_saving(durability, config)))

    async def ainvoke(state: Any, config: RunnableConfig) -> Json:
        return write(
            await graph.ainvoke(read(state), config, durability=_saving(durability, config))
        )

    # LangGraph finds `graph` among the names that these functions close over.
    return _GraphNode(invoke, ainvoke, graph.get_name())


def _saving(durability: Durability | None, config: RunnableConfig) -> Durability | None:
    """Return what to ask for; LangGraph warns of any wish where nothing is saved at all."""
    parent = config.get("configurable", {})
    if not parent.get("__pregel_checkpointer") or parent.get("__pregel_durability") == "sync":
        return None
    return durability


class _GraphNode(RunnableLambda[Any, Json]):
    """Calls its functions with the node's own config.

    `RunnableLambda` would inspect their signatures and open a run of its own around the graph's,
    on each of its calls.
    """

    def __init__(
        self,
        call: Callable[[Any, RunnableConfig], Json],
        acall: Callable[[Any, RunnableConfig], Awaitable[Json]],
        name: str,
    ) -> None:
        super().__init__(call, acall, name=name)
        self._call, self._acall = call, acall

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Json:
        return self._call(input, ensure_config(config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Json:
        return await self._acall(input, ensure_config(config))
