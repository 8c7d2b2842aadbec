"""Targets planned up front from a coverage quota, as a pure function of (seed, index, turn)."""

from __future__ import annotations

from collections.abc import Sequence

from funreason_agents.seeding import rng


def plan_target(
    tools: Sequence[str], *, seed: int, index: int, turn: int, turns: int, attempt: int
) -> str:
    """Return the target tool of one turn.

    The turns of all trajectories are dealt out from shuffled decks of all tools, so every tool
    is a target equally often, give or take one, however many trajectories are made. A redraw
    (`attempt` above 1) is dealt from decks of its own.
    """
    place = index * turns + turn
    deck, card = divmod(place, len(tools))
    shuffled = list(tools)
    rng(seed, "targets", attempt, deck).shuffle(shuffled)
    return shuffled[card]
