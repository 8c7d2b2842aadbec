"""Replay a record in a fresh session and judge it anew, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import Field

from funreason_agents.environments.base import Environment, EnvSession, Snapshot
from funreason_agents.environments.execution import PlannedCall, execute_plan, replay_calls
from funreason_agents.errors import VerificationError
from funreason_agents.schemas.base import Frozen, content_hash, result_text
from funreason_agents.schemas.record import CertifiedTurn, TrainingRecord, make_record_id
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, ToolCall
from funreason_agents.schemas.trajectory import Check, CheckName, Message, calls_of
from funreason_agents.verification.checks import TurnCase
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.turn_kinds import find_parallel_group, replay_reversed
from funreason_agents.verification.verdict import judge_turn


class Problem(Frozen):
    """Something about a record that does not hold."""

    turn: int | None
    check: str
    """Name of the failed check, or `record_id`, `tools`, `initial_state`, `turns`, `messages`,
    `trainable`, `checks`, `target`, `parts`."""
    details: dict[str, Any] = Field(default_factory=dict)


class RecordReport(Frozen):
    """The outcome of replaying one record."""

    record_id: str
    problems: tuple[Problem, ...] = ()

    @property
    def reproduced(self) -> bool:
        """True if the record replays and passes every check."""
        return not self.problems


def verify_record(record: TrainingRecord, environment: Environment) -> RecordReport:
    """Replay `record` in a fresh session of `environment` and run every check on it.

    The gold calls of the certificate are executed too, so the end state and the values that
    flow between calls are compared with what really happens, not with what the record says.

    Raises:
        VerificationError: the record belongs to another environment, or to another version of
            its tools.
        EnvError: the environment broke.
    """
    _require_same_environment(record, environment)
    problems = list(_find_outer_problems(record, environment))
    turns = split_turns(record.messages)
    if len(turns) != len(record.certificate.turns):
        details = {"messages": len(turns), "certificate": len(record.certificate.turns)}
        problems.append(Problem(turn=None, check="turns", details=details))
        return RecordReport(record_id=record.id, problems=tuple(problems))
    if any(problem.check == "messages" for problem in problems):
        return RecordReport(record_id=record.id, problems=tuple(problems))
    session = environment.open(record.certificate.environment_seed)
    try:
        if session.state_hash() != record.certificate.initial_state_hash:
            problems.append(Problem(turn=None, check="initial_state"))
        # First the calls of all turns, in a session that nothing but them has touched.
        replays: list[tuple[Snapshot, list[ExecutedCall]]] = []
        for messages in turns:
            replays.append((session.snapshot(), replay_calls(session, calls_of(messages))))
        before = Facts()
        for number, (messages, certified) in enumerate(
            zip(turns, record.certificate.turns, strict=True)
        ):
            start, replayed = replays[number]
            session.restore(start)
            is_completion = certified.hard is not None and certified.hard.part == 2
            pending = turns[number - 1][0].content if is_completion and number else ""
            failed = _judge(environment, session, before, messages, certified, replayed, pending)
            problems += [Problem(turn=number, check=c.name, details=c.details) for c in failed]
            before = before.add_messages(messages)
    finally:
        session.close()
    return RecordReport(record_id=record.id, problems=tuple(problems))


def split_turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Split a conversation into turns; each begins with a message of the user."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _require_same_environment(record: TrainingRecord, environment: Environment) -> None:
    certificate = record.certificate
    if certificate.environment_id != environment.id:
        msg = f"record {record.id} is of {certificate.environment_id!r}, not of {environment.id!r}"
        raise VerificationError(msg)
    if certificate.tools_hash != environment.tools_hash:
        msg = (
            f"the tools of {environment.id!r} have changed since record {record.id} was made; "
            "verify it with the environment's version of then, or synthesize anew"
        )
        raise VerificationError(msg)


def _find_outer_problems(record: TrainingRecord, environment: Environment) -> list[Problem]:
    problems = []
    if make_record_id(record.messages, record.tools) != record.id:
        problems.append(Problem(turn=None, check="record_id"))
    if tuple(record.tools) != environment.tools:
        problems.append(Problem(turn=None, check="tools"))
    ids = [call.id for call in calls_of(record.messages)]
    if len(set(ids)) < len(ids):
        problems.append(Problem(turn=None, check="messages", details={"problem": "repeated ids"}))
    for number, messages in enumerate(split_turns(record.messages)):
        problem = _find_shape_problem(messages)
        if problem:
            problems.append(Problem(turn=number, check="messages", details={"problem": problem}))
        if any(_find_trained_errors(messages)):
            problems.append(Problem(turn=number, check="trainable"))
    return problems + _find_claimed_problems(record)


def _find_trained_errors(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield the messages that are trained on although a call of theirs was refused."""
    refused = {m.tool_call_id for m in messages if m.role == "tool" and m.is_error}
    for message in messages:
        if message.trainable and any(call.id in refused for call in message.tool_calls):
            yield message


def _find_claimed_problems(record: TrainingRecord) -> list[Problem]:
    """Compare what the record says of its own verdicts and targets with what must be there."""
    problems = []
    names = set(get_args(CheckName))
    for number, checks in enumerate(record.checks):
        if {check.name for check in checks} != names or not all(check.passed for check in checks):
            problems.append(Problem(turn=number, check="checks"))
    if len(record.checks) != len(record.certificate.turns):
        problems.append(Problem(turn=None, check="checks"))
    for number, turn in enumerate(record.certificate.turns):
        if turn.target not in ({call.name for call in turn.gold} or {""}):
            problems.append(Problem(turn=number, check="target"))
    return problems + _find_part_problems(record)


def _find_part_problems(record: TrainingRecord) -> list[Problem]:
    """Where a turn takes two messages of the user, one must complete the other."""
    problems = []
    hard = [turn.hard for turn in record.certificate.turns]
    for number, each in enumerate(hard):
        if each is None or each.kind not in ("missing_function", "missing_parameter"):
            continue
        place = number + (1 if each.part == 1 else -1)
        other = hard[place] if 0 <= place < len(hard) else None
        wanted = each.model_copy(update={"part": 3 - each.part})
        if other != wanted:
            problems.append(Problem(turn=number, check="parts"))
    return problems


def _find_shape_problem(messages: Sequence[Message]) -> str | None:
    """Return what is wrong with the shape of a turn: query, calls each with its result, reply."""
    waiting: list[ToolCall] = []
    for position, message in enumerate(messages):
        role = "user" if position == 0 else "tool" if waiting else "assistant"
        if message.role != role:
            return f"message {position} is of the {message.role}, not of the {role}"
        if role != "assistant" and (message.tool_calls or message.reasoning or message.trainable):
            return f"message {position} of the {role} calls, reasons or is trained on"
        if role == "tool":
            call = waiting.pop(0)
            if (message.tool_call_id, message.name) != (call.id, call.name):
                return f"message {position} is not the result of call {call.id!r}"
        elif message.tool_call_id or message.name or message.is_error:
            return f"message {position} of the {role} has fields of a tool result"
        if role == "assistant" and not message.tool_calls and position < len(messages) - 1:
            return f"message {position} closes the turn, but it goes on"
        waiting += message.tool_calls
    closed = messages[-1].role == "assistant" and not messages[-1].tool_calls
    return None if closed else "the turn does not end in a reply"


def _judge(
    environment: Environment,
    session: EnvSession,
    before: Facts,
    messages: Sequence[Message],
    certified: CertifiedTurn,
    replayed: Sequence[ExecutedCall],
    pending: str,
) -> list[Check]:
    """Return the failed checks of one turn; the session stands before it."""
    start, state_before = session.snapshot(), session.state_hash()
    plan = [PlannedCall(call.name, call.arguments, call.origins) for call in certified.gold]
    gold = execute_plan(session, plan)
    replays = _check_against_certificate(messages, certified, replayed)
    if gold is None:
        details = {"problem": "the gold calls of the certificate cannot be executed"}
        match = Check(name="calls_match", passed=False, mode=certified.mode, details=details)
        return [match] if replays.passed else [match, replays]
    trace = CallTrace(
        environment_id=environment.id,
        seed=session.seed,
        target=certified.target,
        state_before=state_before,
        calls=tuple(gold),
    )
    kind = certified.hard.kind if certified.hard else "plain"
    group = find_parallel_group(messages) if kind == "parallel_calls" else None
    if group is not None:
        session.restore(start)
    case = TurnCase(
        environment=environment,
        query=messages[0].content,
        trace=trace,
        messages=tuple(messages[1:]),
        executed=tuple(replayed),
        before=before,
        mode=certified.mode,
        hard=certified.hard,
        pending=pending,
        reversed_group=tuple(replay_reversed(session, replayed, group)) if group else None,
    )
    verdict = judge_turn(case, replays)
    return [check for check in verdict.checks if not check.passed]


def _check_against_certificate(
    messages: Sequence[Message], certified: CertifiedTurn, replayed: Sequence[ExecutedCall]
) -> Check:
    """Compare the replay with the record's tool messages and with its certificate."""
    shown = [(m.tool_call_id, m.content, m.is_error) for m in messages if m.role == "tool"]
    problems: list[dict[str, Any]] = []
    if not len(shown) == len(certified.calls) == len(replayed):
        counts = {"results": len(shown), "certified": len(certified.calls), "calls": len(replayed)}
        problems.append({"step": None, "differs": "count", **counts})
    for step, (message, call, done) in enumerate(
        zip(shown, certified.calls, replayed, strict=False)
    ):
        text = result_text(done.result.content)
        if message != (done.call.id, text, done.result.is_error):
            problems.append({"step": step, "differs": "result"})
        elif content_hash(done.result.content) != call.result_hash:
            problems.append({"step": step, "differs": "result_hash"})
        elif done.state_after != call.state_hash:
            problems.append({"step": step, "differs": "state"})
    return Check(name="replays", passed=not problems, details={"problems": problems})
