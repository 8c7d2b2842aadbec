"""FCDR's five checks in order (arXiv 2505.20192, its table of stages), as far as code can tell.

1 response, 2 query and tool, 3 reasoning, 4 function and parameters, 5 format. A model may refuse
what code accepts, never the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from funreason_agents.refinement.arguments import (
    coerce,
    find_schema_problem,
    swap_back,
    to_schema,
)
from funreason_agents.refinement.reasoning import find_reasoning_problem
from funreason_agents.refinement.rows import Step
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.verification.derivations import find_derivation
from funreason_agents.verification.values import to_plain

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


@dataclass(frozen=True)
class Finding:
    """Which check a step fails, and why."""

    stage: int
    problem: str


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
        problem = check(step) or (judge(stage, step) if judge and stage in JUDGED else None)
        if problem:
            return Finding(stage, problem)
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
        schemas = to_schema(step.tools[call.name].parameters).get("properties", {})
        for name, value in call.arguments.items():
            schema = schemas.get(name)
            # What is only of the wrong type is for check 4.
            meant = coerce(value, schema) if isinstance(schema, dict) else value
            leaves = (leaf for _, leaf in iterate_leaves(meant))
            if any(find_derivation(leaf, step.facts, schema) is None for leaf in leaves):
                return "underivable_value"
    return None


def _check_parameters(step: Step) -> str | None:
    """4: are names and values right?"""
    for call in step.response.calls:
        problem = find_schema_problem(call.arguments, step.tools[call.name])
        if problem:
            return problem
        if swap_back(call.arguments, step.facts) != call.arguments:
            return "swapped_values"
    seen = [(call.name, call.arguments) for call in step.response.calls]
    return "repeated_call" if any(each in seen[:n] for n, each in enumerate(seen)) else None


def _check_format(step: Step) -> str | None:
    """5: is it written as tool calls with an object of arguments?"""
    return step.response.flaws[0] if step.response.flaws else None


_CHECKS: dict[int, Callable[[Step], str | None]] = {
    2: _check_query_and_tool,
    3: find_reasoning_problem,
    4: _check_parameters,
    5: _check_format,
}
