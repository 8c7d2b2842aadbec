"""From a trajectory to a training record: the one place where scaffolding is stripped."""

from __future__ import annotations

from funreason_agents import __version__
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ExportError
from funreason_agents.prompts import ROLES, prompt_hash
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import (
    Certificate,
    CertifiedCall,
    CertifiedTurn,
    GoldCall,
    Provenance,
    TrainingRecord,
    make_record_id,
)
from funreason_agents.schemas.trajectory import Trajectory, Turn


def to_record(trajectory: Trajectory, environment: Environment) -> TrainingRecord:
    """Turn an accepted trajectory into a record.

    Only queries and the accepted attempts enter the messages: hints, critiques, failed attempts
    and advanced tools stay behind in the checkpoints.

    Raises:
        ExportError: the trajectory was not accepted, or is of another environment.
    """
    if trajectory.status != "accepted":
        msg = f"trajectory {trajectory.index} was rejected; only accepted ones become records"
        raise ExportError(msg)
    if (trajectory.environment_id, trajectory.tools_hash) != (
        environment.id,
        environment.tools_hash,
    ):
        msg = (
            f"trajectory {trajectory.index} was made in {trajectory.environment_id!r} with other "
            f"tools than those of {environment.id!r} now"
        )
        raise ExportError(msg)
    messages, tools = trajectory.messages, environment.tools
    verdicts = [turn.verdict for turn in trajectory.turns]
    return TrainingRecord(
        id=make_record_id(messages, tools),
        messages=messages,
        tools=tools,
        checks=tuple(verdict.checks for verdict in verdicts),
        certificate=Certificate(
            environment_id=environment.id,
            tools_hash=environment.tools_hash,
            environment_seed=trajectory.environment_seed,
            initial_state_hash=trajectory.turns[0].trace.state_before,
            turns=tuple(_certify(turn) for turn in trajectory.turns),
            verifier_version=verdicts[0].verifier_version,
        ),
        provenance=_provenance(trajectory),
    )


def _certify(turn: Turn) -> CertifiedTurn:
    match = next(check for check in turn.verdict.checks if check.name == "calls_match")
    return CertifiedTurn(
        target=turn.trace.target,
        mode=match.mode or "exact",
        gold=tuple(
            GoldCall(name=s.call.name, arguments=s.call.arguments, origins=s.origins)
            for s in turn.trace.calls
        ),
        calls=tuple(
            CertifiedCall(result_hash=content_hash(s.result.content), state_hash=s.state_after)
            for s in turn.attempt.executed
        ),
        hard=turn.hard,
        edits=turn.edits,
    )


def _provenance(trajectory: Trajectory) -> Provenance:
    return Provenance(
        package_version=__version__,
        thread_id=trajectory.thread_id,
        run_seed=trajectory.run_seed,
        index=trajectory.index,
        targets=tuple(turn.trace.target for turn in trajectory.turns),
        rounds=tuple(turn.attempt.round for turn in trajectory.turns),
        turn_attempts=tuple(turn.turn_attempt for turn in trajectory.turns),
        models=trajectory.models,
        prompts={role: prompt_hash(role) for role in ROLES},
    )
