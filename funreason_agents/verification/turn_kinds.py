"""Does a turn hold what its kind claims? One function per kind, each from the turn alone.

Where nothing may be called, the reply must decline or ask, and may not claim that anything was
done; `wording` tells by its words, `reply_grounded` looks at what else it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from funreason_agents.environments.base import EnvSession
from funreason_agents.environments.execution import replay_calls
from funreason_agents.errors import VerificationError
from funreason_agents.schemas.base import canonical_json, iterate_leaves
from funreason_agents.schemas.tasks import CallTrace, HardTurn, HardTurnKind, OuterInput
from funreason_agents.schemas.tools import ExecutedCall
from funreason_agents.schemas.trajectory import Check, Message
from funreason_agents.schemas.words import humanize
from funreason_agents.verification.checks import TurnCase
from funreason_agents.verification.derivations import DIRECT, Facts, Source, find_derivation
from funreason_agents.verification.likeness import coverage, find_asked, find_related, find_same
from funreason_agents.verification.values import (
    fold,
    folded_holds,
    holds_number,
    is_distinctive,
    is_number,
    same_value,
)
from funreason_agents.verification.wording import asks_for, claims_deed, declines

LEAST_FILLER = 400
"""Characters of unrelated text below which a context is not long."""


def check_turn_kind(case: TurnCase) -> Check:
    """A hard turn is what it claims to be; a plain one claims nothing.

    Raises:
        VerificationError: calls of one message were not executed in the other order.
    """
    hard = case.hard
    if hard is None:
        problems = _check_plain(case)
    else:
        # A record built in memory may not have been validated.
        problems = [*hard.find_misfits(), *_FINDERS[hard.kind](case, hard)]
    kind = hard.kind if hard else "plain"
    return Check(
        name="turn_kind", passed=not problems, details={"kind": kind, "problems": problems}
    )


def _check_plain(case: TurnCase) -> list[str]:
    return [] if case.trace.calls else ["a plain turn without gold calls"]


def _find_idle_problems(case: TurnCase) -> list[str]:
    """Return the calls of a turn in which none may be made, and the claim that one was."""
    problems = ["the gold answer holds calls"] if case.trace.calls else []
    claim = claims_deed(_reply(case))
    if claim is not None:
        problems.append(f"nothing was done, but the reply says {claim!r}")
    return problems + [f"it calls {step.call.name!r}" for step in case.executed]


def _reply(case: TurnCase) -> str:
    return case.messages[-1].content if case.messages else ""


def _check_missing_function(case: TurnCase, hard: HardTurn) -> list[str]:
    name = hard.function
    spec = next((tool for tool in case.environment.tools if tool.name == name), None)
    if spec is None:
        return [f"the environment has no function {name!r} to withhold"]
    if hard.part == 2:
        problems = [] if case.pending else ["there is no request that it completes"]
        gold = {step.call.name for step in case.trace.calls}
        done = {step.call.name for step in case.executed if not step.result.is_error}
        if name not in gold & done:
            problems.append(f"the function {name!r} is not called once it is offered")
        return problems
    problems = _find_idle_problems(case)
    if any(tool.name == name for tool in case.offered):
        problems.append(f"the withheld function {name!r} is offered")
    other = find_same(spec, case.offered)
    if other is not None:
        problems.append(f"the tool {other!r} nearly says the same as {name!r}")
    if not declines(_reply(case)):
        problems.append("the reply does not decline")
    return problems


def is_known(value: Any, facts: Facts) -> bool:
    """Return whether any part of a value stands in the facts or follows from them."""
    return any(find_derivation(leaf, facts) is not None for _, leaf in iterate_leaves(value))


def find_takers(value: Any, trace: CallTrace) -> list[tuple[int, str, str]]:
    """Return (position, tool, parameter) of the gold arguments that are `value`."""
    return [
        (position, step.call.name, name)
        for position, step in enumerate(trace.calls)
        for name, argument in step.call.arguments.items()
        if same_value(argument, value)
    ]


def _check_missing_parameter(case: TurnCase, hard: HardTurn) -> list[str]:
    omitted = hard.omitted
    if omitted is None:
        return ["nothing is omitted"]
    if hard.part == 2:
        return _find_supply_problems(case, omitted)
    problems = _find_idle_problems(case)
    if is_known(omitted.value, case.before.add_text(case.request)):
        problems.append(f"the {omitted.label} is known: {omitted.value!r}")
    if not asks_for(_reply(case), omitted):
        problems.append(f"the reply does not ask for the {omitted.label}")
    return problems


def _find_supply_problems(case: TurnCase, omitted: OuterInput) -> list[str]:
    problems = [] if case.pending else ["there is no request that it completes"]
    said = Facts().add_text(case.own_query)
    if any(find_derivation(leaf, said) not in DIRECT for _, leaf in iterate_leaves(omitted.value)):
        problems.append(f"the {omitted.label} is not supplied: {omitted.value!r}")
    takers = find_takers(omitted.value, case.trace)
    if not takers:
        problems.append(f"no gold call takes the {omitted.label}")
    for _, name, parameter in takers:
        tool = case.environment.tool(name)
        if parameter not in tool.required or "default" in tool.properties.get(parameter, {}):
            problems.append(f"the parameter {parameter!r} of {name!r} may be left out")
    return problems


def gold_values(trace: CallTrace) -> Iterator[Any]:
    """Yield the values that text around a request must not hold."""
    for step in trace.calls:
        for _, leaf in iterate_leaves(step.call.arguments):
            if is_distinctive(leaf) or (isinstance(leaf, str) and len(leaf) >= 3):
                yield leaf
        for _, leaf in iterate_leaves(step.result.content):
            if is_distinctive(leaf):
                yield leaf


def find_held(text: str, values: Iterator[Any]) -> list[Any]:
    """Return those of `values` that a text states."""
    source, found = Source("text", text), []
    for value in values:
        held = (
            holds_number(source.written, value)
            if is_number(value)
            else folded_holds(source.folded, fold(str(value)))
        )
        if held and value not in found:
            found.append(value)
    return found


def _check_long_context(case: TurnCase, hard: HardTurn) -> list[str]:
    problems = []
    if len(hard.filler) < LEAST_FILLER:
        problems.append(f"the text around the request has {len(hard.filler)} characters only")
    if not (
        case.query.startswith(f"{hard.filler}\n\n") or case.query.endswith(f"\n\n{hard.filler}")
    ):
        problems.append("the text around the request does not stand around it")
    held = find_held(hard.filler, gold_values(case.trace))
    problems += [f"the text around the request holds {value!r}" for value in held]
    called = {step.call.name for step in case.executed}
    own = case.environment.tools
    names = {humanize(tool.name) for tool in own}
    for tool in hard.distractors:
        if tool.name in called:
            problems.append(f"it calls the distractor {tool.name!r}")
        if humanize(tool.name) in names:
            problems.append(f"the distractor {tool.name!r} is named like a tool")
        elif (other := find_related(tool, own)) is not None:
            problems.append(f"the distractor {tool.name!r} is related to {other!r}")
    return problems


def find_parallel_group(messages: Sequence[Message]) -> tuple[int, int] | None:
    """Return where the calls of the largest message with several stand among the executed calls.

    Returns:
        Start and stop of them; of several messages of one size the first; None if there is none.
    """
    best, start = None, 0
    for message in messages:
        stop = start + len(message.tool_calls)
        if stop - start > max(1, best[1] - best[0] if best else 0):
            best = (start, stop)
        start = stop
    return best


def replay_reversed(
    session: EnvSession, executed: Sequence[ExecutedCall], group: tuple[int, int]
) -> list[ExecutedCall]:
    """Execute the calls of one message in the other order, and return what each of them did.

    Args:
        session: Stands before the turn, and is left there.
        executed: The calls of the turn.
        group: Which of them are the calls of the message, from `find_parallel_group`.
    """
    start, calls = session.snapshot(), [step.call for step in executed]
    replay_calls(session, calls[: group[0]])
    steps = replay_calls(session, calls[group[0] : group[1]][::-1])
    session.restore(start)
    return steps


def _check_parallel_calls(case: TurnCase, hard: HardTurn) -> list[str]:
    group = find_parallel_group(case.messages)
    if group is None:
        return ["no message holds several calls"]
    if case.reversed_group is None:
        msg = "the calls of one message were not executed in the other order"
        raise VerificationError(msg)
    steps = case.executed[group[0] : group[1]]
    problems = []
    if len(_independent_counterparts(steps, case.trace.calls)) < 2:
        problems.append("no message holds two gold calls that do not depend on each other")
    if len(steps) != len(case.reversed_group):
        return [*problems, "not all calls of the message were executed in the other order"]
    for step, other in zip(steps, reversed(case.reversed_group), strict=True):
        if step.call.name != other.call.name or _outcome(step) != _outcome(other):
            problems.append(f"in the other order, {step.call.name!r} gives another result")
    if steps[-1].state_after != case.reversed_group[-1].state_after:
        problems.append("the other order leads to another end state")
    return problems


def _outcome(step: ExecutedCall) -> tuple[bool, str]:
    return step.result.is_error, canonical_json(step.result.content)


def _independent_counterparts(
    steps: Sequence[ExecutedCall], gold: Sequence[ExecutedCall]
) -> list[int]:
    """Return the gold positions of those of `steps` that use no output of one another."""
    found: list[int] = []
    for step in steps:
        for position, other in enumerate(gold):
            same = step.call.name == other.call.name and _outcome(step) == _outcome(other)
            if same and position not in found and not find_needed(gold, position) & {*found}:
                found.append(position)
                break
    return found


def find_needed(calls: Sequence[ExecutedCall], position: int) -> set[int]:
    """Return the positions of the calls whose outputs a call uses, directly or through others."""
    needed: set[int] = set()
    for origin in calls[position].origins.values():
        if origin.kind == "output" and origin.call is not None and origin.call not in needed:
            needed |= {origin.call, *find_needed(calls, origin.call)}
    return needed


def _check_irrelevance(case: TurnCase, hard: HardTurn) -> list[str]:
    if hard.foreign is None:
        return ["the tool that it would take is not recorded"]
    problems = _find_idle_problems(case)
    other = find_related(hard.foreign, case.offered)
    if other is not None:
        problems.append(f"the tool {other!r} is related to what is asked for")
    asked = coverage(case.request, hard.foreign)
    problems += [
        f"the tool {tool.name!r} covers the request as well"
        for tool in case.offered
        if coverage(case.request, tool) >= asked
    ]
    problems += [
        f"the tool {name!r} could serve a part of the request: {part!r}"
        for name, part in find_asked(case.request, case.offered, hard.foreign)
    ]
    if not declines(_reply(case)):
        problems.append("the reply does not decline")
    return problems


def _check_error_recovery(case: TurnCase, hard: HardTurn) -> list[str]:
    first = case.messages[0] if case.messages else None
    if first is None or len(first.tool_calls) != 1 or not case.executed:
        return ["it does not begin with one call"]
    mistake, problems = case.executed[0], []
    if not mistake.result.is_error:
        problems.append("the first call is no mistake: it succeeds")
    if first.trainable:
        problems.append("the first call may be trained on")
    if mistake.state_before != mistake.state_after:
        problems.append("the first call changes the state")
    name = mistake.call.name
    later = (step for step in case.executed[1:] if step.call.name == name)
    if not any(not step.result.is_error for step in later):
        problems.append(f"no later call of {name!r} succeeds")
    return problems


_FINDERS: dict[HardTurnKind, Callable[[TurnCase, HardTurn], list[str]]] = {
    "missing_function": _check_missing_function,
    "missing_parameter": _check_missing_parameter,
    "long_context": _check_long_context,
    "parallel_calls": _check_parallel_calls,
    "irrelevance": _check_irrelevance,
    "error_recovery": _check_error_recovery,
}
