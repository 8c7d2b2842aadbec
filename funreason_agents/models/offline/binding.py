"""Where the offline reasoner takes arguments from, and what it tries when a call was refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.models.offline.scene import Call, Scene, Seen, properties
from funreason_agents.schemas.words import content_words, humanize, match_field

_LEAVE_OUT = object()
_WEAK, _STRONG = 0.3, 0.6
_REQUEST = "the request"


@dataclass(frozen=True)
class Option:
    """A candidate value of a parameter."""

    value: Any
    source: str
    is_new: bool = False
    """It comes from a result of this turn."""


@dataclass(frozen=True)
class Binding:
    """The arguments of a call, and where each comes from."""

    arguments: dict[str, Any]
    chosen: dict[str, Option]

    @property
    def told(self) -> str:
        """The sources, in sentences."""
        return " ".join(
            f"The {humanize(name)} comes from {option.source}."
            for name, option in self.chosen.items()
        )


def bind(tool: dict[str, Any], scene: Scene, step: int) -> Binding | None:
    """Bind the arguments of a planned step; None if each way to do so has failed already.

    Args:
        tool: The tool to call.
        scene: What is known.
        step: Position of the step in the plan.
    """
    tried = [call for call in scene.failed if call.name == tool["name"]]
    first = _bind(tool, scene, step, {})
    if not any(call.args == first.arguments for call in tried):
        return first
    done = [call for call in scene.calls if call.name == tool["name"]]
    for shift in _variations(tool, scene, tried):
        other = _bind(tool, scene, step, shift)
        if not any(call.args == other.arguments for call in (*tried, *done)):
            return other
    return None


def _variations(
    tool: dict[str, Any], scene: Scene, tried: Sequence[Call]
) -> Iterator[dict[str, int]]:
    """Yield which parameter to move on by how many candidates; first what the errors speak of."""
    required = set(tool.get("parameters", {}).get("required", ()))
    said = " ".join(str(call.content) for call in tried)
    words, ranked = content_words(said), []
    for order, name in enumerate(properties(tool)):
        values = [str(call.args[name]) for call in tried if name in call.args]
        blamed = any(value and value in said for value in values)
        named = bool(content_words(name)) and content_words(name) <= words
        ranked.append((not blamed, not named, name not in required, order, name))
    for *_, name in sorted(ranked):
        count = len(_options(name, properties(tool)[name], name in required, scene, {}))
        yield from ({name: shift} for shift in range(1, count))


def _bind(tool: dict[str, Any], scene: Scene, step: int, shift: dict[str, int]) -> Binding:
    arguments: dict[str, Any] = {}
    chosen = {}
    required = set(tool.get("parameters", {}).get("required", ()))
    for name, schema in properties(tool).items():
        options = _options(name, schema, name in required, scene, arguments)
        if not options:
            continue
        position = _count_refusals(tool, scene, step, name)
        if scene.parallel and step and position and options[0].is_new:
            # The value that was refused was chosen before this result was there.
            position -= 1
        option = options[min(position + shift.get(name, 0), len(options) - 1)]
        if option.value is not _LEAVE_OUT:
            arguments[name] = option.value
            chosen[name] = option
    return Binding(arguments, chosen)


def _count_refusals(tool: dict[str, Any], scene: Scene, step: int, parameter: str) -> int:
    return sum(
        critique.get("parameter") == parameter and is_about(critique, tool, scene, step)
        for critique in scene.critiques
    )


def is_about(critique: dict[str, Any], tool: dict[str, Any], scene: Scene, step: int) -> bool:
    """Whether a critique speaks of this step: by its place in the plan or among all calls."""
    place = step + scene.made - len(scene.calls)
    return critique.get("step") in (step, place) and critique.get("tool") in (None, tool["name"])


def find_unbound(tool: dict[str, Any], scene: Scene, *, by_user: bool = False) -> list[str]:
    """Return the required parameters that have no candidate; `by_user`: none in the request."""
    required = set(tool.get("parameters", {}).get("required", ()))
    unbound = []
    for name, schema in properties(tool).items():
        options = _options(name, schema, name in required, scene, {})
        told = any(option.source == _REQUEST for option in options)
        if name in required and not (told if by_user else options):
            unbound.append(name)
    return unbound


def _options(
    name: str,
    schema: dict[str, Any],
    required: bool,
    scene: Scene,
    arguments: dict[str, Any],
) -> list[Option]:
    """Return the candidate values of a parameter, best first, without repeats."""
    label = humanize(name)
    told = [_coerce(value, schema) for found, value in scene.labelled if found == label]
    used = sum(any(humanize(n) == label for n in call.args) for call in scene.calls)
    start = min(used, len(told) - 1) if told else 0
    options = [Option(value, _REQUEST) for value in [*told[start:], *told[:start]]]
    if label in scene.same and _fits(scene.same[label], schema):
        options.append(Option(scene.same[label], _REQUEST))
    options += _from_lists(name, schema, required, scene, arguments)
    if not required:
        options.append(Option(_LEAVE_OUT, ""))
    options += _from_results(name, schema, scene, arguments)
    around = [_coerce(value, schema) for found, value in scene.aside if found == label]
    options += [Option(value, "the text around the request") for value in around]
    if required and not options:
        options += [Option(value, "the usual choice") for value in _defaults(schema)]
    unique: list[Option] = []
    for option in options:
        if not any(option.value is o.value or option.value == o.value for o in unique):
            unique.append(option)
    return unique


def _from_lists(
    name: str, schema: dict[str, Any], required: bool, scene: Scene, arguments: dict[str, Any]
) -> list[Option]:
    """Return what the request points at in earlier lists, one value for each item."""
    found = []
    for noun, values in scene.picked:
        if noun in scene.nouns and noun != humanize(name):
            continue
        ranked = [(_score(name, schema, seen), -order) for order, seen in enumerate(values)]
        score, order = max(ranked, default=(0.0, 0))
        seen = values[-order] if values else None
        if seen is not None and score >= (_WEAK if required else _STRONG):
            taken = any(seen.value == value for value in arguments.values())
            found.append((taken, Option(seen.value, _REQUEST)))
    return [option for _, option in sorted(found, key=lambda entry: entry[0])]


def _from_results(
    name: str, schema: dict[str, Any], scene: Scene, arguments: dict[str, Any]
) -> list[Option]:
    spent = [json.dumps(v) for c in scene.calls for v in c.args.values()]
    spent += [json.dumps(value) for value in arguments.values()]
    ranked = []
    for order, seen in enumerate(scene.values):
        score = _score(name, schema, seen)
        if score < (_WEAK if seen.step >= 0 else _STRONG):
            continue
        fresh = json.dumps(seen.value) not in spent
        # Of this turn's results the oldest comes first, as the first of two things asked for;
        # of earlier turns the latest, which is what a request most likely goes on with.
        age = (0, seen.step) if seen.step >= 0 else (1, -seen.step)
        ranked.append((-round(score, 1), not fresh, age, order, seen))
    ranked.sort(key=lambda entry: entry[:4])
    return [
        Option(seen.value, f"the {humanize(seen.field)} found before", seen.step >= 0)
        for *_, seen in ranked
    ]


def _score(name: str, schema: dict[str, Any], seen: Seen) -> float:
    """Return how well a value that was seen fits a parameter; 0 where the schema forbids it."""
    if not _fits(seen.value, schema):
        return 0.0
    return match_field(name, schema.get("description", ""), seen.field, seen.container, seen.tool)


def _types(schema: dict[str, Any]) -> set[str]:
    kinds: set[str] = set()
    for option in (schema, *schema.get("anyOf", ())):
        kind = option.get("type")
        kinds |= set(kind) if isinstance(kind, list) else {kind} if kind else set()
    return kinds - {"null"}


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    options = schema.get("enum")
    if options is not None:
        return value in options
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array"}
    kinds, kind = _types(schema), names.get(type(value), "object")
    return not kinds or kind in kinds or (kind == "integer" and "number" in kinds)


def _coerce(value: Any, schema: dict[str, Any]) -> Any:
    kinds = _types(schema)
    if kinds == {"string"} and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kinds == {"array"} and not isinstance(value, list):
        return [value]
    return value


def _defaults(schema: dict[str, Any]) -> list[Any]:
    if "default" in schema:
        return [schema["default"]]
    if "const" in schema:
        return [schema["const"]]
    return list(schema.get("enum") or schema.get("examples") or [])
