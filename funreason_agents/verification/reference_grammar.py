"""The words of references: the phrases that are written, and all that is read as one.

What they lead to is found out in `references`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

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


_SAME = r"same(?:\s+(?:exact|very))?"
_AGAIN = r"(?:again|from\s+before|from\s+earlier)"
_FRAMES = tuple(
    (re.compile(rf"(?i){before}\Z"), re.compile(rf"(?i){after}"), also_idioms)
    for before, after, also_idioms in (
        (rf"\b{_SAME}\s+", rf"\s+{_AS_BEFORE}|\s+{_AGAIN}\b", True),
        (rf"\b{_SAME}\s+", _AFTER, False),
        (
            r"\b(?:the|my|our|your|that)\s+(?:previous|earlier|prior|last-used)\s+",
            _AFTER,
            False,
        ),
        (r"\bthat\s+", rf"\s+(?:{_AGAIN}|{_AS_BEFORE})", True),
        (
            "",
            rf"\s*(?:[:=]|\b(?:is|stays|remains|be)\b)?\s*(?:the\s+)?{_SAME}"
            rf"(?:\s+one)?(?:\s+{_AS_BEFORE}|\s+again\b)",
            True,
        ),
        ("", rf"\s*[:=]?\s*{_AS_BEFORE}", True),
    )
)
"""What stands before and after a label that refers, and whether it makes an idiom refer too."""
_HINTED = re.compile(r"(?i)\b(?:same|previous|earlier|prior|last-used|again|as|from\s+before)\b")
"""A word that each of them needs; most texts have none."""


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
        found = [
            SameWords(span, words, full)
            for span in _find_frames(text, words)
            if not _is_negated(text, span[0])
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


@lru_cache(maxsize=1024)
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


@lru_cache(maxsize=1024)
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


@lru_cache(maxsize=4096)
def _name(label: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<!\w){_spell(label)}")


def _find_frames(text: str, label: str) -> Iterator[Span]:
    """Yield where `label` stands in words that make it *the same as before*.

    The words around a label are the same for every label, and compiled once: a pattern that held
    the label as well would take 50 ms to compile, for each of them.
    """
    end = 0
    for name in _name(label).finditer(text):
        spans = []
        for before, after, also_idioms in _FRAMES:
            left = before.search(text, max(end, name.start() - _WINDOW), name.start())
            right = after.match(text, name.end()) if left is not None else None
            if left and right and (also_idioms or label.lower() not in _IDIOMS):
                spans.append((left.start(), right.end()))
        if spans:
            start, end = min(spans, key=itemgetter(0))
            yield start, end
