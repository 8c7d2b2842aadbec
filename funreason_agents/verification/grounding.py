"""Claims of a closing reply, and whether results or conversation support them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from funreason_agents.schemas.words import humanize
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.values import fold, numbers_in, same_value, text_holds

_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|`([^`\n]{1,200})`")
_TOKEN = re.compile(r"(?<![\w@.])(?=[\w@.+/:-]*\d)[\w@+/:-]+(?:\.[\w@+/:-]+)*|[\w.+-]+@[\w.-]+\w")
_ENUMERATION = re.compile(r"(?m)^\s*\d+[.)]\s")


def find_ungrounded(reply: str, facts: Facts) -> list[dict[str, Any]]:
    """Return the claims of `reply` that nothing supports; empty if it is grounded.

    Two kinds of claim are read from the text. A literal (number, quoted text, or a token with a
    digit, such as an id or a date) must occur in the results or the conversation, or follow from
    them by a listed derivation. A pair "field: value" or "field is value", for a field that some
    result has, must be one that a result holds: two values that changed places are both known,
    but each under the wrong field.
    """
    text = _ENUMERATION.sub("", reply)
    problems: list[dict[str, Any]] = [
        {"literal": literal}
        for literal in dict.fromkeys(_literals(text))
        if find_derivation(_parse(literal), facts) is None
        and find_derivation(literal, facts) is None
    ]
    problems += [
        {"field": label, "value": value}
        for label, value, held in _claims(text, facts)
        if not any(_agrees(value, each) for each in held)
    ]
    return problems


def _literals(text: str) -> Iterator[str]:
    for groups in _QUOTED.findall(text):
        yield next(filter(None, groups))
    for match in _TOKEN.finditer(_QUOTED.sub(" ", text)):
        yield match.group().strip(".:/-+") or match.group()


def _parse(literal: str) -> Any:
    numbers = numbers_in(literal)
    return numbers[0] if len(numbers) == 1 and re.fullmatch(r"[-+]?[\d,.]+", literal) else literal


def _claims(text: str, facts: Facts) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield (label, claimed value, values that results hold under that label)."""
    held: dict[str, list[Any]] = {}
    for field, value in facts.results:
        label = humanize(field)
        if label and not field.isdigit():
            held.setdefault(label, []).append(value)
    for label in sorted(held, key=len, reverse=True):
        words = r"[\s_-]+".join(map(re.escape, label.split()))
        pattern = rf"(?<![\w-])(?<!\w )(?:{words})(?:\s*[:=]\s*|\s+(?:is|was|are)\s+(?:now\s+)?)"
        colon = rf"(?i)(?:^|[(;,.\n]\s*|\b(?:the|its|your|and)\s+){words}\s*[:=]\s*(\"[^\"\n]*\"|[^;\n]+?)(?=\s*(?:;|\n|$|\)|\.\s|\.$|,\s))"
        verb = rf"(?i){pattern}(\"[^\"\n]+\"|[-\w@+/:$]*\d[-\w@.,+/:]*)"
        for expression in (colon, verb):
            for match in re.finditer(expression, text):
                yield label, match.group(1).strip().rstrip(".,)"), held[label]


def _agrees(claimed: str, held: Any) -> bool:
    claimed = claimed.strip("\"'`")
    if isinstance(held, bool):
        return fold(claimed) in (("true", "yes") if held else ("false", "no"))
    if held is None:
        return fold(claimed) in ("none", "null", "nothing", "")
    if isinstance(held, str):
        return fold(claimed) == fold(held) or text_holds(held, claimed) or text_holds(claimed, held)
    return any(same_value(number, held) for number in numbers_in(claimed))
