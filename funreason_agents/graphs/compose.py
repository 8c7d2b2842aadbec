"""Use one of our graphs as a node of anybody's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph.state import CompiledStateGraph


def as_node(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    *,
    read: Callable[[Any], dict[str, Any]],
    write: Callable[[dict[str, Any]], dict[str, Any]],
) -> Runnable[Any, dict[str, Any]]:
    """Return a node that maps the parent's state to `graph`'s input, and its output back.

    A graph nested as it is does nothing, without an error, if it shares no key with its parent.
    This node always does; and the inner graph still shows in `get_graph(xray=True)`, in
    `get_subgraphs()`, and in a checkpoint namespace of its own.

    Args:
        graph: A compiled graph; compile it without a checkpointer to inherit the parent's.
        read: From the parent's state to the graph's input.
        write: From the graph's output to an update of the parent's state.
    """

    def invoke(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return write(graph.invoke(read(state), config))

    async def ainvoke(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return write(await graph.ainvoke(read(state), config))

    # LangGraph finds `graph` among the names that these functions close over.
    return RunnableLambda(invoke, ainvoke, name=graph.get_name())
