"""From a typed Python callable to a `ToolSpec` and to a validating caller."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from docstring_parser import parse as parse_docstring
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import PydanticJsonSchemaWarning

from funreason_agents.errors import ConfigurationError
from funreason_agents.schemas.tools import ToolSpec


@dataclass(frozen=True)
class Signature:
    """What is known of a callable: its spec, and the model that turns JSON into its arguments."""

    spec: ToolSpec
    arguments: type[BaseModel]

    def bind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the Python values for JSON `arguments`, leaving out what was not given."""
        parsed = self.arguments.model_validate(arguments)
        return {
            field.alias or name: getattr(parsed, name)
            for name, field in self.arguments.model_fields.items()
            if name in parsed.model_fields_set
        }


def read_signature(function: Callable[..., Any], *, name: str, bound: bool = False) -> Signature:
    """Read name, description, JSON Schema and output schema of `function`.

    Args:
        function: A function with type hints and, ideally, a Google docstring.
        name: Name of the tool.
        bound: Skip the first parameter (`self`).

    Raises:
        ConfigurationError: a parameter has no type hint, or one that has no JSON Schema.
    """
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    hints = _read_hints(function, name)
    docs = parse_docstring(inspect.getdoc(function) or "")
    described = {param.arg_name: param.description for param in docs.params}
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(parameters):
        _check_parameter(parameter, hints, name)
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        # A field of the parameter's own name could hide one of the model, such as `json`.
        field = Field(default, alias=parameter.name)
        fields[f"field_{number}"] = (hints[parameter.name], field)
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _model_schema(model, name)
    for parameter_name, text in described.items():
        if text and parameter_name in schema.get("properties", {}):
            schema["properties"][parameter_name].setdefault("description", " ".join(text.split()))
    spec = ToolSpec(
        name=name,
        description=_describe(docs) or name.replace("_", " "),
        parameters=_without_titles(schema),
        output_schema=_output_schema(hints.get("return")),
        requires=tuple(getattr(function, "requires", ())),
    )
    return Signature(spec, model)


def _read_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as exc:
        msg = f"tool {name!r}: a type hint cannot be resolved ({exc}); import it at module level"
        raise ConfigurationError(msg) from exc


def _model_schema(model: type[BaseModel], tool: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PydanticJsonSchemaWarning)
            return model.model_json_schema()
    except PydanticJsonSchemaWarning as exc:
        msg = f"tool {tool!r}: a default value is not JSON ({exc}); use one that is"
        raise ConfigurationError(msg) from exc


def _check_parameter(parameter: inspect.Parameter, hints: dict[str, Any], tool: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        msg = f"tool {tool!r}: *{parameter.name} has no JSON Schema; name each parameter"
        raise ConfigurationError(msg)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        msg = f"tool {tool!r}: {parameter.name!r} cannot be passed by name; drop the `/` after it"
        raise ConfigurationError(msg)
    if isinstance(parameter.default, FieldInfo):
        msg = (
            f"tool {tool!r}: the default of {parameter.name!r} is a Field, which the tool would "
            "get as its value; write Annotated[type, Field(...)] = default"
        )
        raise ConfigurationError(msg)
    if parameter.name not in hints:
        msg = f"tool {tool!r}: parameter {parameter.name!r} has no type hint; add one"
        raise ConfigurationError(msg)
    try:
        TypeAdapter(hints[parameter.name]).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        msg = (
            f"tool {tool!r}: the type of parameter {parameter.name!r} has no JSON Schema; "
            "use str, int, float, bool, list, dict, Literal, Optional or a Pydantic model"
        )
        raise ConfigurationError(msg) from exc


def _describe(docs: Any) -> str:
    parts = [docs.short_description, docs.long_description]
    if docs.returns is not None and docs.returns.description:
        parts.append(f"Returns: {docs.returns.description}")
    return " ".join(" ".join(part.split()) for part in parts if part)


def _output_schema(hint: Any) -> dict[str, Any] | None:
    if hint in (None, Any, dict, list) or hint is inspect.Parameter.empty:
        return None
    try:
        schema = TypeAdapter(hint).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
    return _without_titles(schema) if schema.get("properties") else None


def _without_titles(schema: Any) -> Any:
    """Drop the `title` that Pydantic adds to every field: it only repeats the name."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            kept[key] = {name: _without_titles(item) for name, item in value.items()}
        elif key in ("default", "examples", "enum", "const"):
            kept[key] = value  # the author's own data, not a schema
        elif not (key == "title" and isinstance(value, str)):
            kept[key] = _without_titles(value)
    return kept
