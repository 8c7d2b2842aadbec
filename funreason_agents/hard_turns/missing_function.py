"""Missing function: the request takes a tool that is only offered with the next message."""

from __future__ import annotations

import random

from funreason_agents.hard_turns.scene import Scene, leaves_nothing_to_do
from funreason_agents.schemas.tasks import HardTurn
from funreason_agents.verification.likeness import find_same

_FOLLOW_UPS = (
    "The tool that you were missing is available now, please go on.",
    "What you were lacking has just been added. Please carry on.",
    "You should have what it takes now. Please try again.",
    "I was told that the missing capability is switched on now, so please continue.",
    "Good news: the tool that was missing is there now. Please proceed.",
    "You have been given the missing tool. Go ahead, please.",
    "That gap is closed now, you can go ahead.",
)


def plan_missing_function(scene: Scene) -> HardTurn | str:
    """Withhold a tool that the user asks for, if nothing else can be done without it.

    No other tool may be able to stand in for it. One that was called before is not withheld: it
    was there for all to see.

    Returns:
        The hard turn, or `"no_function_to_withhold"`.
    """
    specs = {tool.name: tool for tool in scene.tools}
    asked = dict.fromkeys(scene.trace.calls[number].call.name for number in scene.trace.requests)
    names = [
        name
        for name in asked
        if name not in scene.called
        and find_same(specs[name], scene.tools) is None
        and leaves_nothing_to_do(scene.trace, _places(scene, name))
    ]
    if not names:
        return "no_function_to_withhold"
    target = scene.trace.target
    chosen = target if target in names else scene.generator.choice(names)
    return HardTurn(kind="missing_function", function=chosen)


def _places(scene: Scene, name: str) -> list[int]:
    return [n for n, called in enumerate(scene.trace.tool_names) if called == name]


def say_available(generator: random.Random) -> str:
    """Return the message that hands the tool over, without naming it."""
    return generator.choice(_FOLLOW_UPS)
