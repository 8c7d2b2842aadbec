"""Human review: the supervisor stops, shows a query or a turn, and takes a typed decision.

An edit is executed and verified again like anything that a model makes. One that does not pass is
refused with the failing checks, and the reviewer is asked again. One that passes is shown again as
well, with its new results: a turn may need several edits, and only `accept` ends its review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import StateSnapshot, interrupt
from pydantic import ValidationError

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.execution import replay_calls
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import FunReasonError, boundary
from funreason_agents.graphs.attempts import judge_attempt, to_result
from funreason_agents.graphs.conversation import from_state
from funreason_agents.graphs.state import Json, SupervisorState
from funreason_agents.schemas.base import canonical_json
from funreason_agents.schemas.review import (
    Edit,
    ReviewAction,
    ReviewDecision,
    ReviewedCall,
    ReviewPoint,
    ReviewRequest,
)
from funreason_agents.schemas.tasks import HardTurn, TurnTask
from funreason_agents.schemas.tools import ExecutedCall
from funreason_agents.schemas.trajectory import Attempt, Check, Message, Turn, calls_of
from funreason_agents.verification.checks import TurnCase, check_query_clean
from funreason_agents.verification.derivations import facts_of
from funreason_agents.verification.turn_kinds import check_turn_kind

ACTIONS: dict[ReviewPoint, tuple[ReviewAction, ...]] = {
    "query": ("accept", "edit_query", "reject"),
    "turn": ("accept", "edit_query", "edit_call", "edit_reply", "reject"),
}
BY_REVIEWER = "review: "
"""How the reason of a rejection begins that a person gave."""
Conversation = Callable[[SupervisorState], list[Json]]


def make_review(
    point: ReviewPoint, environment: Environment, pool: SessionPool, conversation: Conversation
) -> Callable[..., Json]:
    """Return the node that asks a person at `point`.

    Args:
        point: Where in a turn it stands.
        environment: Where edits are executed.
        pool: Its live sessions.
        conversation: From the supervisor's state to the conversation before the turn.
    """

    def review(state: SupervisorState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        decision = read_decision(interrupt(_describe(point, state).to_json()))
        if isinstance(decision, list):
            return {"review_refused": decision}
        if decision.action not in ACTIONS[point]:
            possible = ", ".join(ACTIONS[point])
            problem = f"{decision.action!r} is not possible at a {point}; use one of: {possible}"
            return {"review_refused": [problem]}
        if decision.action == "accept":
            return {"review_refused": [], "reviewed": [*state["reviewed"], point]}
        if decision.action == "reject":
            return {"review_refused": [], "rejection": f"{BY_REVIEWER}{decision.reason}"}
        shown = _Shown.of(state, from_state(conversation(state)))
        edited = _edit(decision, shown, environment, pool, context)
        if isinstance(edited, list):
            return {"review_refused": edited}
        edits = [*state["edits"], edited.pop("edit")]
        return {**edited, "edits": edits, "review_refused": []}

    return review


def is_due(state: SupervisorState, point: ReviewPoint) -> bool:
    """Whether a person is to be asked at `point` and has not yet settled it."""
    return (
        point in state["review"]
        and point not in state["reviewed"]
        and not state.get("rejection")
        and (point == "turn") == bool(state.get("attempt"))
    )


def read_decision(answer: Any) -> ReviewDecision | list[str]:
    """Return the decision that an answer is, or what is wrong with it."""
    try:
        return ReviewDecision.model_validate(answer)
    except ValidationError as exc:
        return [
            ": ".join([*map(str, error["loc"]), error["msg"].removeprefix("Value error, ")])
            for error in exc.errors()
        ]


def read_request(state: StateSnapshot) -> ReviewRequest | None:
    """Return what a thread waits for a person to decide, if it does.

    Raises:
        FunReasonError: it waits for something else, or was made by another version.
    """
    if not state.interrupts:
        return None
    with boundary(FunReasonError, "read what is asked in a review"):
        return ReviewRequest.model_validate(state.interrupts[0].value)


def _describe(point: ReviewPoint, state: SupervisorState) -> ReviewRequest:
    task = TurnTask.model_validate(state["turn_task"])
    attempt = Attempt.model_validate(state["attempt"]) if point == "turn" else None
    steps: Sequence[ExecutedCall] = attempt.executed if attempt else task.trace.calls
    earlier = [
        Turn.model_validate(entry["turn"])
        for entry in (*state.get("turns", []), *state.get("parts", []))
    ]
    return ReviewRequest(
        point=point,
        turn=state["turn"],
        kind=task.kind,
        before=tuple(
            text
            for turn in earlier
            for text in (_without_filler(turn.query, turn.hard), turn.attempt.reply)
        ),
        query=_without_filler(task.query, task.hard),
        filler_chars=len(task.hard.filler) if task.hard else 0,
        then=task.then.query if task.then else "",
        calls=tuple(
            ReviewedCall(
                name=step.call.name,
                arguments=step.call.arguments,
                result=step.result.content,
                is_error=step.result.is_error,
            )
            for step in steps
        ),
        reply=attempt.reply if attempt else "",
        actions=ACTIONS[point],
        edits=tuple(map(Edit.model_validate, state["edits"])),
        refused=tuple(state.get("review_refused") or ()),
    )


def _without_filler(query: str, hard: HardTurn | None) -> str:
    return hard.strip_filler(query) if hard else query


@dataclass(frozen=True)
class _Shown:
    """What the reviewer was shown, and may edit."""

    task: TurnTask
    attempt: Attempt | None
    """None at a query."""
    before: tuple[Message, ...]
    """The conversation before the turn."""

    @classmethod
    def of(cls, state: SupervisorState, before: tuple[Message, ...]) -> _Shown:
        """Read it from the supervisor's state."""
        attempt = Attempt.model_validate(state["attempt"]) if state.get("attempt") else None
        return cls(TurnTask.model_validate(state["turn_task"]), attempt, before)


def _edit(
    decision: ReviewDecision,
    shown: _Shown,
    environment: Environment,
    pool: SessionPool,
    context: SynthesisContext,
) -> Json | list[str]:
    """Return the update that an edit makes, with the `edit` itself, or what is wrong with it."""
    edit = _describe_edit(decision, shown)
    if isinstance(edit, str):
        return [edit]
    if canonical_json(edit.before) == canonical_json(edit.after):
        return [f"{edit.action!r} would change nothing; to take it as it is, use 'accept'"]
    task, attempt = shown.task, shown.attempt
    checks: list[Check] = []
    if edit.action == "edit_query":
        task = _with_query(task, edit.after)
        checks += _judge_query(task, shown.before, environment)
    update: Json = {"edit": edit.to_json(), "turn_task": task.to_json()}
    if attempt is not None:
        if edit.action == "edit_call":
            attempt = _execute_anew(attempt, edit, task, shown.before, pool)
        elif edit.action == "edit_reply":
            last = attempt.messages[-1].model_copy(update={"content": edit.after, **_UNTHOUGHT})
            attempt = attempt.model_copy(update={"messages": (*attempt.messages[:-1], last)})
        mode = context.match_mode
        verdict = judge_attempt(attempt, task, shown.before, environment, pool, mode)
        checks += verdict.checks
        update |= {"attempt": attempt.to_json(), "verdict": verdict.to_json()}
    return list(dict.fromkeys(_explain(check) for check in checks if not check.passed)) or update


_UNTHOUGHT: Json = {"reasoning": None}
"""The model's reasoning led to what the model said; a message that a person edited has none."""


def _describe_edit(decision: ReviewDecision, shown: _Shown) -> Edit | str:
    hard = shown.task.hard
    if decision.action == "edit_query":
        assert decision.query is not None
        before = _without_filler(shown.task.query, hard)
        after = _without_filler(decision.query, hard).strip()
        return Edit(action="edit_query", before=before, after=after)
    assert shown.attempt is not None
    if decision.action == "edit_reply":
        return Edit(action="edit_reply", before=shown.attempt.reply, after=decision.reply)
    calls = calls_of(shown.attempt.messages)
    number = decision.call
    assert number is not None
    if number >= len(calls):
        held = f"calls 0 to {len(calls) - 1}" if calls else "no calls"
        return f"there is no call {number}; the turn has {held}"
    if number == 0 and shown.task.trace.mistake is not None:
        return "call 0 is the mistake that the turn is made to recover from; it stays as it is"
    made = calls[number].arguments
    return Edit(action="edit_call", call=number, before=made, after=decision.arguments)


def _with_query(task: TurnTask, query: str) -> TurnTask:
    """Put another request into a task: the text around it and what completes it stay."""
    filler = task.hard.filler if task.hard else ""
    if filler:
        parts = (filler, query) if task.query.startswith(filler) else (query, filler)
        query = "\n\n".join(parts)
    then = task.then.model_copy(update={"pending": query}) if task.then else None
    return task.model_copy(update={"query": query, "then": then})


def _judge_query(
    task: TurnTask, before: Sequence[Message], environment: Environment
) -> list[Check]:
    """Run the checks that a query decides, before anybody has answered it.

    Where the query lacks something, it is also judged together with what completes it: the
    message that comes then can no longer make up for a value that the edit has dropped.
    """
    case = TurnCase(
        environment=environment,
        query=task.query,
        trace=task.trace,
        messages=(Message(role="assistant", content=_answer_rightly(task)),),
        executed=(),
        before=facts_of(before),
        hard=task.hard,
        pending=task.pending,
    )
    checks = [check_query_clean(case)]
    if not task.trace.calls:  # else what makes it hard lies in the calls, or beside the request
        checks.append(check_turn_kind(case))
    if task.then is not None:
        asked = Message(role="user", content=task.query)
        checks += _judge_query(task.then, (*before, asked), environment)
    return checks


def _answer_rightly(task: TurnTask) -> str:
    """Return a reply in place of the one to come: where nothing is to be called, a right one."""
    wanted = task.hard.omitted if task.hard else None
    asking = f" Please tell me the {wanted.label} ({wanted.description})." if wanted else ""
    return f"I am sorry, I cannot do that.{asking}"


def _execute_anew(
    attempt: Attempt, edit: Edit, task: TurnTask, before: Sequence[Message], pool: SessionPool
) -> Attempt:
    """Execute the turn with an edited call: later results follow from it."""
    assert edit.call is not None
    edited = calls_of(attempt.messages)[edit.call].id
    messages = [_with_arguments(message, edited, edit.after) for message in attempt.messages]
    history, expected = calls_of(before), task.trace.state_before
    with pool.lease(task.trace.seed, history, state_hash=expected) as session:
        start = session.snapshot()
        executed = replay_calls(session, calls_of(messages))
        session.restore(start)
    steps = {step.call.id: step for step in executed}
    for number, message in enumerate(messages):
        if message.role == "tool":
            messages[number] = to_result(steps[str(message.tool_call_id)])
        elif message.tool_calls and not (number == 0 and task.trace.mistake):
            refused = any(steps[call.id].result.is_error for call in message.tool_calls)
            messages[number] = message.model_copy(update={"trainable": not refused})
    return attempt.model_copy(update={"messages": tuple(messages), "executed": tuple(executed)})


def _with_arguments(message: Message, call_id: str, arguments: Json) -> Message:
    if all(call.id != call_id for call in message.tool_calls):
        return message
    calls = tuple(
        call.model_copy(update={"arguments": arguments}) if call.id == call_id else call
        for call in message.tool_calls
    )
    return message.model_copy(update={"tool_calls": calls, **_UNTHOUGHT})


def _explain(check: Check) -> str:
    """Return what a failed check says, beginning with its name."""
    problems = check.details.get("problems") or [check.details]
    said = [each if isinstance(each, str) else canonical_json(each) for each in problems]
    return f"{check.name}: {'; '.join(said)}"
