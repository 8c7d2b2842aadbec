"""Long context: unrelated text around the request, and unrelated tools beside the right ones."""

from __future__ import annotations

import random

from funreason_agents.hard_turns.filler import write_filler
from funreason_agents.hard_turns.foreign_tools import FOREIGN_TOOLS
from funreason_agents.hard_turns.scene import Scene
from funreason_agents.schemas.tasks import HardTurn
from funreason_agents.schemas.words import humanize
from funreason_agents.verification.likeness import find_related
from funreason_agents.verification.turn_kinds import gold_values


def plan_long_context(scene: Scene) -> HardTurn | str:
    """Write text of the wanted length without gold values, and draw tools that nothing needs.

    Where the pool has fewer tools that are unrelated to the environment's, all of them are taken.

    Returns:
        The hard turn, or `"no_filler"`.
    """
    filler = write_filler(
        scene.context.filler_chars, list(gold_values(scene.trace)), scene.generator
    )
    if filler is None:
        return "no_filler"
    own = {humanize(tool.name) for tool in scene.tools}
    strangers = [
        tool
        for tool in FOREIGN_TOOLS
        if humanize(tool.name) not in own and find_related(tool, scene.tools) is None
    ]
    count = min(scene.context.distractors, len(strangers))
    drawn = scene.generator.sample(strangers, count)
    return HardTurn(kind="long_context", filler=filler, distractors=tuple(drawn))


def surround(query: str, filler: str, generator: random.Random) -> str:
    """Put the text before or after the request."""
    parts = [filler, query] if generator.random() < 0.5 else [query, filler]
    return "\n\n".join(parts)
