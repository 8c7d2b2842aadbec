"""FCDR's five checks in order (arXiv 2505.20192, its table of stages), as far as code can tell.

1 response, 2 query and tool, 3 reasoning, 4 function and parameters, 5 format. A model may refuse
what code accepts, never the other way round.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from funreason_agents.refinement.arguments import (
    coerce,
    find_schema_problem,
    swap_back,
)
from funreason_agents.refinement.reasoning import find_reasoning_problem
from funreason_agents.refinement.responses import RowCall
from funreason_agents.refinement.row_schemas import iterate_branches, to_schema
from funreason_agents.refinement.rows import Step
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.words import content_words, split_identifier, stem
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.values import numbers_in, same_value, to_plain

STAGES = (1, 2, 3, 4, 5)
BQC, AC = (1, 2, 3), (4, 5)
"""BalanceSFT's two gates: on reasoning and query, and on the answer."""
JUDGED = (2, 3, 4)
"""The checks that ask for judgement; 1 and 5 are about syntax alone."""
Judge = Callable[[int, Step], str | None]
"""Asked by the number of a check; returns why the step fails it, or None."""

_MARKUP = re.compile(r"<\|\w+\|>|</?(?:think|tool_response|tool_result|tools)>|^\s*\[?TOOL_RESULT")
_PROMISE = re.compile(
    r"\b(?:i'?ll|i will|i am going to|i'm going to|let me|calling|i need to|i should) ", re.I
)
_AT_ONCE = re.compile(
    r"^(?:(?:sure|ok(?:ay)?|certainly|of\s+course|alright)\b[,.!]?\s+)?(?:"
    r"(?:please\s+)?(?:wait|hold\s+on|bear\s+with\s+me)\b"
    r"|(?:please\s+)?(?:wait\s+)?(?:one|just\s+an?)\s+(?:moment|second|minute)\b"
    r"|(?:i'm|i\s+am)\s+(?:now\s+)?(?:looking(?!\s+forward)|checking|searching|fetching|retrieving)\b"
    r"|(?:i'll|i\s+will|let\s+me|i'm\s+going\s+to|i\s+am\s+going\s+to)\s+(?:now\s+|just\s+|quickly\s+)?"
    r"(?:look(?!\s+forward)|check|search|fetch|retrieve)\b)",
    re.I,
)
"""How a last sentence begins that announces a look-up now."""
_LATER = re.compile(r"\b(?:if|once|when|whenever|after|until|unless|as\s+soon\s+as|then)\b", re.I)
"""What makes a promise one for later, which no call has to keep now."""
_SEVERAL = re.compile(
    r"\b(?:twice|thrice|again|both|dice|repeat\w*|once\s+more|one\s+more\s+(?!thing)|another\s+one"
    r"|(?:several|multiple|many|(?:a\s+)?few)\s+times|a\s+(?:couple|pair)"
    r"|each\s+of\s+(?:us|you|them)|for\s+(?:each|every)|every(?:one|body))\b",
    re.I,
)
"""Words of a request that may want the same call more than once; numbers are looked at apart."""


@dataclass(frozen=True)
class Finding:
    """Which check a step fails, and why."""

    stage: int
    problem: str
    judged: bool = False
    """A judge refused what code accepts."""


def find_first(
    step: Step, judge: Judge | None = None, stages: Collection[int] = STAGES
) -> Finding | None:
    """Return the first check that a step fails; None if it passes those that apply to it.

    Ordinary text passes after the first check. A call that cannot be read only fails the last.

    Args:
        step: A row with an answer.
        judge: Asked about `JUDGED` checks that code has passed.
        stages: The checks to make; the first is always made.
    """
    problem = _check_response(step)
    if problem:
        return Finding(1, problem)
    if step.response.form == "text":
        return None
    if step.response.form == "unreadable":
        return Finding(5, "unreadable_call")
    for stage, check in _CHECKS.items():
        if stage not in stages:
            continue
        problem = check(step)
        if problem:
            return Finding(stage, problem)
        refusal = judge(stage, step) if judge and stage in JUDGED else None
        if refusal:
            return Finding(stage, refusal, judged=True)
    return None


def _check_response(step: Step) -> str | None:
    """1: is it a call or ordinary text? Neither fails."""
    response = step.response
    if response.form == "empty":
        return "empty"
    if response.form != "text":
        return None
    if _MARKUP.search(response.text):
        return "markup"
    if len(re.findall(r"\w", response.text)) < 2:
        return "no_words"
    named = [name for name in step.tools if re.search(rf"\b{re.escape(name)}\b", response.text)]
    code = [name for name in named if "_" in name or "." in name or f"`{name}`" in response.text]
    if (code and _PROMISE.search(response.text)) or (step.tools and _promises_now(response.text)):
        return "announced_call"
    return None


def _promises_now(text: str) -> bool:
    """Return whether an answer ends by saying that it will act at once, and asks for nothing."""
    *_, last = re.split(r"(?<=[.!?])\s+|\n+", to_plain(text).strip())
    return "?" not in text and _AT_ONCE.match(last) is not None and not _LATER.search(last)


def _check_query_and_tool(step: Step) -> str | None:
    """2: is each called tool offered, and does each value follow from the conversation?"""
    for call in step.response.calls:
        if call.name not in step.tools:
            return "unknown_tool"
    for call in step.response.calls:
        whole = to_schema(step.tools[call.name].parameters)
        for name, value in call.arguments.items():
            schema = whole.get("properties", {}).get(name)
            # What is only of the wrong type is for check 4.
            meant = coerce(value, schema, whole, step.facts)
            if not _is_derivable(meant, [schema], whole, step.facts):
                return "underivable_value"
    return None


def _is_derivable(value: Any, places: list[Any], whole: Any, facts: Facts) -> bool:
    """Return whether each leaf follows from the facts, or is an option of its place.

    Args:
        value: An argument, or a part of one.
        places: The schemas of the place where it stands.
        whole: The schema of all arguments, which references point into.
        facts: The conversation.
    """
    schemas = [each for place in places for each in iterate_branches(place, whole)]
    if isinstance(value, dict):
        if any(same_value(value, option) for each in schemas for option in _wholes(each)):
            return True
        return all(
            _is_derivable(part, [_part_schema(each, name) for each in schemas], whole, facts)
            for name, part in value.items()
        )
    if isinstance(value, list):
        # The default of a list stands at the list, the options of its items at them.
        inner = [*schemas, *(each.get("items") for each in schemas)]
        return all(_is_derivable(part, inner, whole, facts) for part in value)
    return find_derivation(value, facts, {"anyOf": schemas}) is not None


def _part_schema(schema: dict[str, Any], name: str) -> Any:
    return (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))


def _wholes(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield the objects that a schema itself writes out."""
    yield from schema.get("enum") or ()
    yield from schema.get("examples") or ()
    yield from (schema[key] for key in ("const", "default") if key in schema)


def _check_parameters(step: Step) -> str | None:
    """4: are names and values right?"""
    for call in step.response.calls:
        problem = find_schema_problem(call.arguments, step.tools[call.name])
        if problem:
            return problem
        if swap_back(call.arguments, step.facts) != call.arguments:
            return "swapped_values"
    return "repeated_call" if any(_repeats(step, call) for call in step.response.calls) else None


def _repeats(step: Step, call: RowCall) -> bool:
    """Return whether a call is made again and nothing in the request can mean it so.

    Two rolls of a die are equal calls and both are wanted. Signs of that are a word such as
    "twice", a number up to how often it is made that no argument takes, and the plural of
    a word that the tool's name has in the singular.
    """
    same = [(each.name, each.arguments) for each in step.response.calls]
    times = same.count((call.name, call.arguments))
    if times < 2:
        return False
    request = _find_request(step)
    if _SEVERAL.search(request):
        return False
    taken = {
        (each.name, pointer, number)
        for each in step.response.calls
        for pointer, leaf in iterate_leaves(each.arguments)
        for number in numbers_in(str(leaf), plain=True)
    }
    free = Counter(numbers_in(request, plain=True)) - Counter(number for *_, number in taken)
    if any(2 <= number <= times for number in free):
        return False
    words, named = re.findall(r"[a-z]+", request.lower()), split_identifier(call.name)
    plurals = {word for word in words if stem(word) != word and word not in named}
    return not {stem(word) for word in plurals} & content_words(call.name)


def _find_request(step: Step) -> str:
    """Return what the user last said, with what was said before a question that it answers."""
    said: list[str] = []
    for message in reversed(step.row["prompt"]):
        content = str(message.get("content") or "")
        if message.get("role") == "user":
            said.append(content)
        elif said and (message.get("role") != "assistant" or "?" not in content):
            break
    return "\n".join(reversed(said))


def _check_format(step: Step) -> str | None:
    """5: is it written as tool calls with an object of arguments?"""
    return step.response.flaws[0] if step.response.flaws else None


_CHECKS: dict[int, Callable[[Step], str | None]] = {
    2: _check_query_and_tool,
    3: find_reasoning_problem,
    4: _check_parameters,
    5: _check_format,
}
