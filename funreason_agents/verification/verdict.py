"""Judge one turn: run every named check, in a session that stands before the turn."""

from __future__ import annotations

from collections.abc import Sequence

from funreason_agents.environments.base import EnvSession, Snapshot
from funreason_agents.errors import VerificationError, boundary
from funreason_agents.schemas.tools import ExecutedCall, ToolCall
from funreason_agents.schemas.trajectory import Verdict
from funreason_agents.verification import VERIFIER_VERSION
from funreason_agents.verification.checks import (
    TurnCase,
    check_arguments_derivable,
    check_calls_match,
    check_calls_valid,
    check_end_state,
    check_query_clean,
    check_replays,
    check_reply_grounded,
    check_scaffolding_absent,
)


def judge_turn(case: TurnCase, replayed: Sequence[ExecutedCall]) -> Verdict:
    """Run all checks on one turn.

    Args:
        case: The turn, with the gold trace it is judged against.
        replayed: The turn's calls, executed once more in a fresh session.

    Raises:
        VerificationError: a check could not be run.
    """
    with boundary(VerificationError, "run the checks of a turn"):
        checks = (
            check_calls_valid(case),
            check_calls_match(case),
            check_end_state(case),
            check_arguments_derivable(case),
            check_query_clean(case),
            check_reply_grounded(case),
            check_scaffolding_absent(case),
            check_replays(case.executed, replayed),
        )
    return Verdict(checks=checks, verifier_version=VERIFIER_VERSION)


def replay_calls(session: EnvSession, calls: Sequence[ToolCall]) -> list[ExecutedCall]:
    """Execute `calls` in `session` and return what each of them did.

    Raises:
        EnvError: the environment broke.
    """
    done = []
    for call in calls:
        before = session.state_hash()
        result = session.call(call)
        done.append(
            ExecutedCall(
                call=call, result=result, state_before=before, state_after=session.state_hash()
            )
        )
    return done


def replay_turn(
    session: EnvSession, before: Snapshot, executed: Sequence[ExecutedCall]
) -> list[ExecutedCall]:
    """Replay a turn's calls from the snapshot before it."""
    session.restore(before)
    return replay_calls(session, [step.call for step in executed])
