"""From a tool's JSON Schema to a typed Python method, the form in which TRL takes tools."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, Literal

from funreason_agents.schemas.tools import ToolSpec

_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "null": type(None),
}  # fmt: skip


def make_method(tool: ToolSpec) -> Callable[..., str]:
    """Return a method with the tool's name, signature and docstring, which calls `self._call`.

    A parameter whose name is no Python name cannot stand in a signature. It is accepted all the
    same, as is every other argument: the environment judges them by the JSON Schema.
    """

    def method(self: Any, /, **arguments: Any) -> str:
        return str(self._call(tool.name, arguments))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [
        _to_parameter(name, schema, required=name in tool.required)
        for name, schema in tool.properties.items()
        if name.isidentifier() and not keyword.iskeyword(name) and name != "self"
    ]
    method.__name__ = method.__qualname__ = tool.name
    method.__doc__ = _to_docstring(tool)
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # as inspect documents
        [own, *parameters], return_annotation=str
    )
    method.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": str}
    return method


def to_hint(schema: dict[str, Any]) -> Any:
    """Return the type hint that says what a JSON Schema says, as far as a hint can; else Any."""
    if "enum" in schema or "const" in schema:
        values = tuple(schema.get("enum", [schema.get("const")]))
        plain = all(value is None or isinstance(value, str | int | bool) for value in values)
        return Literal[values] if values and plain else Any
    options = schema.get("anyOf") or schema.get("oneOf")
    kinds = schema.get("type")
    if isinstance(kinds, list):
        options = [{**schema, "type": kind} for kind in kinds]
    if options:
        hints = [to_hint(option) for option in options]
        return Any if Any in hints else reduce(or_, hints)
    if kinds == "array":
        return list[to_hint(schema.get("items") or {})]  # type: ignore[misc]  # made at run time
    if kinds == "object":
        return dict[str, Any]
    return _TYPES.get(str(kinds), Any)


def _to_parameter(name: str, schema: dict[str, Any], *, required: bool) -> inspect.Parameter:
    hint: Any = to_hint(schema)
    default: Any = inspect.Parameter.empty
    if not required:
        default = schema.get("default")
        hint = hint if hint is Any or default is not None else hint | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _to_docstring(tool: ToolSpec) -> str:
    lines = [
        f"    {name}: {schema.get('description') or name.replace('_', ' ')}"
        for name, schema in tool.properties.items()
    ]
    return "\n".join([tool.description, *(["", "Args:", *lines] if lines else [])])
