"""Literals of a closing reply (numbers, dates, codes, quoted texts), and what supports them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from funreason_agents.schemas.base import iterate_leaves, pointer_field
from funreason_agents.schemas.words import humanize, stem
from funreason_agents.verification.derivations import (
    DIRECT,
    Facts,
    Source,
    combine,
    find_derivation,
    latest_numbers,
)
from funreason_agents.verification.values import (
    DATE,
    NUMBER_WORD,
    days_of,
    fold,
    folded_holds,
    holds_number,
    is_number,
    numbers_in,
    same_day,
    word_number,
)

QUOTED = re.compile(r"\"([^\"\n]{1,300})\"|`([^`\n]{1,300})`|(?<!\w)'([^'\n]{2,200})'(?!\w)")
_TIME = re.compile(r"(?i)(?<![\w:.])(\d{1,2})(?::(\d\d))?\s?([ap])\.?m\b\.?")
_TOKEN = re.compile(
    r"(?<![\w@.,])[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2})%?(?![\w,]|\.\d)"
    r"|(?<![\w@.])-?(?=[\w@.+/:-]*\d)[\w@+/:-]+(?:\.[\w@+/:-]+)*%?|[\w.+-]+@[\w.-]+\w"
)
_ORDINAL = re.compile(r"(?i)\d{1,2}(st|nd|rd|th)")
_AMOUNT = re.compile(r"([A-Za-z]{1,3})?([-+]?\d[\d.,]*?)-?(%|[A-Za-z]{1,8}\d?)?")
_UNITS = frozenset(
    re.findall(
        r"\w+",
        "usd eur gbp jpy chf cad aud inr cny us k x kg g mg km m cm mm mi lb lbs oz l ml kb mb gb "
        "tb h hr hrs min mins s sec ms d am pm st nd rd th night nights day days hour hours",
    )
)
_CUE = re.compile(
    r"(?i)\b(?:total\w*|sum|together|altogether|combined|overall|in all|plus|minus|times|each|"
    r"difference|more|less|cheaper|dearer|remain\w*|sav\w+|apart|average)\b|[+=\u00d7*]"
)
_ABOUT = re.compile(r"(?i)(?:\b(?:about|around|roughly|approximately|approx\.?|nearly|almost)|~|≈)")
_BELOW = re.compile(
    r"(?i)\b(?:minus|below|negative|loss|deficit|owe\w*|down|drop\w*|decrease\w*)\b"
)
_COUNTED = re.compile(rf"(?i)({NUMBER_WORD.pattern}|(?<![\w.,:/-])\d+)[ -]([a-z]{{3,}})\b")
_ITEM = re.compile(r"(?m)^\s*(?:[-*•]|\d+[.)])\s")


@dataclass(frozen=True)
class Support:
    """What the literals of one reply may rest on."""

    facts: Facts
    reply: str

    def find_unsupported(self, text: str) -> Iterator[str]:
        """Yield the literals of `text`, the reply in plain characters, that nothing supports."""
        for line in re.split(r"\n|(?<=[.!?;])\s+", text):
            rest = line
            for pattern, holds in (
                (QUOTED, self._holds_quoted),
                (DATE, self._holds_date),
                (_TIME, self._holds_time),
            ):
                yield from (m.group().strip() for m in pattern.finditer(rest) if not holds(m))
                rest = pattern.sub(" ", rest)
            for literal in _TOKEN.findall(rest):
                token = literal.rstrip(".:/-+_").lstrip("_:/+.") or literal
                if not self._holds_token(token, line):
                    yield token
            for match in NUMBER_WORD.finditer(_TOKEN.sub(" ", rest)):
                number = word_number(match.group())
                # A number in words is small, and small numbers are sums of others by chance.
                if number > 1 and not self._knows(number) and number not in self._counts:
                    yield match.group()

    def find_miscounted(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield (noun, number) where the conversation counts the same noun otherwise."""
        for match in _COUNTED.finditer(text):
            noun = stem(match.group(2).lower())
            held = self._counted.get(noun, set())
            number = numbers_in(match.group(1))[0]
            if not held or number in held or (noun not in self._fields and number in self._counts):
                continue
            if not (_CUE.search(text) and combine(number, sorted(held))) and sum(held) != number:
                yield match.group(2), match.group(1)

    def holds_amount(self, number: float, line: str, decimals: int = 0) -> bool:
        """Return whether `number` is known, is a count, or is computed as its sentence says."""
        if self._knows(number) or number in self._counts:
            return True
        if number > 0 and _BELOW.search(line) and self._knows(-number):
            return True
        slack = 0.5 * 10**-decimals + 1e-9
        near = [n for source in self.facts.sources for n in source.plain if abs(n - number) < slack]
        if any(_ABOUT.search(line) or not same_places(n, 2) for n in near) and abs(number) >= 10:
            return True
        if not _CUE.search(line) or (abs(number) < 10 and float(number).is_integer()):
            return False
        return number in self._sums or combine(number, self._terms) is not None

    @cached_property
    def _turn(self) -> tuple[Source, ...]:
        """What the turn gave: everything after the query."""
        sources = self.facts.sources
        last = max((n for n, source in enumerate(sources) if source.kind == "text"), default=-1)
        return sources[last + 1 :]

    @cached_property
    def _counts(self) -> frozenset[float]:
        """How many: items of the lists, values of a field, calls, and items the reply lists."""
        results = [source for source in self._turn if source.kind == "result"]
        fields: dict[str, set[str]] = {}
        for pointer, leaf in (pair for s in results for pair in iterate_leaves(s.content)):
            fields.setdefault(pointer_field(pointer), set()).add(str(leaf))
        lists = [items for source in results for items in source.lists]
        counts = {len(items) for items in lists} | {len(each) for each in fields.values()}
        return frozenset({*map(float, counts), len(results), len(_ITEM.findall(self.reply))} - {1})

    @cached_property
    def _fields(self) -> dict[str, set[float]]:
        """The numbers under each field of one word."""
        held: dict[str, set[float]] = {}
        for field, leaf in (pair for source in self.facts.sources for pair in source.pairs):
            words = humanize(field).split()
            if len(words) == 1 and is_number(leaf):
                held.setdefault(stem(words[0]), set()).add(leaf)
        return held

    @cached_property
    def _counted(self) -> dict[str, set[float]]:
        """The numbers that the turn gives to a noun: of a field so called, or before the word."""
        held = {noun: set(numbers) for noun, numbers in self._fields.items()}
        queries = [source for source in self.facts.sources if source.kind == "text"][-1:]
        for source in queries:
            for match in _COUNTED.finditer(source.text):
                number = numbers_in(match.group(1))[0]
                held.setdefault(stem(match.group(2).lower()), set()).add(number)
        return held

    @cached_property
    def _terms(self) -> list[float]:
        """The latest numbers that a reply may compute with; small ones only multiply."""
        numbers = [n for n in latest_numbers(self.facts) if abs(n) >= 10 or n != int(n)]
        return numbers[:24]

    @cached_property
    def _sums(self) -> frozenset[float]:
        """Sums of all values of a field in a list or a turn, and small multiples of a value."""
        fields: dict[str, list[float]] = {}
        for field, leaf in (p for s in self._turn if s.kind == "result" for p in s.pairs):
            if is_number(leaf):
                fields.setdefault(field, []).append(leaf)
        sums = {round(sum(each), 2) for each in fields.values()}
        means = {round(sum(each) / len(each), 2) for each in fields.values()}
        small = {n for s in self._turn for n in s.numbers if 2 <= n <= 12}
        products = {round(n * term, 2) for n in small for term in self._terms}
        results = [s for s in self.facts.sources if s.kind == "result"]
        money = [n for s in results[-8:] for _, n in s.pairs if isinstance(n, float)][-24:]
        pairs = {round(a + sign * b, 2) for a in self._terms for b in money for sign in (1, -1)}
        return frozenset(sums | means | products | pairs)

    def _knows(self, number: float) -> bool:
        return any(holds_number(source.plain, number) for source in self.facts.sources)

    def _holds_quoted(self, match: re.Match[str]) -> bool:
        quoted = next(filter(None, match.groups()))
        bare = quoted.strip(" .,;:!?")
        return any(
            find_derivation(each, self.facts) in DIRECT - {"words"} or self._holds_code(each)
            for each in dict.fromkeys((quoted, bare))
        )

    def _holds_date(self, match: re.Match[str]) -> bool:
        known = [day for source in self.facts.sources for day in source.days]
        return any(same_day(day, each) for day in days_of(match) for each in known)

    def _holds_time(self, match: re.Match[str]) -> bool:
        hour = int(match.group(1)) % 12 + (12 if match.group(3).lower() == "p" else 0)
        forms = (f"{hour:02}:{match.group(2) or '00'}", f"{hour}:{match.group(2) or '00'}")
        said = fold(match.group())
        return any(self._holds_code(form) for form in (*forms, said))

    def _holds_code(self, code: str) -> bool:
        """Whether a code stands somewhere in full, or as a part between other marks than `-`."""
        return any(folded_holds(s.folded, fold(code), r"\w-") for s in self.facts.sources)

    def _holds_token(self, token: str, line: str) -> bool:
        amount = _AMOUNT.fullmatch(token)
        if amount and not amount.group(1) and amount.group(3) in (None, "%"):
            return self._holds_written(amount, line)
        if self._holds_code(token) or (_ORDINAL.fullmatch(token) and int(token[:-2]) <= 20):
            return True
        if amount and all(self._is_unit(each) for each in (amount.group(1), amount.group(3))):
            return self._holds_written(amount, line)
        label, mark, value = token.partition(":")
        if mark and label.isalpha():
            return self._holds_token(value, line)
        value, mark, unit = token.partition("/")
        if mark and unit.isalpha():
            return self._holds_token(value, line)
        parts = re.split(r"[-/x]", token)
        short = len(parts) == 2 and all(part.isdigit() and len(part) <= 4 for part in parts)
        return short and all(self.holds_amount(float(part), line) for part in parts)

    def _holds_written(self, amount: re.Match[str], line: str) -> bool:
        written = amount.group(2).rstrip(".,")
        for number in numbers_in(written)[-1:]:
            decimals = len(written.rpartition(".")[2]) if "." in written else 0
            if self.holds_amount(number, line, decimals):
                return True
            if amount.group(3) == "%" and self._knows(round(number / 100, 6)):
                return True
        return False

    def _is_unit(self, word: str | None) -> bool:
        return word is None or word == "%" or word.lower() in _UNITS or self._holds_code(word)


def same_places(number: float, places: int) -> bool:
    """Return whether `number` has no more than so many decimals."""
    return abs(round(number, places) - number) < 1e-9
