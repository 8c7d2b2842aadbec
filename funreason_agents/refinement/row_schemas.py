"""The schemas of anybody's tools, read into JSON Schema that can be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from funreason_agents.schemas.base import resolve_pointer
from funreason_agents.verification.values import is_number

Json = dict[str, Any]
_ALIASES = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number",
    "double": "number", "bool": "boolean", "dict": "object", "list": "array", "tuple": "array",
    "set": "array", "nonetype": "null",
}  # fmt: skip
"""Type names of xLAM and BFCL, which are Python's and Java's."""
_JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_INNER = frozenset({"items", "additionalProperties", "not", "contains", "if", "then", "else"})
_NUMERIC = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
})  # fmt: skip
_ADDRESSES = frozenset({"$id", "$schema", "$anchor", "$dynamicRef", "$recursiveRef"})
"""What would have a reference mean a place outside the schema."""
_DEEPEST = 4
"""How far references and alternatives of a schema are followed, since they may go in circles."""
_MOST_REFERENCES = 8
"""References one after the other that are followed: they may lead round in a ring."""


def to_schema(schema: Any) -> Any:
    """Return a schema as it can be used, still as JSON.

    Type names are those of JSON Schema; a type that is unknown allows all, as does a `$ref` out of
    the schema. What is null was filled in by a table and says nothing; a limit that is no number
    and a pattern that is none are left out too.
    """
    return _read_schema(schema, schema)


def _read_schema(schema: Any, whole: Any) -> Any:
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool) else {}
    read = {key: _read_keyword(key, value, whole) for key, value in schema.items()}
    return {key: value for key, value in read.items() if value is not None}


def _read_keyword(key: str, value: Any, whole: Any) -> Any:
    """Return what a keyword says; None if nothing that can be used."""
    if key == "type":
        return _read_type(value)
    if key in _MAPS:
        items = value.items() if isinstance(value, dict) else ()
        return {name: _read_schema(each, whole) for name, each in items if each is not None}
    if key in _LISTS:
        parts = value if isinstance(value, list) else ()
        return [_read_schema(each, whole) for each in parts if each is not None] or None
    if key in _INNER:
        return _read_schema(value, whole) if isinstance(value, dict | bool) else None
    if key in ("enum", "examples"):
        return value if isinstance(value, list) else None
    if key == "required":  # some rows say it per parameter
        return [each for each in value if each is not None] if isinstance(value, list) else None
    if key in _NUMERIC:
        return value if is_number(value) else None
    if key == "pattern":
        return value if _is_pattern(value) else None
    if key == "$ref":
        return value if resolve_reference(value, whole) is not None else None
    return None if key in _ADDRESSES else value


def _read_type(value: Any) -> Any:
    if isinstance(value, list):
        names = ["null" if each is None else _read_type(each) for each in value]
        return names if names and None not in names else None
    if not isinstance(value, str):
        return None
    name = value.split("[")[0].split(",")[0].strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in _JSON_TYPES else None


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def resolve_reference(reference: Any, whole: Any) -> Json | None:
    """Return the part of a schema that a reference names, or None."""
    if not isinstance(reference, str) or not re.match(r"#(?:/|\Z)", reference):
        return None
    try:
        target = resolve_pointer(whole, unquote(reference[1:]))
    except LookupError:
        return None
    return target if isinstance(target, dict) else None


def follow_references(schema: Json, whole: Any) -> Json:
    """Return a schema with what it refers to in its place."""
    for _ in range(_MOST_REFERENCES):
        target = resolve_reference(schema.get("$ref"), whole)
        if target is None:
            break
        schema = {**target, **{key: schema[key] for key in schema if key != "$ref"}}
    return schema


def iterate_branches(schema: Any, whole: Any, depth: int = 0) -> Iterator[Json]:
    """Yield a schema, and those that it refers to or combines."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word) or ():
            yield from iterate_branches(each, whole, depth + 1)
    yield from iterate_branches(resolve_reference(schema.get("$ref"), whole), whole, depth + 1)
