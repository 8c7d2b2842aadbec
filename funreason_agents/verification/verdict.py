"""Judge one turn: run every named check and decide."""

from __future__ import annotations

from funreason_agents.errors import VerificationError, boundary
from funreason_agents.schemas.trajectory import Check, Verdict
from funreason_agents.verification import VERIFIER_VERSION
from funreason_agents.verification.checks import (
    TurnCase,
    check_arguments_derivable,
    check_calls_match,
    check_calls_valid,
    check_end_state,
    check_query_clean,
    check_reply_grounded,
    check_scaffolding_absent,
)
from funreason_agents.verification.turn_kinds import check_turn_kind


def judge_turn(case: TurnCase, replays: Check) -> Verdict:
    """Run all checks on one turn.

    Args:
        case: The turn, with the gold trace it is judged against.
        replays: The outcome of replaying the turn's calls in a fresh session.

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
            check_turn_kind(case),
            replays,
        )
    return Verdict(checks=checks, verifier_version=VERIFIER_VERSION)
