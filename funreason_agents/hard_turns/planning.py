"""Make a turn hard: what it takes is planned first, and the task is set once there is a query."""

from __future__ import annotations

import random
from collections.abc import Callable

from funreason_agents.hard_turns.error_recovery import find_mistake
from funreason_agents.hard_turns.irrelevance import make_foreign_tool, plan_irrelevance
from funreason_agents.hard_turns.long_context import plan_long_context, surround
from funreason_agents.hard_turns.missing_function import plan_missing_function, say_available
from funreason_agents.hard_turns.missing_parameter import plan_missing_parameter, say_value
from funreason_agents.hard_turns.parallel_calls import are_parallel
from funreason_agents.hard_turns.scene import Scene
from funreason_agents.schemas.tasks import (
    AdvancedTool,
    CallTrace,
    HardTurn,
    HardTurnKind,
    TurnTask,
)

__all__ = [
    "Scene",
    "are_parallel",
    "find_mistake",
    "make_foreign_tool",
    "plan_hard_turn",
    "set_task",
]


def plan_hard_turn(kind: HardTurnKind, scene: Scene) -> HardTurn | str:
    """Return what makes a turn hard, or the reason why this one cannot be made so."""
    return _PLANS[kind](scene)


def _plan_parallel_calls(scene: Scene) -> HardTurn | str:
    """Whether the calls are independent was found out by execution, with the trace."""
    return HardTurn(kind="parallel_calls") if len(scene.trace.calls) > 1 else "no_parallel_calls"


def _plan_error_recovery(scene: Scene) -> HardTurn | str:
    return "no_mistake" if scene.trace.mistake is None else HardTurn(kind="error_recovery")


_PLANS: dict[HardTurnKind, Callable[[Scene], HardTurn | str]] = {
    "missing_function": plan_missing_function,
    "missing_parameter": plan_missing_parameter,
    "long_context": plan_long_context,
    "parallel_calls": _plan_parallel_calls,
    "irrelevance": plan_irrelevance,
    "error_recovery": _plan_error_recovery,
}


def set_task(
    query: str,
    tool: AdvancedTool,
    trace: CallTrace,
    query_rounds: int,
    hard: HardTurn | None,
    generator: random.Random,
) -> TurnTask:
    """Return the task that a query sets; where it lacks something, with the one that completes it.

    Args:
        query: What the query writer wrote, after the gate.
        tool: The advanced tool that it was written from.
        trace: The gold trace.
        query_rounds: How many queries were written.
        hard: What makes the turn hard; None for a plain one.
        generator: Draws the wording of what is added.
    """
    task = TurnTask(
        query=query, advanced_tool=tool, trace=trace, query_rounds=query_rounds, hard=hard
    )
    if hard is None:
        return task
    if hard.kind == "long_context":
        return task.model_copy(update={"query": surround(query, hard.filler, generator)})
    if hard.kind == "missing_function":
        return _split(task, hard, say_available(generator))
    if hard.kind == "missing_parameter":
        assert hard.omitted is not None
        return _split(task, hard, say_value(hard.omitted, generator))
    return task


def _split(task: TurnTask, hard: HardTurn, follow_up: str) -> TurnTask:
    """Return the task without calls, and after it the one that its completion sets."""
    then = task.model_copy(
        update={
            "query": follow_up,
            "pending": task.query,
            "hard": hard.model_copy(update={"part": 2}),
        }
    )
    idle = {"target": "", "calls": (), "requests": (), "mistake": None}
    return task.model_copy(
        update={"trace": task.trace.model_copy(update=idle), "hard": hard, "then": then}
    )
