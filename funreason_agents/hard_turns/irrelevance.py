"""Irrelevance: a request that none of the environment's tools can serve."""

from __future__ import annotations

import random

from funreason_agents.hard_turns.foreign_tools import FOREIGN_TOOLS
from funreason_agents.hard_turns.scene import Scene
from funreason_agents.schemas.tasks import AdvancedTool, HardTurn, OuterInput
from funreason_agents.schemas.words import humanize
from funreason_agents.verification.likeness import find_related


def plan_irrelevance(scene: Scene) -> HardTurn | str:
    """Draw an everyday tool that nothing in the environment is related to.

    Returns:
        The hard turn, or `"no_foreign_tool"`.
    """
    strangers = [tool for tool in FOREIGN_TOOLS if find_related(tool, scene.tools) is None]
    if not strangers:
        return "no_foreign_tool"
    return HardTurn(kind="irrelevance", foreign=scene.generator.choice(strangers))


def make_foreign_tool(hard: HardTurn, generator: random.Random) -> AdvancedTool:
    """Return the tool that the request would take, with a drawn value for each input."""
    assert hard.foreign is not None
    effect = hard.foreign.description.rstrip(".")
    inputs = [
        # In the form that the tooling agent is asked for: which request an input belongs to.
        OuterInput(
            label=humanize(name),
            description="request 1",
            value=generator.choice(schema["examples"]),
        )
        for name, schema in hard.foreign.properties.items()
    ]
    return AdvancedTool(
        name=hard.foreign.name,
        description=effect[0].lower() + effect[1:],
        inputs=tuple(inputs),
        composition=(),
    )
