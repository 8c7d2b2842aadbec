"""How well a request fits what a tool is described to do, sentence by sentence."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from funreason_agents.models.offline.language import effect_of
from funreason_agents.schemas.words import content_words

ENOUGH = 0.7
"""From here on a tool does what a sentence asks for. Requests in the words of the description come
to 1.0; the best of the wrong tools came to 0.68 in the bundled environments."""

_LONG = 1200
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_PARAGRAPH = re.compile(r"\n\s*\n")

Weighted = dict[str, float]


def effects_of(tools: Sequence[dict[str, Any]]) -> list[Weighted]:
    """Return the words of each tool's effect; a word that few tools share weighs more."""
    effects = [content_words(effect_of(tool.get("description", ""))) for tool in tools]
    spread = Counter(word for effect in effects for word in effect)
    weights = {word: math.log(1 + len(tools) / count) for word, count in spread.items()}
    return [{word: weights[word] for word in sorted(effect)} for effect in effects]


def likeness(text: str, effects: Sequence[Weighted]) -> list[float]:
    """Return, for each effect, the weighted share of its words in the sentence that has most.

    Sentences are looked at alone, or else any long text would hold any effect's words.
    """
    best = [0.0] * len(effects)
    totals = [sum(effect.values()) for effect in effects]
    for sentence in _SENTENCE.split(text):
        words = content_words(sentence)
        for number, effect in enumerate(effects):
            held = sum(weight for word, weight in effect.items() if word in words)
            if held:
                best[number] = max(best[number], held / totals[number])
    return best


def find_request(text: str, effects: Sequence[Weighted]) -> tuple[str, str]:
    """Part a long text into (request, the rest), by what its paragraphs have of the effects.

    A text of ordinary length is a request as a whole.
    """
    paragraphs = _PARAGRAPH.split(text)
    if len(text) <= _LONG or len(paragraphs) == 1:
        return text, ""
    scores = [max(likeness(each, effects), default=0.0) for each in paragraphs]
    least = 0.8 * max(scores)
    parts = [
        [each for each, score in zip(paragraphs, scores, strict=True) if (score >= least) is wanted]
        for wanted in (True, False)
    ]
    return "\n\n".join(parts[0]), "\n\n".join(parts[1])
