"""Targets planned up front from a coverage quota, as a pure function of (seed, index, turn)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from funreason_agents.seeding import rng

UNITS = 10**9
"""What the largest weight becomes, so that shares are compared in whole numbers."""


def plan_target(
    tools: Sequence[str],
    *,
    seed: int,
    index: int,
    turn: int,
    turns: int,
    attempt: int,
    weights: Mapping[str, float] | None = None,
) -> str:
    """Return the target tool of one turn.

    The turns of all trajectories are dealt out from shuffled decks with as many cards as there
    are tools. Without weights each deck holds each tool once, so that every tool is a target
    equally often, give or take one, however many trajectories are made. With weights the decks
    are cut from the sequence in which the method of Sainte-Lague gives out seats: after any
    number of whole decks, each tool was a target as often as its share demands, to within about
    one, and each tool with a weight above 0 has its turn. A redraw (`attempt` above 1) is dealt
    from decks of its own.

    Args:
        tools: What may be a target; with weights, as `find_targets` returns them.
        seed: Seed of the run.
        index: Index of the trajectory.
        turn: Index of the turn in it.
        turns: Turns per trajectory.
        attempt: Which draw of a target for this turn, from 1.
        weights: Weight of each tool above 0, up to a common factor; None or empty means equal.
    """
    deck, card = divmod(index * turns + turn, len(tools))
    cards = _cut_deck(tools, weights, deck) if weights else list(tools)
    rng(seed, "targets", attempt, deck).shuffle(cards)
    return cards[card]


def find_targets(tools: Sequence[str], weights: Mapping[str, float]) -> tuple[str, ...]:
    """Return the tools that are a target at all: those whose weight is not 0."""
    return tuple(tool for tool, weight in _fill(tools, weights).items() if weight > 0)


def _fill(tools: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each tool; one that is not named gets the mean of those that are."""
    mean = sum(weights.values()) / len(weights) if weights else 1.0
    return {tool: weights.get(tool, mean) for tool in tools}


def _cut_deck(tools: Sequence[str], weights: Mapping[str, float], deck: int) -> list[str]:
    """Return the cards of one deck, in the order of the tools."""
    filled = _fill(tools, weights)
    largest = max(filled.values())
    units = tuple(max(1, round(UNITS * filled[tool] / largest)) for tool in tools)
    before = _give_seats(units, deck * len(tools))
    after = _give_seats(units, (deck + 1) * len(tools))
    counts = [late - early for early, late in zip(before, after, strict=True)]
    return [tool for tool, count in zip(tools, counts, strict=True) for _ in range(count)]


@lru_cache(maxsize=1024)
def _give_seats(units: tuple[int, ...], seats: int) -> tuple[int, ...]:
    """Return how many of the first `seats` seats each party gets (Sainte-Lague, ties in order).

    Party i takes its n-th seat at time (2n - 1) / units[i]. That orders all seats, so the first
    ones are a prefix, and no party ever loses a seat when there are more of them.
    """
    total = sum(units)
    given = [(2 * seats * unit + total) // (2 * total) for unit in units]
    parties = range(len(units))
    while (missing := seats - sum(given)) != 0:
        if missing > 0:
            due = min(parties, key=lambda i: (Fraction(2 * given[i] + 1, units[i]), i))
            given[due] += 1
        else:
            held = [i for i in parties if given[i]]
            due = max(held, key=lambda i: (Fraction(2 * given[i] - 1, units[i]), i))
            given[due] -= 1
    return tuple(given)
