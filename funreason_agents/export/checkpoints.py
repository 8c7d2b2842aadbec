"""Read a finished thread back as a trajectory: from a checkpointer, or from a LangGraph server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph.state import CompiledStateGraph
from pydantic import ValidationError

from funreason_agents.errors import ExportError, boundary
from funreason_agents.schemas.trajectory import Trajectory


def export_thread(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> Trajectory:
    """Return the trajectory of a thread that `graph` (a supervisor) has finished.

    The state is read through the graph, never from raw checkpoints: these do not hold the delta
    channels.

    Raises:
        ExportError: there is no such thread, it has not finished, or it cannot be read.
    """
    with boundary(ExportError, f"read thread {thread_id!r}"):
        state = graph.get_state({"configurable": {"thread_id": thread_id}})
    return trajectory_from_values(state.values, thread_id)


def export_server_thread(client: Any, thread_id: str) -> Trajectory:
    """Return the trajectory of a finished thread on a LangGraph server.

    Args:
        client: A synchronous `langgraph_sdk` client (`get_sync_client(url=...)`).
        thread_id: A thread that the server's supervisor ran on.

    Raises:
        ExportError: there is no such thread, it has not finished, or it cannot be read.
    """
    with boundary(ExportError, f"read the history of thread {thread_id!r} from the server"):
        history = client.threads.get_history(thread_id, limit=1)
    values = history[0]["values"] if history else {}
    return trajectory_from_values(values, thread_id)


def trajectory_from_values(values: Mapping[str, Any], thread_id: str) -> Trajectory:
    """Return the trajectory that the supervisor's final state holds.

    Raises:
        ExportError: the thread is empty or unfinished, or its trajectory is of another version.
    """
    if not values:
        msg = f"there is no thread {thread_id!r} in this checkpointer; was it run with this one?"
        raise ExportError(msg)
    if not values.get("trajectory"):
        msg = f"thread {thread_id!r} has not finished; invoke it again with None to go on"
        raise ExportError(msg)
    try:
        return Trajectory.model_validate(values["trajectory"])
    except ValidationError as exc:
        msg = f"thread {thread_id!r} was made by another version of this package: {exc}"
        raise ExportError(msg) from exc
