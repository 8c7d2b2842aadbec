"""Parallel calls: a gold trace with calls that can be made at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from funreason_agents.environments.base import EnvSession
from funreason_agents.environments.execution import execute_plan, keep_calls, to_plan
from funreason_agents.schemas.base import canonical_json
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall
from funreason_agents.verification.turn_kinds import find_needed


def are_parallel(session: EnvSession, trace: CallTrace) -> bool:
    """Return whether two gold calls can be made at once: by execution in both orders.

    Both orders must give the gold results and the gold end state.

    Args:
        session: Stands before the trace, and is left there.
        trace: The gold trace.
    """
    start = session.snapshot()
    for first, second in itertools.combinations(range(len(trace.calls)), 2):
        needed = find_needed(trace.calls, second)
        if first in needed:
            continue
        # What the second call needs of the calls between them is moved before both.
        moved = [n for n in range(first + 1, second) if n in needed]
        if any(first in find_needed(trace.calls, number) for number in moved):
            continue
        rest = [n for n in range(first + 1, len(trace.calls)) if n not in moved and n != second]
        head = [*range(first), *moved]
        orders = ([*head, first, second, *rest], [*head, second, first, *rest])
        found = []
        for order in orders:
            found.append(_gives_the_same(session, trace.calls, order))
            session.restore(start)
            if not found[-1]:
                break
        if all(found):
            return True
    return False


def _gives_the_same(
    session: EnvSession, calls: Sequence[ExecutedCall], order: Sequence[int]
) -> bool:
    plan = keep_calls(to_plan(calls), order)
    done = execute_plan(session, plan) if plan is not None else None
    return (
        done is not None
        and done[-1].state_after == calls[-1].state_after
        and all(
            canonical_json(step.result.content) == canonical_json(calls[number].result.content)
            for step, number in zip(done, order, strict=True)
        )
    )
