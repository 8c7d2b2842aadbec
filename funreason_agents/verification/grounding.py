"""Claims of a closing reply, and whether results or conversation support them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from funreason_agents.schemas.words import humanize
from funreason_agents.verification.derivations import Facts, squeeze
from funreason_agents.verification.literals import Support
from funreason_agents.verification.values import (
    dates_in,
    fold,
    folded_holds,
    is_number,
    numbers_in,
    same_day,
    same_value,
    to_plain,
)

_ENUMERATION = re.compile(r"(?m)^(\s*)\d+[.)]\s")
_EMPHASIS = re.compile(r"\*\*|__|(?<![\w*])[*_](?=\S)|(?<=\S)[*_](?![\w*])")
_VALUE = r"\"[^\"\n]*\"|\[[^\]\n]*\]|[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}"
_COLON = re.compile(
    rf"(?i)(?<![\w-])([a-z][\w' -]{{0,60}}?)\s*[:=]\s*"
    rf"({_VALUE}|[^;|\n]+?)(?=\s*(?:[;|)(\n]|$|[.,!]\s|[.!]$))"
)
_VERB = re.compile(
    r"(?i)(?<![\w-])((?:[\w'-]+ ){0,5}[\w-]+) (?:is|was|are|were|comes to) "
    r"(?:now |still |only )?"
    r"(\"[^\"\n]+\"|[-$€£]*\d[-\w@.,+/:]*|(?-i:[A-Z]{3}) -?\d[\d.,]*|[-$€£\w@+/:]*\d[-\w@.,+/:]*"
    r"|(?-i:[A-Z])[\w'-]*(?: (?-i:[A-Z])[\w'-]*){0,4})"
)
_DETERMINERS = frozenset(
    re.findall(
        r"\w+",
        "a an and as at by for has his her i in is it its my of on our own that the their then "
        "this to was which whose with you your new current final updated here with so but",
    )
)
_TOTALS = frozenset({"total", "sum", "overall", "altogether"})


@dataclass(frozen=True)
class _Claim:
    """The reply says that a field has a value."""

    label: str
    value: str
    row: int | None = None
    """The row of a table it stands in."""


def find_ungrounded(reply: str, facts: Facts) -> list[dict[str, Any]]:
    """Return the claims of `reply` that nothing supports; empty if it is grounded.

    Four kinds of claim are read from the text. A literal (number, date, quoted text, or a token
    with a digit, such as an id) must occur in results, conversation or arguments, or follow from
    them by a listed derivation; a computed number only in a sentence that speaks of computing. A
    number before a noun that the query or a field counts must be that number. A pair "field:
    value" or "field is value", or a cell of a table under "field", for a field that some result
    has, must be one that a result holds: two values that changed places are both known, but each
    under the wrong field. And pairs next to each other must stand in one row, if rows hold them.
    """
    text = re.sub(r"-([$\u20ac\u00a3])(?=\d)", r"\1-", _EMPHASIS.sub("", to_plain(reply)))
    support = Support(facts, text)
    text = _ENUMERATION.sub(r"\1", text)
    problems: list[dict[str, Any]] = [
        {"literal": literal} for literal in dict.fromkeys(support.find_unsupported(text))
    ]
    for line in re.split(r"\n|(?<=[.!?;])\s+", text):
        problems += [{"field": n, "value": v} for n, v in support.find_miscounted(line)]
    held = _held(facts)
    claims = list(_claims(text, held))
    shown = {humanize(field) for field, _ in facts.results}
    wrong = [
        claim
        for claim in claims
        if not any(_agrees(claim, each) for each in _values(claim, held))
        and (claim.label in shown or not _is_said(claim, facts))
    ]
    problems += [{"field": claim.label, "value": claim.value} for claim in wrong]
    problems += _find_mixed_rows([c for c in claims if c not in wrong], facts)
    return problems


def _held(facts: Facts) -> dict[str, list[Any]]:
    """Return the values that results and arguments hold under each label."""
    held: dict[str, list[Any]] = {}
    for field, value in (pair for source in facts.sources for pair in source.pairs):
        label = humanize(field)
        if label and not field.isdigit():
            held.setdefault(label, []).append(value)
    return held


def _is_said(claim: _Claim, facts: Facts) -> bool:
    """Whether the value stands anywhere: enough for a field that no result has."""
    said = fold(claim.value.strip("\"'`"))
    return any(folded_holds(source.folded, said, r"\w-") for source in facts.sources)


def _claims(text: str, held: dict[str, list[Any]]) -> Iterator[_Claim]:
    prose = []
    for number, block in enumerate(re.split(r"(?m)((?:^\s*\|.*\|\s*$\n?){2,})", text)):
        if number % 2:
            yield from _table_claims(block, held)
        else:
            prose.append(block)
    found = []
    for block in prose:
        for pattern in (_COLON, _VERB):
            position = 0
            while match := pattern.search(block, position):
                label = _find_label(match.group(1), held)
                value = match.group(2).strip().rstrip(".,)!")
                if label and value:
                    found.append((match.start(), _Claim(label, value)))
                position = match.end() if label else match.end(1)
        yield from (claim for _, claim in sorted(found, key=lambda each: each[0]))
        found = []


def _find_label(words: str, held: dict[str, list[Any]]) -> str | None:
    """Return the field that the end of `words` names, if only determiners stand before it."""
    parts = re.findall(r"[a-z0-9']+", words.lower())
    for start in range(len(parts)):
        label = " ".join(parts[start:])
        if label in held:
            return label if start == 0 or parts[start - 1] in _DETERMINERS else None
    return None


def _table_claims(block: str, held: dict[str, list[Any]]) -> Iterator[_Claim]:
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.split("\n")
    ]
    rows = [row for row in rows if any(row) and not all(re.fullmatch(r":?-+:?", c) for c in row)]
    header = [_find_label(cell, held) for cell in rows[0]] if rows else []
    for number, row in enumerate(rows):
        first = _find_label(row[0], held)
        if len(row) == 2 and first and not any(header[1:]):
            yield _Claim(first, row[1])
        elif number:
            cells = zip(header, row, strict=False)
            yield from (_Claim(label, cell, number) for label, cell in cells if label and cell)


def _values(claim: _Claim, held: dict[str, list[Any]]) -> list[Any]:
    """Return what the claim may say: what is held, and of a total, the sum."""
    values = held[claim.label]
    numbers = [value for value in values if is_number(value)]
    if _TOTALS & set(claim.label.split()) and len(numbers) > 1:
        return [*values, sum(numbers), sum(dict.fromkeys(numbers))]
    return values


def _agrees(claim: _Claim, held: Any) -> bool:
    claimed = claim.value.strip("\"'`")
    if isinstance(held, bool):
        return fold(claimed) in (("true", "yes") if held else ("false", "no"))
    if held is None:
        return fold(claimed) in ("none", "null", "nothing", "n/a", "not set", "-", "")
    if isinstance(held, str):
        return _agrees_text(claimed, held)
    numbers = numbers_in(re.sub(r"[$€£]|\b[A-Z]{3}(?=\d)", " ", claimed))
    if "%" in claimed:
        numbers += [number / 100 for number in numbers]
    return any(same_value(number, held) for number in numbers)


def _agrees_text(claimed: str, held: str) -> bool:
    said, known = fold(claimed), fold(held)
    if said == known or folded_holds(said, known, r"\w-") or folded_holds(known, said, r"\w-"):
        return True
    days = dates_in(held)
    if days:
        return any(same_day(day, each) for day in dates_in(claimed) for each in days)
    return len(squeeze(held)) >= 3 and squeeze(claimed) == squeeze(held)


def _find_mixed_rows(claims: list[_Claim], facts: Facts) -> list[dict[str, Any]]:
    """Return neighbouring claims of which each is held by a row, but no row holds both."""
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in (row for source in facts.sources for row in source.rows if source.kind == "result"):
        tables.setdefault(tuple(sorted(row)), []).append(row)
    problems = []
    for group in _groups(claims):
        for left, right in itertools.pairwise(group):
            for rows in tables.values():
                if len(rows) < 2 or not {left.label, right.label} <= rows[0].keys():
                    continue
                first = [row for row in rows if _agrees(left, row[left.label])]
                second = [row for row in rows if _agrees(right, row[right.label])]
                if first and second and not any(row in second for row in first):
                    problems.append({"fields": [left.label, right.label], "value": right.value})
    return problems


def _groups(claims: list[_Claim]) -> Iterator[list[_Claim]]:
    """Split claims where a field comes again: there another thing is spoken of."""
    group: list[_Claim] = []
    for claim in claims:
        if claim.label in {each.label for each in group} or (group and group[-1].row != claim.row):
            yield group
            group = []
        group.append(claim)
    yield group
