"""Near duplicates among the records of a run: MinHash over what the user says, with banding.

Two records are near duplicates if the word 3-grams of their user messages, values included, have
a Jaccard similarity of at least the threshold. The bands only find candidates; whether one counts
is decided by the exact similarity, so nothing is dropped by an unlucky hash. Each record is
compared with a bounded number of candidates, so the cost of a run is linear in its records.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable
from functools import cache, lru_cache
from hashlib import blake2b
from random import Random

THRESHOLD = 0.8
"""Jaccard similarity from which two records are near duplicates."""
LENGTH = 3
"""Words of a shingle."""

_BANDS, _ROWS = 16, 5
"""A pair of similarity 0.8 shares no band with a chance of 0.2 %, one of 0.9 of 1 in a million."""
_CROWD = 32
"""Records that one band is looked up for; what more of them have in common is a common phrase."""
_PRIME = (1 << 61) - 1


def make_shingles(messages: Iterable[str]) -> frozenset[int]:
    """Return the hashes of the word 3-grams of user messages, case folded.

    A message of fewer words counts as a whole; no shingle reaches from one message to the next.

    Args:
        messages: What the user says, one text a message.
    """
    found = set()
    for message in messages:
        words = re.findall(r"\w+", unicodedata.normalize("NFKC", message).casefold())
        for start in range(max(len(words) - LENGTH + 1, min(len(words), 1))):
            text = " ".join(words[start : start + LENGTH])
            found.add(int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big"))
    return frozenset(found)


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """Return the share of the shingles of either that both have; 0 where there are none."""
    common = len(left & right)
    return common / (len(left) + len(right) - common) if common else 0.0


class NearDuplicates:
    """The records kept so far, by what can be looked up of them."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._kept: list[array[int]] = []
        self._bands: dict[int, list[int]] = {}

    def find(self, shingles: frozenset[int]) -> int | None:
        """Return the first kept record that `shingles` nearly repeat, as its number, or None."""
        likely = {n for band in _make_bands(shingles) for n in self._bands.get(band, ())}
        return next(
            (n for n in sorted(likely) if self._is_near(shingles, frozenset(self._kept[n]))), None
        )

    def add(self, shingles: frozenset[int]) -> None:
        """Keep a record: later ones are compared with it, by the order of adding."""
        number = len(self._kept)
        self._kept.append(array("I", sorted(shingles)))
        for band in _make_bands(shingles):
            crowd = self._bands.setdefault(band, [])
            if len(crowd) < _CROWD:
                crowd.append(number)

    def _is_near(self, left: frozenset[int], right: frozenset[int]) -> bool:
        return jaccard(left, right) >= self._threshold


@cache
def _coefficients() -> tuple[tuple[int, int], ...]:
    """Return the hash functions, the same in every process: a run that goes on must agree."""
    draw = Random(2026)
    return tuple((draw.randrange(1, _PRIME), draw.randrange(_PRIME)) for _ in range(_BANDS * _ROWS))


@lru_cache(maxsize=2)
def _make_bands(shingles: frozenset[int]) -> tuple[int, ...]:
    """Return a key for each band of the MinHash; of no shingles there is none."""
    if not shingles:
        return ()
    minima = [min((a * x + b) % _PRIME for x in shingles) for a, b in _coefficients()]
    starts = range(0, len(minima), _ROWS)
    return tuple(hash((start, *minima[start : start + _ROWS])) for start in starts)
