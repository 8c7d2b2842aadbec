"""The tasks that a student is probed with: the turns of records, or turns made for the purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import PlannedCall, execute_plan, replay_calls
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import ConfigurationError
from funreason_agents.graphs.environment_explorer import create_environment_explorer
from funreason_agents.graphs.query_writer import create_query_writer
from funreason_agents.graphs.supervisor import draw_kind
from funreason_agents.models.factory import load_models
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import CertifiedTurn, TrainingRecord
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, TurnTask
from funreason_agents.schemas.tools import ExecutedCall
from funreason_agents.schemas.trajectory import MatchMode, Message, calls_of
from funreason_agents.verification.replay import split_turns

TRIES = 4
"""Places that are tried for each fresh task that is wanted: some tools yield none."""

_NOTHING = AdvancedTool(name="", description="", composition=())


@dataclass(frozen=True)
class ProbeTask:
    """A turn task with the conversation before it."""

    id: str
    task: TurnTask
    conversation: tuple[Message, ...] = ()
    mode: MatchMode = "exact"


def tasks_of_record(record: TrainingRecord, environment: Environment) -> list[ProbeTask]:
    """Return one task for each certified turn, its gold trace executed anew.

    The conversation before a turn is the record's own, not what a student would have made of it.

    Raises:
        ConfigurationError: the record is of another environment, or does not replay there.
        EnvError: the environment broke.
    """
    certificate = record.certificate
    made_in = (certificate.environment_id, certificate.tools_hash)
    if made_in != (environment.id, environment.tools_hash):
        msg = (
            f"record {record.id} is of {certificate.environment_id!r}, or of other tools than "
            f"{environment.id!r} has now; probe with records of this environment"
        )
        raise ConfigurationError(msg)
    turns = split_turns(record.messages)
    if len(turns) != len(certificate.turns):
        raise _does_not_replay(record, environment)
    tasks = []
    session = environment.open(certificate.environment_seed)
    try:
        if session.state_hash() != certificate.initial_state_hash:
            raise _does_not_replay(record, environment)
        for number, (messages, certified) in enumerate(zip(turns, certificate.turns, strict=True)):
            trace = _make_trace(session, environment, messages, certified)
            if trace is None:
                raise _does_not_replay(record, environment)
            completes = certified.hard is not None and certified.hard.part == 2 and number
            task = TurnTask(
                query=messages[0].content,
                advanced_tool=_NOTHING,
                trace=trace,
                hard=certified.hard,
                pending=turns[number - 1][0].content if completes else "",
            )
            before = tuple(message for turn in turns[:number] for message in turn)
            tasks.append(ProbeTask(f"{record.id}/{number}", task, before, certified.mode))
    finally:
        session.close()
    return tasks


def _does_not_replay(record: TrainingRecord, environment: Environment) -> ConfigurationError:
    return ConfigurationError(
        f"record {record.id} does not replay in {environment.id!r}; `funreason verify` tells why"
    )


def _make_trace(
    session: EnvSession,
    environment: Environment,
    messages: Sequence[Message],
    certified: CertifiedTurn,
) -> CallTrace | None:
    """Execute a turn's gold calls, then go on by its own; None if they do not reproduce."""
    start, before = session.snapshot(), session.state_hash()
    plan = [PlannedCall(call.name, call.arguments, call.origins) for call in certified.gold]
    gold = execute_plan(session, plan)
    session.restore(start)
    done = replay_calls(session, calls_of(messages))
    reproduced = [(content_hash(s.result.content), s.state_after) for s in done]
    if gold is None or reproduced != [(c.result_hash, c.state_hash) for c in certified.calls]:
        return None
    slips = certified.hard is not None and certified.hard.kind == "error_recovery"
    mistake: ExecutedCall | None = done[0] if slips and done else None
    return CallTrace(
        environment_id=environment.id,
        seed=session.seed,
        target=certified.target,
        state_before=before,
        calls=tuple(gold),
        mistake=mistake,
    )


def make_tasks(
    environment: Environment, pool: SessionPool, context: SynthesisContext, *, seed: int, count: int
) -> list[ProbeTask]:
    """Make fresh tasks with the offline model: the first turn of a trajectory each.

    Targets are dealt out evenly, kinds by the context's shares. Of a turn that takes two messages
    of the user, the first is the task. There are fewer than `count` where too many targets lead
    to no task.

    Raises:
        EnvError: the environment broke.
    """
    # Decks are dealt by (index, turn): with one turn each, no card is skipped.
    single = context.model_copy(update={"turns": 1})
    made: list[ProbeTask] = []
    for task in _draw_tasks(environment, pool, single, seed=seed, tries=TRIES * count):
        made.append(task)
        if len(made) == count:
            break
    return made


def _draw_tasks(
    environment: Environment, pool: SessionPool, context: SynthesisContext, *, seed: int, tries: int
) -> Iterator[ProbeTask]:
    explorer = create_environment_explorer(environment=environment, sessions=pool)
    writer = create_query_writer(environment=environment, models=load_models("offline"))
    for index in range(tries):
        kind: Any = draw_kind(seed, index, 0, context)
        for attempt in range(1, context.turn_attempts + 1):
            if 1 < attempt == context.turn_attempts:
                kind = "plain"  # rather than lose the place
            place = {"run_seed": seed, "index": index, "turn_attempt": attempt, "turn_kind": kind}
            trace = explorer.invoke(place, context=context)["call_trace"]
            if trace is None:
                continue
            written = writer.invoke({**place, "call_trace": trace}, context=context)["turn_task"]
            if written is not None:
                task = TurnTask.model_validate(written)
                yield ProbeTask(f"{seed}/{index}", task, mode=context.match_mode)
                break
