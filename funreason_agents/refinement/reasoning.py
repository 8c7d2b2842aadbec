"""Whether a piece of reasoning can be followed and ends at the answer, by signs in its text."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from funreason_agents.refinement.rows import Step
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.schemas.words import content_words, humanize
from funreason_agents.verification.grounding import find_ungrounded
from funreason_agents.verification.values import (
    fold,
    folded_holds,
    is_distinctive,
    is_number,
    numbers_in,
    same_value,
)

MOST_REPEATS = 3
"""How often the same sentence may stand in it."""
LOOPING = 0.3
"""Share of different word triples below which a text of `LONG` words goes round in circles."""
LONG = 60
SPOKEN = 0.34
"""Least share of the words of a tool's purpose that speak of the tool."""
_MARKUP = re.compile(r"</?(?:think|tool_call|tool_response|answer)>|<\|\w+\|>")
_DECLINES = re.compile(
    r"\b(?:no (?:suitable |available |matching )?(?:tool|function|call)s?(?: call)?s? "
    r"(?:is|are|can|needs?|exists?|fits?|match(?:es)?)"
    r"|none of the (?:tools?|functions?)|(?:do not|don't|need not|should not|cannot|can't) "
    r"(?:need to |have to )?(?:call|use) (?:any|a) (?:tool|function)"
    r"|(?:i|we) (?:have to|must|should|will) (?:decline|refuse))\b",
    re.IGNORECASE,
)
_SAID = (
    r"(?:\b(default|usual|standard|min(?:imum)?|max(?:imum)?|previous|original|old) )?"
    r"\b(?:parameter )?['\"`]?(?:{labels})['\"`]?(?: parameter| value)?"
    r"\s*(?:=|:|is|as|to|of|should be|must be|will be|set to|equals)\s*"
    r"(\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`|[-+]?\d[\d.,]*\d(?![\w-])|[-+]?\d(?![\w-])"
    r"|(?=[\w-]*\d)[A-Za-z][\w-]+)"
)


def find_reasoning_problem(step: Step) -> str | None:
    """Return why reasoning cannot have led to the calls; None if it can, or if there is none.

    Returns:
        `"no_sentence"`, `"markup"`, `"loops"`, `"cut_off"`, `"declines"`, `"another_tool"`,
        `"another_value"`, `"invented_value"` or None.
    """
    reasoning = step.response.reasoning
    if not reasoning:
        return None
    if len(re.findall(r"[^\W\d_]{2,}", reasoning)) < 2:
        return "no_sentence"
    if _MARKUP.search(reasoning):
        return "markup"
    if is_looping(reasoning):
        return "loops"
    if re.search(r"(?:[,(:=\-]|\b(?:the|a|an|and|or|of|to|with|for|from|is))\s*\Z", reasoning):
        return "cut_off"
    sentences = re.split(r"(?<=[.!?])\s+", reasoning.strip())
    if _DECLINES.search(sentences[-1]):
        return "declines"
    if not _speaks_of_called(step, reasoning):
        return "another_tool"
    if _states_another_value(step, reasoning):
        return "another_value"
    return "invented_value" if _invents(step, reasoning) else None


def is_looping(text: str) -> bool:
    """Return whether a text says the same over and over."""
    sentences = Counter(fold(part) for part in re.split(r"[.!?\n]+", text) if len(part) > 20)
    if sentences and max(sentences.values()) > MOST_REPEATS:
        return True
    words = fold(text).split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= LONG and len(set(triples)) < LOOPING * len(triples)


def _speaks_of_called(step: Step, reasoning: str) -> bool:
    """Return whether it speaks of each called tool, and of none more than of a called one.

    A tool is spoken of by its name, by the words of its name, or by what it is there for.
    """
    folded, said = fold(reasoning), content_words(reasoning)
    spoken = {name: _spoken(tool, folded, said) for name, tool in step.tools.items()}
    called = {call.name for call in step.response.calls}
    values = [leaf for c in step.response.calls for _, leaf in iterate_leaves(c.arguments)]
    if max(spoken[name] for name in called) >= 1:
        return True
    if max(spoken.values(), default=0.0) >= 1:
        return False
    best = max(spoken[name] for name in called)
    if best >= SPOKEN:
        return best >= max(spoken.values())
    # It may speak of the values alone, if of no tool.
    telling = [value for value in values if is_distinctive(value)]
    return max(spoken.values()) < SPOKEN and any(_states(reasoning, each) for each in telling)


def _spoken(tool: ToolSpec, folded: str, said: frozenset[str]) -> float:
    """Return how much of a tool is spoken of: 1.0 if it is named, else of its purpose."""
    if folded_holds(folded, fold(tool.name)) or folded_holds(folded, fold(humanize(tool.name))):
        return 1.0
    purpose = re.split(r"(?<=[.!?])\s|\n", tool.description.strip())[0].rstrip(".")
    if len(purpose) > 15 and fold(purpose) in folded:
        return 1.0
    words = content_words(f"{tool.name} {purpose}")
    return min(0.99, len(words & said) / len(words)) if words else 0.0


def _states_another_value(step: Step, reasoning: str) -> bool:
    """Return whether it last says of a parameter that it is something else than in the call.

    Not if it goes on to the value of the call ("the time is 3 pm, so I pass 15:00"). What is said
    of a default, a limit or an earlier value is said of something else.
    """
    held: dict[str, list[Any]] = {}
    for call in step.response.calls:
        for name, value in call.arguments.items():
            held.setdefault(name, []).extend(leaf for _, leaf in iterate_leaves(value))
    for name, values in held.items():
        labels = "|".join({re.escape(name), re.escape(humanize(name))})
        found = re.finditer(_SAID.format(labels=labels), reasoning, re.IGNORECASE)
        said = [match for match in found if not match.group(1)]
        if not said or not values:
            continue
        after = reasoning[said[-1].end() :]
        if not any(_is_same(said[-1].group(2), each) or _states(after, each) for each in values):
            return True
    return False


def _is_same(said: str, value: Any) -> bool:
    plain = said.strip("\"'`")
    if is_number(value):
        return any(same_value(number, value) for number in numbers_in(plain))
    return fold(plain) in fold(str(value)) or fold(str(value)) in fold(plain)


def _states(reasoning: str, value: Any) -> bool:
    if is_number(value):
        return any(same_value(number, value) for number in numbers_in(reasoning))
    return folded_holds(fold(reasoning), fold(str(value)))


def _invents(step: Step, reasoning: str) -> bool:
    """Return whether it states a telling value that nobody has said, shown or passed."""
    facts = step.facts.add_text(json.dumps(step.row["tools"], ensure_ascii=False))
    for call in step.response.calls:
        facts = facts.add_arguments(call.arguments).add_text(str(call.arguments))
    for problem in find_ungrounded(reasoning, facts):
        literal = problem.get("literal")
        if literal is not None and is_distinctive(literal):
            return True
    return False
