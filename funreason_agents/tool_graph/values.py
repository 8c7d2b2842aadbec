"""Values that a call's arguments can be taken from: outputs, visible state, schemas."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from funreason_agents.schemas.base import (
    canonical_json,
    find_choices,
    iterate_leaves,
    iterate_values,
)
from funreason_agents.schemas.tools import ExecutedCall, Origin

MAX_STATE_VALUES = 4000
"""Leaves of the visible state that are looked at; a larger state is cut, in document order."""


@dataclass(frozen=True)
class Value:
    """A value, the field that holds it, and where it came from."""

    field: str
    container: str
    value: Any
    origin: Origin
    owner: str = ""
    """The object around it, to keep values together that belong together."""
    source: str = ""
    """The tool whose output it is."""


MAX_CHOICE = 3
"""Items of a list that a request can tell apart in words: the first, the second, the third."""


def output_values(calls: Sequence[ExecutedCall], kind: str = "output") -> list[Value]:
    """Return the values that successful `calls` gave and a request can lead to, latest call first.

    A value in a list of several is one of a choice: of this turn's outputs the first few can be
    asked for in words, of earlier turns none.
    """
    latest = range(len(calls) - 1, -1, -1)
    return [value for number in latest for value in call_values(calls[number], number, kind)]


def call_values(step: ExecutedCall, number: int, kind: str = "output") -> list[Value]:
    """Return the values that the call at position `number` gave; see `output_values`.

    What a call of this turn only echoes from its arguments, it did not give.
    """
    if step.result.is_error:
        return []
    found = []
    told = {canonical_json(leaf) for _, leaf in iterate_leaves(step.call.arguments)}
    echoed = told if kind == "output" else set()
    content = step.result.content
    most = MAX_CHOICE if kind == "output" else 0
    for pointer, field, container, value in iterate_values(content):
        if any(place >= most for place, _ in find_choices(content, pointer)):
            continue
        if echoed and not isinstance(value, list) and canonical_json(value) in echoed:
            continue
        output = kind == "output"
        origin = Origin(
            kind="output" if output else "history", call=number if output else None, path=pointer
        )
        owner = f"{number}{pointer.rpartition('/')[0]}"
        found.append(Value(field, container, value, origin, owner, step.call.name))
    return found


def state_values(state: Any) -> list[Value]:
    """Return the values of the visible state; keys that start with `_` are private."""
    found = []
    for pointer, field, container, value in iterate_values(state, private=False):
        if len(str(value)) > 300:
            continue
        origin = Origin(kind="state", path=pointer)
        found.append(Value(field, container, value, origin, "state" + pointer.rpartition("/")[0]))
        if len(found) >= MAX_STATE_VALUES:
            break
    return found


@lru_cache(maxsize=4096)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator for the parameter's schema."""
    return _validator(canonical_json(schema))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether `value` is valid against the parameter's schema."""
    return bool(validator(schema).is_valid(value))


def schema_type(schema: dict[str, Any]) -> str:
    """Return the JSON type of a parameter, the first that is not null."""
    options = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for option in options:
        kind = option.get("type")
        for each in kind if isinstance(kind, list) else [kind]:
            if isinstance(each, str) and each != "null":
                return each
    return "string"


def pick_option(schema: dict[str, Any], generator: random.Random) -> tuple[bool, Any]:
    """Draw from what the schema itself names: const, enum, examples.

    Returns:
        Whether it names anything, and the drawn value.
    """
    for option in [schema, *schema.get("anyOf", ())]:
        if "const" in option:
            return True, option["const"]
        named = option.get("enum") or option.get("examples")
        if named:
            return True, generator.choice(list(named))
    told = examples_in_text(schema.get("description", ""))
    fitting = [value for value in told if fits(value, schema)]
    return (True, generator.choice(fitting)) if fitting else (False, None)


_EXAMPLE = re.compile(
    r"(?:e\.g\.|for example|such as|example:|like)[,:]?\s*(.{3,80})", re.IGNORECASE
)
_QUOTED = re.compile(r"['\"`]([^'\"`]{1,40})['\"`]")


def examples_in_text(description: str) -> list[str]:
    """Return the quoted examples that a description names after "e.g." or "such as"."""
    return [item for part in _EXAMPLE.findall(description) for item in _QUOTED.findall(part)]


_WORDS = (
    "quarterly summary",
    "weekend plans",
    "team update",
    "travel notes",
    "open questions",
    "spring schedule",
    "budget review",
    "garden project",
    "launch checklist",
    "reading list",
)
_SENTENCES = (
    "Please handle this before Friday.", "The delivery arrived earlier than planned.",
    "Could we move the meeting to the afternoon?", "Everything went well, thank you.",
    "The second draft looks much better.", "Remember to bring the printed copies.",
    "We should compare both options again.", "The front desk has been informed.",
)  # fmt: skip
_LONG_TEXT = frozenset(
    {"content", "message", "note", "description", "comment", "body", "text", "resolution", "reason"}
)
_DATE = re.compile(r"\bdate\b|yyyy|\bbirth|\bday\b", re.IGNORECASE)


def generate(name: str, schema: dict[str, Any], generator: random.Random) -> Any:
    """Invent a value of the right type for parameter `name`, for want of anything better."""
    kind = schema_type(schema)
    if kind == "boolean":
        return generator.random() < 0.5
    if kind in ("integer", "number"):
        return _generate_number(kind, schema, generator)
    if kind == "array":
        items = schema.get("items") or {}
        count = max(schema.get("minItems", 1), generator.randint(1, 3))
        return [_option_or(name, items, generator) for _ in range(count)]
    if kind == "object":
        properties = schema.get("properties", {})
        wanted = schema.get("required") or list(properties)[:2]
        return {key: _option_or(key, properties.get(key, {}), generator) for key in wanted}
    return _generate_text(name, schema, generator)


def _option_or(name: str, schema: dict[str, Any], generator: random.Random) -> Any:
    named, value = pick_option(schema, generator)
    return value if named else generate(name, schema, generator)


def _generate_number(kind: str, schema: dict[str, Any], generator: random.Random) -> int | float:
    bounds = {**schema, **next((o for o in schema.get("anyOf", ()) if o.get("type") == kind), {})}
    low = bounds.get("minimum", bounds.get("exclusiveMinimum", 0) + 1)
    high = bounds.get("maximum", max(low * 4, low + 60))
    step = bounds.get("multipleOf")
    if step:
        first, last = math.ceil(low / step), math.floor(high / step)
        multiple = step * generator.randint(first, max(first, last))
        return int(multiple) if kind == "integer" else float(multiple)
    if kind == "integer":
        return generator.randint(int(low), int(high))
    return round(generator.uniform(low, high), 1)


def has_form(name: str, schema: dict[str, Any]) -> bool:
    """Return whether a text parameter is a date or an address, which `generate` can write."""
    return _is_date(name, schema) or _is_email(name, schema)


def _is_date(name: str, schema: dict[str, Any]) -> bool:
    return schema.get("format") == "date" or bool(_DATE.search(_told(name, schema)))


def _is_email(name: str, schema: dict[str, Any]) -> bool:
    return schema.get("format") == "email" or "email" in _told(name, schema).lower()


def _told(name: str, schema: dict[str, Any]) -> str:
    return f"{name.replace('_', ' ')} {schema.get('description', '')}"


def _generate_text(name: str, schema: dict[str, Any], generator: random.Random) -> str:
    if _is_date(name, schema):
        return f"2026-{generator.randint(1, 12):02}-{generator.randint(1, 28):02}"
    if _is_email(name, schema):
        return f"{generator.choice(('ada', 'lin', 'sam', 'noor'))}@example.com"
    longer = any(word in _LONG_TEXT for word in _told(name, schema).lower().split()[:4])
    return generator.choice(_SENTENCES if longer else _WORDS)
