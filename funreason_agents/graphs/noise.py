"""The noise of a query: who writes, in which tone, how much they tell, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funreason_agents.seeding import rng

PERSONAS = (
    "a busy office worker", "a retired teacher", "a student short of money",
    "a small-business owner", "a parent with little time", "a careful planner",
    "a newcomer to the service", "a regular who knows the service well",
    "a nurse between two shifts", "a freelance designer", "an assistant who acts for their boss",
    "a person who writes on a phone while walking", "a researcher who likes exact figures",
    "a volunteer who organises an event", "a person who is not at ease with computers",
    "a traveller in a different time zone", "a warehouse worker", "an accountant at month's end",
    "a person who has been passed from one help desk to the next", "a software engineer",
    "a person who writes in their second language", "a museum guide", "a taxi driver",
    "a grandparent who helps a grandchild", "a person who compares everything before deciding",
    "a team lead who delegates", "a self-employed carpenter", "a club treasurer",
)  # fmt: skip
TONES = (
    "friendly", "terse", "polite", "chatty", "matter-of-fact", "hurried", "formal", "relaxed",
    "slightly annoyed", "apologetic", "cheerful", "hesitant", "businesslike", "dry", "enthusiastic",
    "tired", "precise", "informal, mostly lower case", "warm", "demanding",
)  # fmt: skip
DETAILS = ("sparse", "normal", "normal", "rich")
"""How much is said beside the request; drawn evenly, so the plain case is the commonest."""
ORDERS = ("request_first", "values_first")
VARIANTS = 60


def draw_noise(
    seed: int, index: int, turn: int, turn_attempt: int, languages: Sequence[str] = ("English",)
) -> dict[str, Any]:
    """Realise the paper's synthesis noise, keyed by the turn.

    Returns:
        `persona`, `tone`, `detail` (sparse, normal, rich), `order` (request_first, values_first),
        `language`, and `variant`, a number that tells otherwise equal draws apart.

    Args:
        seed: Seed of the run.
        index: Index of the trajectory.
        turn: Index of the turn.
        turn_attempt: Which draw of a target this is, from 1.
        languages: What to choose the language from.
    """
    generator = rng(seed, index, turn, turn_attempt, "noise")
    return {
        "persona": generator.choice(PERSONAS),
        "tone": generator.choice(TONES),
        "detail": generator.choice(DETAILS),
        "order": generator.choice(ORDERS),
        "language": generator.choice(list(languages)),
        "variant": generator.randrange(VARIANTS),
    }
