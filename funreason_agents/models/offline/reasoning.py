"""The offline model as reasoning agent: one step of acting, from the messages alone.

The next tool comes from the hint's composition, else from the likeness of request and tool
descriptions. Arguments come by label from the request, else by key from results, latest first.
Each critique of a parameter moves that parameter on to its next candidate: a real correction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from funreason_agents.models.offline.language import describe_result, effect_of, read_values
from funreason_agents.schemas.base import iterate_values, parse_result
from funreason_agents.schemas.words import content_words, humanize, match_field, overlap

_LEAVE_OUT = object()
_WEAK, _STRONG = 0.3, 0.6


@dataclass(frozen=True)
class _Seen:
    """A value of a result, and where it stands."""

    field: str
    container: str
    value: Any
    step: int
    """Step of this turn; negative for earlier turns."""
    tool: str


@dataclass(frozen=True)
class _Scene:
    """What the reasoner knows at one step."""

    query: str
    calls: list[dict[str, Any]]
    """Calls of this turn so far."""
    results: list[ToolMessage]
    values: list[_Seen]
    labelled: list[tuple[str, Any]]
    critiques: list[dict[str, Any]]


def reason(
    notes: dict[str, Any], messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
) -> AIMessage:
    """Take the next step: one tool call, or the closing reply."""
    scene = _read_scene(notes, messages, tools)
    plan = _plan(notes, scene, tools)
    step = len(scene.calls)
    failed = bool(scene.results) and scene.results[-1].status == "error"
    if step >= len(plan) or failed:
        return _reply(scene, tools, failed)
    tool = plan[step]
    arguments, told = _bind(tool, scene, step)
    thought = f"Next: {effect_of(tool.get('description', ''))}. " + " ".join(told)
    call_id = f"call_{sum(isinstance(m, ToolMessage) for m in messages)}"
    return AIMessage(
        content=[{"type": "reasoning", "reasoning": thought.strip()}],
        tool_calls=[{"name": tool["name"], "args": arguments, "id": call_id}],
    )


def _read_scene(
    notes: dict[str, Any], messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
) -> _Scene:
    asked = max(n for n, message in enumerate(messages) if isinstance(message, HumanMessage))
    query = str(messages[asked].content)
    calls = [c for m in messages[asked:] if isinstance(m, AIMessage) for c in m.tool_calls]
    results = [m for m in messages[asked:] if isinstance(m, ToolMessage)]
    labels = {humanize(name) for tool in tools for name in _properties(tool)}
    values: list[_Seen] = []
    earlier = [m for m in messages[:asked] if isinstance(m, ToolMessage)]
    for step, message in enumerate([*earlier, *results], start=-len(earlier)):
        if message.status != "error":
            tool, content = str(message.name), parse_result(str(message.content))
            values += [_Seen(f, c, value, step, tool) for _, f, c, value in iterate_values(content)]
    return _Scene(
        query=query,
        calls=[dict(call) for call in calls],
        results=results,
        values=values,
        labelled=read_values(query, labels),
        critiques=list(notes.get("critiques") or []),
    )


def _plan(
    notes: dict[str, Any], scene: _Scene, tools: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    named = {tool["name"]: tool for tool in tools}
    composition = [named[name] for name in notes.get("composition") or [] if name in named]
    if composition or not tools:
        return composition
    words = content_words(scene.query)
    ranked = sorted(
        tools, key=lambda t: (-overlap(words, content_words(t.get("description", ""))), t["name"])
    )
    wrong = sum(critique.get("kind") == "wrong_tool" for critique in scene.critiques)
    return [ranked[wrong % len(ranked)]]


def _bind(tool: dict[str, Any], scene: _Scene, step: int) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of a call, and a sentence on where each comes from."""
    arguments: dict[str, Any] = {}
    told = []
    required = set(tool.get("parameters", {}).get("required", ()))
    for name, schema in _properties(tool).items():
        options = _options(name, schema, name in required, scene, arguments)
        refused = sum(c.get("step") == step and c.get("parameter") == name for c in scene.critiques)
        if not options:
            continue
        value, source = options[min(refused, len(options) - 1)]
        if value is not _LEAVE_OUT:
            arguments[name] = value
            told.append(f"The {humanize(name)} comes from {source}.")
    return arguments, told


def _options(
    name: str,
    schema: dict[str, Any],
    required: bool,
    scene: _Scene,
    arguments: dict[str, Any],
) -> list[tuple[Any, str]]:
    """Return the candidate values of a parameter, best first, without repeats."""
    label = humanize(name)
    told = [_coerce(value, schema) for found, value in scene.labelled if found == label]
    used = sum(any(humanize(n) == label for n in call["args"]) for call in scene.calls)
    start = min(used, len(told) - 1) if told else 0
    options = [(value, "the request") for value in [*told[start:], *told[:start]]]
    if not required:
        options.append((_LEAVE_OUT, ""))
    options += _from_results(name, schema, scene, arguments)
    if required and not options:
        options += [(value, "the usual choice") for value in _defaults(schema)]
    unique: list[tuple[Any, str]] = []
    for value, source in options:
        if not any(value is other or value == other for other, _ in unique):
            unique.append((value, source))
    return unique


def _from_results(
    name: str, schema: dict[str, Any], scene: _Scene, arguments: dict[str, Any]
) -> list[tuple[Any, str]]:
    description = schema.get("description", "")
    spent = [json.dumps(v) for c in scene.calls for v in c["args"].values()]
    spent += [json.dumps(value) for value in arguments.values()]
    ranked = []
    for order, seen in enumerate(scene.values):
        score = match_field(name, description, seen.field, seen.container, seen.tool)
        least = _WEAK if seen.step >= 0 else _STRONG
        if score < least or not _fits(seen.value, schema):
            continue
        fresh = json.dumps(seen.value) not in spent
        # Of this turn's results the oldest comes first, as the first of two things asked for;
        # of earlier turns the latest, which is what a request most likely goes on with.
        age = (0, seen.step) if seen.step >= 0 else (1, -seen.step)
        ranked.append((-round(score, 1), not fresh, age, order, seen))
    ranked.sort(key=lambda entry: entry[:4])
    return [(seen.value, f"the {humanize(seen.field)} found before") for *_, seen in ranked]


def _reply(scene: _Scene, tools: Sequence[dict[str, Any]], failed: bool) -> AIMessage:
    if not scene.results:
        return AIMessage("There is nothing that I can do for this request.")
    if failed:
        return AIMessage("That did not work.")
    said = [
        describe_result(parse_result(str(result.content)))
        for step, result in enumerate(scene.results)
        if step == len(scene.results) - 1 or _is_asked_for(scene, tools, step)
    ]
    told = ". ".join(part for part in said if part)
    return AIMessage(f"Done. {told}." if told else "Done.")


def _is_asked_for(scene: _Scene, tools: Sequence[dict[str, Any]], step: int) -> bool:
    """Whether the request speaks of what this call does; otherwise it was only a means."""
    name = scene.calls[step]["name"]
    described = next((t.get("description", "") for t in tools if t["name"] == name), "")
    words = content_words(effect_of(described))
    return bool(words) and len(words & content_words(scene.query)) >= 0.8 * len(words)


def _properties(tool: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(tool.get("parameters", {}).get("properties", {}))


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
