"""The words of references: the phrases that are written, and all that is read as one.

What they lead to is found out in `references`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from funreason_agents.verification.literals import QUOTED
from funreason_agents.verification.values import to_plain

Span = tuple[int, int]

IDENTITY = frozenset({"id", "code", "number", "no", "key", "ref", "reference", "sku", "isbn"})
"""Words of fields that identify a thing; a number under another name is hardly the thing meant."""
_WRITTEN = ("first", "second", "third")
"""Places that are written: a reply seldom lists more. All others are read as well."""
_LATER = ("fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_SHORT = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th")
_POSITIONS = {
    **{word: number for number, word in enumerate((*_WRITTEN, *_LATER))},
    **{word: number for number, word in enumerate(_SHORT)},
    "last": -1,
}
_IDIOMS = frozenset({"time", "day", "way", "thing"})
"""*At the same time* refers to nothing, as long as no *as before* follows."""
_WINDOW = 80
"""Characters before a reference that can say what it is for, or that it is not meant."""
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SHOWN = (
    r"(?:listed|show(?:ed|n)|mentioned|found|gave|given|named|returned|suggested|offered|"
    r"presented|brought\s+up|came\s+up\s+with|told\s+me(?:\s+about)?)"
)
_AGENT = r"(?:you|we|I)(?:'ve|\s+have|\s+had)?(?:\s+(?:just|already|previously|last))?"
_LISTING = r"(?:list|results?|options?|answer|reply|search|matches|suggestions|findings|message)"
_EARLIER = r"(?:earlier|previous|prior|last|latest|above)"
_ITEM = re.compile(
    rf"(?i)\b(?:the\s+|that\s+|your\s+)?(?P<place>{'|'.join(_POSITIONS)})\b"
    r"(?P<noun>(?:\s+[^\W\d_][\w'-]*){0,3}?)"
    rf"(?P<tail>(?:\s+of\s+(?:the|those|these)(?:\s+\w+){{0,2}}?)?(?:\s+(?:that|which))?\s+{_AGENT}"
    rf"\s+{_SHOWN}\b(?:\s+me\b)?(?:\s+(?:before|earlier|above|just\s+now|last\s+time)\b)?"
    rf"|\s+(?:listed|shown|mentioned|given)\s+(?:above|before|earlier)\b"
    rf"|\s+(?:from|in|on|off|of)\s+(?:your|that|those|my|our|the\s+{_EARLIER})"
    rf"(?:\s+{_EARLIER})?\s+{_LISTING}\b"
    r"|(?=\s*(?:$|[.,;:!?)])|\s+(?:please|and|for|to|with|again|at|by|then|instead)\b))"
)
GENERIC = frozenset({"one", "item", "entry", "result", "option", "choice", "hit", "match"})

_AS_BEFORE = (
    r"as\s+(?:before|earlier|previously|above|then|last\s+time|just\s+now|already\s+\w+"
    rf"|(?:in|for|on|with|at|from)\s+(?:my|the|our|your|that)\s+{_EARLIER}\s+\w+"
    rf"|(?:my|the|our|your)\s+{_EARLIER}\s+(?:one|time|\w+)"
    r"|(?:I|you|we)(?:'ve|\s+have|\s+had)?(?:\s+(?:just|already|last))?\s+(?:used|gave|given|said|"
    r"mentioned|searched|chose|picked|named|had|asked|booked|looked|told))\b"
    r"(?![^.;!?]{0,40}\b(?:first|original(?:ly)?|beginning|start|initial(?:ly)?)\b)"
)
_AFTER = (
    r"(?=\s*(?:$|[.,;:!?)\n])|\s+(?!(?:for|in|on|at|to)\s+(?:both|all|each|every)\b)(?:again|please|"
    r"and|or|but|for|to|with|on|at|in|from|using|by|too|also|now|then|is|if|when|this|i|you|we)\b)"
)
_NEGATED = re.compile(
    r"(?i)(?:\bnot|n't|\bnever|\bother\s+than|\binstead\s+of|\brather\s+than|\bexcept|\bunlike|"
    r"\bno\s+longer|\bdifferent\s+(?:from|than|to)|\b(?:anywhere|anything|anyone|all)\s+but)\s+"
    r"(?:(?:in|at|for|to|from|on|with|by|be|use|using)\s+)?(?:(?:the|that|this|my|your|our)\s+)?$"
)


_HINTED = re.compile(r"(?i)\b(?:same|previous|earlier|prior|last-used|again|as|from\s+before)\b")
"""A word that every pattern for *the same* needs; most texts have none, and those are slow."""


def write_same(label: str, *, several: bool) -> str:
    """Return the words for the latest value under a label.

    Args:
        label: The words of the parameter.
        several: Other values were used before it.
    """
    return f"the same {label} as {'last time' if several else 'before'}"


def write_items() -> Iterator[tuple[int, str]]:
    """Yield (position, words) for the items of a list that can be spoken of."""
    for position, word in enumerate(_WRITTEN):
        yield position, f"the {word} one you listed"


@dataclass(frozen=True)
class SameWords:
    """*The same city as before*, where a text has it."""

    span: Span
    words: str
    """What is the same."""
    full: bool
    """These are all the words of the label, not only some of them."""


def find_same(query: str, label: str) -> list[SameWords]:
    """Return the references to the latest value under `label`, by its full words if it has any."""
    text = _scan(query)
    if not _HINTED.search(text):
        return []
    for words, full in _spellings(label):
        with _COMPILING:
            pattern = _same_pattern(words)
        found = [
            SameWords(match.span(), words, full)
            for match in pattern.finditer(text)
            if not _is_negated(text, match.start())
        ]
        if found:
            return found
    return []


def names_before(query: str, label: str, start: int) -> bool:
    """Return whether `label` stands right before a reference, as in *book id: the second one*."""
    named = re.compile(rf"(?i)(?<!\w){_spell(label)}\s*(?:[:=]|\b(?:is|as)\b)?\s*$")
    return named.search(_scan(query)[max(0, start - _WINDOW) : start]) is not None


@dataclass(frozen=True)
class ItemWords:
    """*The second one you listed*, where a text has it."""

    span: Span
    position: int
    noun: str
    alone: bool
    """Nothing says that it was listed before: a result still to come may be meant as well."""


@lru_cache(maxsize=32)
def find_items(query: str) -> tuple[ItemWords, ...]:
    """Return the references to an item of a list."""
    text, found = _scan(query), []
    for match in _ITEM.finditer(text):
        noun, alone = match.group("noun"), not match.group("tail").strip()
        if alone and noun.split()[-1:] != ["one"]:
            continue
        if not _is_negated(text, match.start()):
            position = _POSITIONS[match.group("place").lower()]
            found.append(ItemWords(match.span(), position, noun, alone))
    return tuple(found)


@lru_cache(maxsize=32)
def _scan(query: str) -> str:
    """Return the query in plain characters; what stands in quotes is blanked, nothing moves."""
    text = to_plain(query)
    for pattern in (_STRING, QUOTED):
        text = pattern.sub(lambda match: "\0" * len(match.group()), text)
    return text


def _is_negated(text: str, start: int) -> bool:
    return _NEGATED.search(text[max(0, start - _WINDOW) : start]) is not None


def _spellings(label: str) -> list[tuple[str, bool]]:
    """Return the words that a label may be spoken of by, and whether they are all of it."""
    words = label.split()
    things = [word for word in words if word.lower() not in IDENTITY]
    shorter = dict.fromkeys((" ".join(things), *things[-1:]))
    return [(label, True), *((each, False) for each in shorter if each and each != label)]


@lru_cache(maxsize=4096)
def _spell(label: str) -> str:
    """Return a pattern for a label: any space or hyphen between its words, perhaps a plural."""
    return r"[\s_-]+".join(re.escape(word) for word in label.split()) + r"(?:e?s)?(?!\w)"


_COMPILING = threading.Lock()
"""A pattern takes milliseconds: at the start of a run each thread would compile each of them."""


@lru_cache(maxsize=4096)
def _same_pattern(label: str) -> re.Pattern[str]:
    name, same = _spell(label), r"same(?:\s+(?:exact|very))?"
    after = r"(?!)" if label.lower() in _IDIOMS else _AFTER
    end = rf"(?:\s+{_AS_BEFORE}|\s+(?:again|from\s+before|from\s+earlier)\b|{after})"
    return re.compile(
        rf"(?i)\b{same}\s+{name}{end}"
        rf"|\b(?:the|my|our|your|that)\s+(?:previous|earlier|prior|last-used)\s+{name}{after}"
        rf"|\bthat\s+{name}\s+(?:again|from\s+before|from\s+earlier|{_AS_BEFORE})"
        rf"|(?<!\w){name}\s*(?:[:=]|\b(?:is|stays|remains|be)\b)?\s*(?:the\s+)?{same}"
        rf"(?:\s+one)?(?:\s+{_AS_BEFORE}|\s+again\b)"
        rf"|(?<!\w){name}\s*[:=]?\s*{_AS_BEFORE}"
    )
