"""Error and recovery: a plausible first call that the world really refuses."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import PlannedCall, execute, execute_plan, to_plan
from funreason_agents.schemas.base import canonical_json, iterate_leaves, parse_result
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, ToolCall
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.derivations import DIRECT, Facts, facts_of, find_derivation
from funreason_agents.verification.query_gate import CHOICE, supplied_leaves
from funreason_agents.verification.values import is_trivial, same_value

_TRIALS = 24
"""Candidates that are executed before the trace is given up."""
_KNOWN = 40
"""Values of the conversation that are tried in an argument's place, the latest ones."""
_SHORT = 40
"""Length of a text that may stand for a thing; a longer one is a message."""

_SAID = DIRECT | {"schema"}
"""How an argument of a mistake may be derived: nobody slips by computing a value."""

_Candidate = tuple[str, dict[str, Any]]


def find_mistake(
    session: EnvSession,
    trace: CallTrace,
    environment: Environment,
    conversation: Sequence[Message],
    generator: random.Random,
) -> ExecutedCall | None:
    """Return a call that somebody could make first, and that is refused; None if none was found.

    It is a gold call made before what it needs, with a value that is not quite right (a part of
    it, or in another case), or with one known value in the place of another. The gold trace must
    still work after it.

    Args:
        session: Stands before the trace, and is left there.
        trace: The gold trace.
        environment: Whose tools it calls.
        conversation: The conversation before.
        generator: Draws the order in which candidates are tried.
    """
    facts = facts_of(conversation)
    said = [v for label, v in supplied_leaves(trace, environment.tools) if label != CHOICE]
    likely = [*_make_early(trace), *_blur_values(trace)]
    others = list(_replace_values(trace, [*said, *_shown_values(conversation)]))
    generator.shuffle(likely)
    generator.shuffle(others)
    start = session.snapshot()
    tried = 0
    for name, arguments in (*likely, *others):
        call = ToolCall(id="call_0", name=name, arguments=arguments)
        if environment.find_problem(call) or not _can_be_said(call, environment, facts, said):
            continue
        step = execute(session, PlannedCall(name, arguments), call.id)
        refused = step.result.is_error and step.state_before == step.state_after
        usable = refused and _still_works(session, trace)
        session.restore(start)
        if usable:
            return step
        tried += 1
        if tried == _TRIALS:
            break
    return None


def _make_early(trace: CallTrace) -> Iterator[_Candidate]:
    """Yield the calls after the first one, as they are."""
    for step in trace.calls[1:]:
        yield step.call.name, step.call.arguments


def _blur_values(trace: CallTrace) -> Iterator[_Candidate]:
    """Yield the first call with one text cut down or in lower case.

    A later call would be refused for what it needs as well, whatever its values.
    """
    first = trace.calls[0].call
    for name, value in first.arguments.items():
        if not isinstance(value, str) or _is_message(value):
            continue
        for other in dict.fromkeys(
            (value.rpartition(".")[0], value.partition(" ")[0], value.lower())
        ):
            if len(other) >= 3 and other != value:
                yield first.name, {**first.arguments, name: other}


def _shown_values(conversation: Sequence[Message]) -> Iterator[Any]:
    """Yield values that successful results of the conversation showed, the latest first."""
    results = [m for m in conversation if m.role == "tool" and not m.is_error]
    leaves = (
        leaf
        for message in reversed(results)
        for _, leaf in iterate_leaves(parse_result(message.content))
        if not is_trivial(leaf) and not (isinstance(leaf, str) and _is_message(leaf))
    )
    yield from itertools.islice(leaves, _KNOWN)


def _is_message(text: str) -> bool:
    return len(text) > _SHORT or text.endswith((".", "!", "?"))


def _replace_values(trace: CallTrace, known: Sequence[Any]) -> Iterator[_Candidate]:
    """Yield calls in which another value stands in for one argument, or for all that is not known.

    Where a call uses outputs, these are what has to be replaced: nobody has them yet.
    """
    for step in trace.calls:
        arguments = step.call.arguments
        unknown = {
            pointer.split("/")[1]
            for pointer, origin in step.origins.items()
            if origin.kind == "output"
        }
        choices = [{name} for name in arguments] if not unknown else [unknown]
        for names in choices:
            for value in known:
                if all(_can_replace(arguments[name], value) for name in names):
                    yield (
                        step.call.name,
                        {**copy.deepcopy(arguments), **dict.fromkeys(names, value)},
                    )


def _can_replace(value: Any, other: Any) -> bool:
    return type(value) is type(other) and not same_value(value, other) and not is_trivial(value)


def _can_be_said(
    call: ToolCall, environment: Environment, facts: Facts, said: Sequence[Any]
) -> bool:
    """Whether each argument follows from what the user will say, or from the conversation."""
    schemas = environment.tool(call.name).properties
    known = facts.add_result(list(said))
    return all(
        find_derivation(leaf, known, schemas.get(pointer.split("/")[1])) in _SAID
        for pointer, leaf in iterate_leaves(call.arguments)
    )


def _still_works(session: EnvSession, trace: CallTrace) -> bool:
    done = execute_plan(session, to_plan(trace.calls))
    return (
        done is not None
        and done[-1].state_after == trace.state_after
        and all(
            canonical_json(step.result.content) == canonical_json(gold.result.content)
            for step, gold in zip(done, trace.calls, strict=True)
        )
    )
