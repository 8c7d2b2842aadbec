"""The gold trace is the minimised walk: what no request needs is dropped by re-execution."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from funreason_agents.environments.base import EnvSession, Snapshot
from funreason_agents.environments.execution import execute_plan, keep_calls, to_plan
from funreason_agents.schemas.base import canonical_json
from funreason_agents.schemas.tools import ExecutedCall


def minimise(
    session: EnvSession, start: Snapshot, walk: Sequence[ExecutedCall], asked: Sequence[int]
) -> tuple[list[ExecutedCall], list[int]] | None:
    """Drop every call whose removal changes neither an asked call's result nor the final state.

    Args:
        session: Any session of the environment; it ends in the state after the result.
        start: The state before the walk.
        walk: The executed walk.
        asked: Positions of the calls that the user asks for: the target, and what the sampler
            added after it. They are never dropped.

    Returns:
        The calls that are left, executed anew, and the positions of the asked calls among them.
        A call that nothing needs, but that left its mark on the final state, is one of them: it
        has to be asked for as well. None if the walk cannot be executed again.
    """
    plan = to_plan(walk)
    session.restore(start)
    best = last = execute_plan(session, plan)
    if best is None:
        return None
    kept = list(range(len(plan)))
    own: set[int] = set()
    for position in reversed(range(len(plan))):
        if position in asked:
            continue
        fewer = [number for number in kept if number != position]
        shorter = keep_calls(plan, fewer)
        if shorter is None:
            continue
        session.restore(start)
        done = last = execute_plan(session, shorter)
        if done is None or not _same_results(done, fewer, best, kept, {*asked, *own}):
            continue
        if done[-1].state_after == best[-1].state_after:
            best, kept = done, fewer
        else:
            own.add(position)
    if last is not best:  # the session has executed something shorter since
        session.restore(start)
        best = execute_plan(session, to_plan(best))
    asked_for = [n for n, position in enumerate(kept) if position in own or position in asked]
    return None if best is None else (best, asked_for)


def find_requests(
    calls: Sequence[ExecutedCall], asked: Sequence[int], needed: set[str]
) -> list[int]:
    """Return the positions of the calls that a user must ask for.

    These are the asked calls; whatever is left that no later call uses, neither its output nor,
    going by `needed` (tools that some tool requires), its effect on the state; and whatever makes
    a thing that a later call goes on with, since nobody can speak of a thing that is not there.
    """
    used = {
        origin.call
        for step in calls
        for origin in step.origins.values()
        if origin.kind == "output" and origin.call is not None
    }
    return [
        number
        for number, step in enumerate(calls)
        if number in asked
        or (number not in used and step.call.name not in needed)
        or (number in used and step.state_before != step.state_after)
    ]


def _same_results(
    done: Sequence[ExecutedCall],
    done_positions: Sequence[int],
    best: Sequence[ExecutedCall],
    best_positions: Sequence[int],
    asked: Collection[int],
) -> bool:
    return all(
        canonical_json(done[done_positions.index(position)].result.content)
        == canonical_json(best[best_positions.index(position)].result.content)
        for position in asked
    )
