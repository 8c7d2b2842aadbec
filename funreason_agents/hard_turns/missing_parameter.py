"""Missing parameter: the user leaves out a value that only the user has, and is asked for it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from funreason_agents.hard_turns.scene import Scene, leaves_nothing_to_do
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.tasks import AdvancedTool, HardTurn, OuterInput
from funreason_agents.verification.query_gate import supplied_leaves
from funreason_agents.verification.turn_kinds import find_takers, is_known
from funreason_agents.verification.values import same_value

_FOLLOW_UPS = (
    "The {label} is {value}.",
    "Sorry, I forgot that: the {label} is {value}.",
    "Of course. The {label} is {value}.",
    "Right, the {label} is {value}. Please go on.",
    "Here it is: the {label} is {value}.",
    "Oh, I left that out. The {label} is {value}.",
)


def plan_missing_parameter(scene: Scene) -> HardTurn | str:
    """Omit an input that no call can do without, and that nothing else gives away.

    Returns:
        The hard turn, or `"nothing_to_omit"`.
    """
    assert scene.tool is not None
    choices = list(_find_omissible(scene, scene.tool))
    if not choices:
        return "nothing_to_omit"
    return HardTurn(kind="missing_parameter", omitted=scene.generator.choice(choices))


def _find_omissible(scene: Scene, tool: AdvancedTool) -> Iterator[OuterInput]:
    """Yield inputs under the description of their parameter, which is what is asked for."""
    specs = {each.name: each for each in scene.tools}
    supplied = [value for _, value in supplied_leaves(scene.trace, scene.tools)]
    for each in tool.inputs:
        leaves = [leaf for _, leaf in iterate_leaves(each.value)]
        takers = find_takers(each.value, scene.trace)
        if not leaves or not takers or not _is_unique(each, tool):
            continue
        if not leaves_nothing_to_do(scene.trace, [place for place, _, _ in takers]):
            continue
        if not all(any(same_value(leaf, value) for value in supplied) for leaf in leaves):
            continue
        schemas = [specs[name].properties[parameter] for _, name, parameter in takers]
        if any(parameter not in specs[name].required for _, name, parameter in takers):
            continue
        if not all(map(_needs_user, schemas)):
            continue
        others = [other.value for other in tool.inputs if other.value != each.value]
        said = scene.before.add_text(json.dumps(others, ensure_ascii=False))
        if not is_known(each.value, said):
            told = next((s["description"] for s in schemas if s.get("description")), "")
            yield each.model_copy(update={"description": told, "reference": None})


def _needs_user(schema: dict[str, Any]) -> bool:
    """Whether the schema itself does not say what the value is."""
    return not {"default", "const"} & schema.keys() and len(schema.get("enum", ())) != 1


def _is_unique(each: OuterInput, tool: AdvancedTool) -> bool:
    """Whether the label means one value and the value has one label, so that asking is clear."""
    return all(
        (other.label == each.label) == same_value(other.value, each.value) for other in tool.inputs
    )


def say_value(omitted: OuterInput, generator: random.Random) -> str:
    """Return the message that supplies the value, as JSON."""
    value = json.dumps(omitted.value, ensure_ascii=False)
    return generator.choice(_FOLLOW_UPS).format(label=omitted.label, value=value)
