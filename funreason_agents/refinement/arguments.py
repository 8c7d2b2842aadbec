"""Arguments against the JSON Schema of their tool, and what can be repaired beyond doubt."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from funreason_agents.refinement.notation import read_literal
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.values import fold, numbers_in, same_value

Json = dict[str, Any]
NEAR = 0.75
"""Least likeness (`difflib` ratio) of a wrong parameter name to the one that is meant."""
_ALIASES = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number",
    "double": "number", "bool": "boolean", "dict": "object", "list": "array", "tuple": "array",
    "set": "array", "nonetype": "null",
}  # fmt: skip
"""Type names of xLAM and BFCL, which are Python's and Java's."""
_JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})


def to_schema(schema: Any) -> Any:
    """Return a schema with the type names of JSON Schema; a type that is unknown allows all."""
    if isinstance(schema, list):
        return [to_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Json = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            name = value.split("[")[0].split(",")[0].strip().lower()
            name = _ALIASES.get(name, name)
            if name in _JSON_TYPES:
                kept[key] = name
        elif key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            kept[key] = {name: to_schema(each) for name, each in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            kept[key] = value
        elif key != "required" or isinstance(value, list):  # some rows say it per parameter
            kept[key] = to_schema(value)
    return kept


def find_schema_problem(arguments: Json, tool: ToolSpec) -> str | None:
    """Return what is wrong with arguments, or None.

    A parameter that the schema does not name is wrong, whether or not the schema forbids it.

    Returns:
        `"unknown_parameter"`, `"missing_parameter"`, `"wrong_type"` or `"wrong_value"`.
    """
    schema = to_schema(tool.parameters)
    if set(arguments) - set(schema.get("properties", {})):
        return "unknown_parameter"
    try:
        errors = list(Draft202012Validator(schema).iter_errors(arguments))
    except SchemaError:
        return None
    except Exception:  # noqa: BLE001  # a schema of anybody's, such as with a $ref to nowhere
        return None
    kinds = {error.validator for error in errors}
    if "required" in kinds:
        return "missing_parameter"
    if "type" in kinds:
        return "wrong_type"
    return "wrong_value" if kinds else None


def repair_arguments(arguments: Json, tool: ToolSpec, facts: Facts) -> Json | None:
    """Return arguments that the schema allows and that mean the same; None if there is doubt.

    Names: a wrong one is replaced by the one free parameter that is near it. Types: what has but
    one reading in the schema's type. Options of an enum: without case and punctuation. Two
    values that changed places: where the results of the conversation label both of them so.
    """
    properties = to_schema(tool.parameters).get("properties", {})
    named = _rename(arguments, list(properties))
    if named is None:
        return None
    fixed = {name: coerce(value, properties[name]) for name, value in named.items()}
    fixed = swap_back(fixed, facts)
    return fixed if find_schema_problem(fixed, tool) is None else None


def _rename(arguments: Json, names: list[str]) -> Json | None:
    free = [name for name in names if name not in arguments]
    renamed: Json = {}
    for name, value in arguments.items():
        if name in names:
            renamed[name] = value
            continue
        same = [each for each in free if _plain(each) == _plain(name)]
        near = same or get_close_matches(_plain(name), list(map(_plain, free)), 2, NEAR)
        chosen = [each for each in free if _plain(each) in map(_plain, near)]
        if len(chosen) != 1:
            return None
        free.remove(chosen[0])
        renamed[chosen[0]] = value
    return renamed


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def coerce(value: Any, schema: Json) -> Any:
    """Return a value in the type that the schema wants, if it has one reading there; else as is."""
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        alike = [each for each in options if _plain(str(each)) == _plain(str(value))]
        return alike[0] if len(alike) == 1 else value
    if Draft202012Validator(schema).is_valid(value):
        return value
    wanted = schema.get("type")
    if wanted in ("integer", "number"):
        return _to_number(value, wanted)
    if wanted == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if wanted == "string" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _to_structure(value, schema) if wanted in ("array", "object") else value


def _to_structure(value: Any, schema: Json) -> Any:
    if schema["type"] == "object":
        read = read_literal(value) if isinstance(value, str) else value
        inner = schema.get("properties", {})
        if isinstance(read, dict):
            return {name: coerce(each, inner.get(name, {})) for name, each in read.items()}
        return value
    read = read_literal(value) if isinstance(value, str) else value
    items = schema.get("items") or {}
    if isinstance(read, list):
        return [coerce(each, items) for each in read]
    return value if isinstance(value, dict) else [coerce(value, items)]


def _to_number(value: Any, wanted: str) -> Any:
    if isinstance(value, str):
        found = numbers_in(value)
        if len(found) != 1 or (re.search(r"[^\W\d_]", value) and re.search(r"\d", value)):
            return value  # none, several, or with a unit
        value = found[0]
        value = int(value) if value.is_integer() else value
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def swap_back(arguments: Json, facts: Facts) -> Json:
    """Return arguments with two values exchanged, if the results label each as the other's."""
    for one in arguments:
        for other in arguments:
            if one < other and _is_labelled(arguments[one], other, one, facts):
                if not _is_labelled(arguments[other], one, other, facts):
                    continue
                return {**arguments, one: arguments[other], other: arguments[one]}
    return arguments


def _is_labelled(value: Any, field: str, instead_of: str, facts: Facts) -> bool:
    """Return whether results have a value under one field, and never under the other."""
    if isinstance(value, list | dict | bool) or value is None:
        return False
    fields = {fold(name) for name, leaf in facts.results if same_value(leaf, value)}
    return fold(field) in fields and fold(instead_of) not in fields
