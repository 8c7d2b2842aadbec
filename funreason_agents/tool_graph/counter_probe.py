"""Probes that try to refute: is a value really needed, does it matter, what undoes what?

A tool that succeeded shows only that its calls were enough. Here its recipe is executed again
with one thing changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.environments.base import EnvSession, Snapshot
from funreason_agents.environments.execution import (
    PlannedCall,
    fill_outputs,
    keep_calls,
)
from funreason_agents.schemas.base import canonical_json, iterate_leaves
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall, ToolSpec
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import Sources, candidates, sample_call
from funreason_agents.tool_graph.values import Value, generate

KNOWN_TRIES = 3
"""Values of the visible state that are tried in place of an output."""
INVENTED_TRIES = 2
"""Recipes of a tool in which a value is replaced by an invented one."""
VARIANT_TRIES = 4
"""Calls that are drawn to find such ones."""
VARIANTS = 2
"""Different calls of a tool that must all be refused to blame the state rather than a value."""


@dataclass(frozen=True)
class Outcome:
    """What became of a plan."""

    refused_at: int | None
    """Position of the first call that was refused."""
    last: ExecutedCall | None = None
    """The last call, if none was refused."""

    @property
    def changed(self) -> bool:
        """Whether the last call changed the state; only known if it was watched."""
        return self.last is not None and self.last.state_before != self.last.state_after

    @property
    def leaves(self) -> int:
        """How much the last call told."""
        return 0 if self.last is None else count_leaves(self.last.result.content)


def count_leaves(content: Any) -> int:
    """Return how many values that say something `content` holds."""
    return sum(leaf not in (None, "") for _, leaf in iterate_leaves(content))


def run_plan(
    session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall], *, watched: bool = False
) -> Outcome:
    """Execute `plan` from `start`, up to the first refusal.

    Args:
        session: Any session of the environment.
        start: The state to begin in.
        plan: The calls; outputs they name are filled in.
        watched: Whether to look at the state around the last call. Looking costs time.
    """
    session.restore(start)
    done: list[ExecutedCall] = []
    for number, planned in enumerate(plan):
        filled = fill_outputs(planned, done)
        if filled is None:
            return Outcome(number)
        call = ToolCall(id=f"call_{number}", name=filled.name, arguments=filled.arguments)
        looks = watched and number == len(plan) - 1
        before = session.state_hash() if looks else ""
        result = session.call(call)
        if result.is_error:
            return Outcome(number)
        after = session.state_hash() if looks else ""
        step = ExecutedCall(call=call, result=result, state_before=before, state_after=after)
        done.append(step)
    return Outcome(None, done[-1] if done else None)


def can_be_stated(
    session: EnvSession,
    start: Snapshot,
    plan: Sequence[PlannedCall],
    tool: ToolSpec,
    parameter: str,
    known: Sequence[Value],
) -> bool:
    """Return whether the last call also succeeds with a value that a user can know."""
    fitting = candidates(parameter, tool.properties[parameter], known)
    ranked = sorted(fitting, key=lambda pair: -pair[0])
    distinct = {canonical_json(value.value): value for _, value in ranked}
    for value in list(distinct.values())[:KNOWN_TRIES]:
        changed = _replace(plan, parameter, value.value, value.origin)
        if run_plan(session, start, changed).refused_at is None:
            return True
    return False


def is_looked_up(
    session: EnvSession,
    start: Snapshot,
    plan: Sequence[PlannedCall],
    tool: ToolSpec,
    parameter: str,
    told: Any,
) -> bool:
    """Return whether the tool looks a parameter's value up in its world.

    If so, an invented value is refused, or leads to less than `told`, the result that the plan
    had. Where any value will do, such as a note or an amount, nothing in a request implies that
    one is fetched from somewhere.
    """
    schema, value = tool.properties[parameter], plan[-1].arguments[parameter]
    generator = rng("invented", tool.name, parameter)
    invented: Any = generate(parameter, schema, generator)
    if isinstance(value, list):  # as long as it was, so that its length makes no difference
        items = schema.get("items") or {}
        invented = [generate(parameter, items, generator) for _ in value]
    changed = _replace(plan, parameter, invented, Origin(kind="generated"))
    outcome = run_plan(session, start, changed)
    return outcome.refused_at is not None or outcome.leaves < count_leaves(told)


def find_restorers(
    session: EnvSession,
    start: Snapshot,
    plans: Mapping[str, Sequence[Sequence[PlannedCall]]],
    writes: Collection[str],
    tools: Mapping[str, ToolSpec],
    known: Sequence[Value],
) -> set[tuple[str, str]]:
    """Find which tool makes another one work again, after a third one undid its precondition.

    Where a session starts logged in, no recipe holds a login. But after a logout every call of
    some tools is refused, and after a login all of them work again.

    Args:
        session: Any session of the environment.
        start: The state to begin in.
        plans: Plans that work from `start`, by the tool of their last call.
        writes: Tools that change the state.
        tools: The tools by name.
        known: What a user can know in this state.

    Returns:
        (restoring tool, tool that needs it) pairs.
    """
    alone = {t: [_without_preparation(plan) for plan in found] for t, found in plans.items()}
    sturdy: dict[str, list[Sequence[PlannedCall]]] = {}
    for tool, found in alone.items():
        working = [each for each in found if _works(session, start, each)]
        if working and not _is_sturdy(working):
            working += _find_variants(session, start, tools[tool], known)
        if _is_sturdy(working):
            sturdy[tool] = working
    writers = {tool: found[0] for tool, found in plans.items() if tool in writes}
    restorers = {
        tool: found[0]
        for tool, found in alone.items()
        if tool in writes and not any(call.name in writes for call in found[0][:-1])
    }
    pairs: set[tuple[str, str]] = set()
    for breaker, plan in sorted(writers.items()):
        if not run_plan(session, start, plan, watched=True).changed:
            continue
        after = session.snapshot()
        blocked = [tool for tool in sorted(sturdy) if _is_blocked(session, after, sturdy[tool])]
        for restorer in sorted(restorers.keys() - {breaker, *blocked}) if blocked else ():
            if not _works(session, after, restorers[restorer]):
                continue
            restored = session.snapshot()
            if all(not _is_blocked(session, restored, sturdy[tool]) for tool in blocked):
                pairs |= {(restorer, tool) for tool in blocked}
    return pairs


def _works(session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall]) -> bool:
    return run_plan(session, start, plan).refused_at is None


def _find_variants(
    session: EnvSession, start: Snapshot, tool: ToolSpec, known: Sequence[Value]
) -> list[Sequence[PlannedCall]]:
    """Find other calls of `tool` that work from `start` as they are."""
    generator = rng("variants", tool.name)
    drawn = [sample_call(tool, Sources(known=known), generator) for _ in range(VARIANT_TRIES)]
    return [[call] for call in drawn if call is not None and _works(session, start, [call])]


def _is_sturdy(plans: Sequence[Sequence[PlannedCall]]) -> bool:
    """Return whether all these calls failing would show that no value is to blame."""
    distinct = {canonical_json(plan[-1].arguments) for plan in plans}
    return len(distinct) >= VARIANTS or distinct == {"{}"}


def _is_blocked(
    session: EnvSession, start: Snapshot, plans: Sequence[Sequence[PlannedCall]]
) -> bool:
    return all(run_plan(session, start, plan).refused_at == len(plan) - 1 for plan in plans)


def data_ancestors(plan: Sequence[PlannedCall], position: int) -> set[int]:
    """Return `position` and every call whose output it uses, directly or not."""
    found = {position}
    for number in range(position, -1, -1):
        if number in found:
            found |= plan[number].providers
    return found


def _without_preparation(plan: Sequence[PlannedCall]) -> Sequence[PlannedCall]:
    """Leave out calls that only prepared the state."""
    kept = keep_calls(plan, sorted(data_ancestors(plan, len(plan) - 1)))
    assert kept is not None
    return kept


def _replace(
    plan: Sequence[PlannedCall], parameter: str, value: Any, origin: Origin
) -> list[PlannedCall]:
    last = plan[-1]
    arguments = {**last.arguments, parameter: value}
    pointer = f"/{parameter}"
    origins = {
        key: each
        for key, each in last.origins.items()
        if key != pointer and not key.startswith(pointer + "/")
    }
    return [*plan[:-1], PlannedCall(last.name, arguments, {**origins, pointer: origin})]
