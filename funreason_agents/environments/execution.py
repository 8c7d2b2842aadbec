"""Planned calls whose arguments refer to earlier outputs, and their execution."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from funreason_agents.environments.base import EnvSession
from funreason_agents.schemas.base import resolve_pointer
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall


@dataclass(frozen=True)
class PlannedCall:
    """A call that can be executed again elsewhere: outputs it uses are named, not copied."""

    name: str
    arguments: dict[str, Any]
    origins: dict[str, Origin] = field(default_factory=dict)

    @property
    def providers(self) -> set[int]:
        """Positions of the calls whose outputs this call uses."""
        return {
            origin.call
            for origin in self.origins.values()
            if origin.kind == "output" and origin.call is not None
        }


def to_plan(calls: Sequence[ExecutedCall]) -> list[PlannedCall]:
    """Return executed calls as a plan."""
    return [PlannedCall(step.call.name, step.call.arguments, step.origins) for step in calls]


def execute(session: EnvSession, call: PlannedCall, call_id: str) -> ExecutedCall:
    """Execute one planned call whose outputs are already filled in."""
    before = session.state_hash()
    made = ToolCall(id=call_id, name=call.name, arguments=call.arguments)
    result = session.call(made)
    return ExecutedCall(
        call=made,
        result=result,
        state_before=before,
        state_after=session.state_hash(),
        origins=call.origins,
    )


def execute_plan(session: EnvSession, plan: Sequence[PlannedCall]) -> list[ExecutedCall] | None:
    """Execute `plan` in order, filling in outputs of its own calls.

    Returns:
        The executed calls, or None as soon as a call is refused or an output it needs is absent.
    """
    done: list[ExecutedCall] = []
    for number, planned in enumerate(plan):
        filled = fill_outputs(planned, done)
        if filled is None:
            return None
        step = execute(session, filled, f"call_{number}")
        if step.result.is_error:
            return None
        done.append(step)
    return done


def replay_calls(session: EnvSession, calls: Sequence[ToolCall]) -> list[ExecutedCall]:
    """Execute `calls` as they are, refusals included, and return what each of them did.

    Raises:
        EnvError: the environment broke.
    """
    return [execute(session, PlannedCall(c.name, c.arguments), c.id) for c in calls]


def fill_outputs(call: PlannedCall, done: Sequence[ExecutedCall]) -> PlannedCall | None:
    """Return `call` with every `output` leaf taken from `done`; None where one is absent."""
    arguments = copy.deepcopy(call.arguments)
    for pointer, origin in call.origins.items():
        if origin.kind != "output":
            continue
        assert origin.call is not None
        try:
            value = resolve_pointer(done[origin.call].result.content, origin.path or "")
        except LookupError:
            return None
        _set_pointer(arguments, pointer, value)
    return PlannedCall(call.name, arguments, call.origins)


def keep_calls(plan: Sequence[PlannedCall], kept: Sequence[int]) -> list[PlannedCall] | None:
    """Return the calls at positions `kept`, renumbering outputs; None if one would be lost."""
    place = {old: new for new, old in enumerate(kept)}
    result = []
    for old in kept:
        call = plan[old]
        if not call.providers <= place.keys():
            return None
        origins = {
            pointer: origin.model_copy(update={"call": place[origin.call]})
            if origin.kind == "output" and origin.call is not None
            else origin
            for pointer, origin in call.origins.items()
        }
        result.append(PlannedCall(call.name, call.arguments, origins))
    return result


def _set_pointer(target: Any, pointer: str, value: Any) -> None:
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
