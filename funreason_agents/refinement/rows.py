"""Rows of anybody's: a step row is a prompt, one assistant message, and the tools offered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from funreason_agents.errors import ConfigurationError
from funreason_agents.models.text_calls import Call
from funreason_agents.refinement.notation import is_writable, read_literal
from funreason_agents.refinement.responses import Response, read_response
from funreason_agents.schemas.base import content_hash, parse_result
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import Facts

Json = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A row together with one answer to its prompt: what a check looks at."""

    row: Json
    message: Json

    def __post_init__(self) -> None:
        """Read the tools, which rows of others have as text, or not at all."""
        tools = read_tools(self.row.get("tools"))
        object.__setattr__(self, "row", {**self.row, "tools": tools})

    @cached_property
    def tools(self) -> dict[str, ToolSpec]:
        """The offered tools by name."""
        return {tool.name: tool for tool in map(to_tool, self.row["tools"])}

    @cached_property
    def response(self) -> Response:
        """The answer, read."""
        return read_response(self.message, self.tools, calls_of_prompt(self.row["prompt"]))

    @cached_property
    def facts(self) -> Facts:
        """What the prompt said and showed."""
        return facts_of_prompt(self.row["prompt"])


def read_tools(tools: Any) -> Any:
    """Return the tools of a row, which may be JSON as text, or missing.

    Raises:
        ValueError: the text is not JSON.
    """
    return (json.loads(tools) if isinstance(tools, str) and tools.strip() else tools) or []


def to_tool(function: Json) -> ToolSpec:
    """Return a tool of a row, with or without OpenAI's wrapping."""
    inner = function.get("function", function)
    return ToolSpec(
        name=str(inner["name"]),
        description=str(inner.get("description") or ""),
        parameters=_to_object(inner.get("parameters") or {}),
    )


def _to_object(parameters: Json) -> Json:
    """Return the schema of all arguments; xLAM's rows have the parameters themselves there."""
    if not parameters:
        return {"type": "object", "properties": {}}
    bare = all(_is_parameter(name, each) for name, each in parameters.items())
    return {"type": "object", "properties": parameters} if bare else dict(parameters)


def _is_parameter(name: str, schema: Any) -> bool:
    if name in ("additionalProperties", "patternProperties", "propertyNames"):
        return False
    return isinstance(schema, dict) and any(
        isinstance(schema.get(key), str) for key in ("type", "description")
    )


def facts_of_prompt(prompt: Sequence[Json]) -> Facts:
    """Collect what the messages of a prompt said and showed."""
    facts = Facts()
    for message in prompt:
        content = message.get("content") or ""
        if message.get("role") == "tool":
            facts = facts.add_result(parse_result(content) if isinstance(content, str) else content)
        elif content:
            facts = facts.add_text(str(content))
        for _, arguments in calls_of_prompt([message]):
            facts = facts.add_arguments(arguments)
    return facts


def calls_of_prompt(prompt: Sequence[Json]) -> list[Call]:
    """Return the calls in the messages of a prompt; arguments that cannot be read are none."""
    calls = []
    for message in prompt:
        for call in message.get("tool_calls") or ():
            inner = call.get("function", call)
            arguments = inner.get("arguments")
            given = read_literal(arguments) if isinstance(arguments, str) else arguments
            calls.append((str(inner.get("name")), given if isinstance(given, dict) else {}))
    return calls


UNWRITABLE = "unwritable"
"""The problem of a row that cannot be written again, and its only key once it was read."""


def find_row_problem(row: Any) -> str | None:
    """Return what keeps something from being a step row, or None."""
    if not isinstance(row, dict):
        return "no_object"
    if UNWRITABLE in row or not is_writable(row):
        return UNWRITABLE
    prompt, completion = row.get("prompt"), row.get("completion")
    if not _are_objects(prompt) or not prompt:
        return "no_prompt"
    if not all(map(_has_readable_calls, prompt)):
        return "unreadable_call_in_prompt"
    if not _are_objects(completion) or not completion or len(completion) != 1:
        return "no_completion"
    if completion[0].get("role", "assistant") != "assistant":
        return "no_assistant"
    return _find_tools_problem(row.get("tools"))


def _find_tools_problem(given: Any) -> str | None:
    try:
        tools = read_tools(given)
    except (ValueError, RecursionError):
        return "no_tools"
    if not _are_objects(tools) or not all(_is_tool(tool) for tool in tools):
        return "no_tools"
    return None if is_writable(tools) else UNWRITABLE  # escapes in text hide it


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _has_readable_calls(message: Json) -> bool:
    calls = message.get("tool_calls") or []
    if not _are_objects(calls):
        return False
    inner = [call.get("function", call) for call in calls]
    return all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in inner)


def _is_tool(tool: Json) -> bool:
    inner = tool.get("function", tool)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return False
    parameters = inner.get("parameters") or {}
    return isinstance(parameters, dict) and isinstance(parameters.get("properties") or {}, dict)


def to_step_rows(line: Json) -> list[Json]:
    """Return the step rows of a line: itself, or one per assistant message of `messages`.

    Messages that say `"trainable": false` give none.
    """
    if not isinstance(line.get("messages"), list):
        return [_settle(line)]
    rows: list[Json] = []
    messages = [each for each in line["messages"] if isinstance(each, dict)]
    for number, message in enumerate(messages):
        if message.get("role") != "assistant" or message.get("trainable") is False:
            continue
        before = [
            {key: value for key, value in each.items() if key not in _NOT_SHOWN}
            for each in messages[:number]
        ]
        answer = {key: value for key, value in message.items() if key != "trainable"}
        rows.append({"prompt": before, "completion": [answer], "tools": line.get("tools")})
    return [_settle(row) for row in rows]


def _settle(row: Json) -> Json:
    """Return a row with its tools read; one that could not be written, as ASCII text."""
    problem = find_row_problem(row)
    if problem == UNWRITABLE and UNWRITABLE not in row:
        return {UNWRITABLE: json.dumps(row)}
    return row if problem else {**row, "tools": read_tools(row.get("tools"))}


_NOT_SHOWN = ("reasoning_content", "trainable")


def read_rows(path: str | Path) -> tuple[tuple[Json, ...], str]:
    """Return the rows of a JSON-lines file, and the hash of what it holds.

    The file is read once for as long as it does not change.

    Raises:
        ConfigurationError: it cannot be read, or a line is no JSON object.
    """
    file = Path(path)
    try:
        status = file.stat()
        return _read_rows(str(file), status.st_mtime_ns, status.st_size)
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read rows from {str(file)!r}: {exc}; give a file of JSON lines"
        raise ConfigurationError(msg) from exc


@lru_cache(maxsize=4)
def _read_rows(path: str, changed: int, size: int) -> tuple[tuple[Json, ...], str]:
    rows: list[Json] = []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                loaded = json.loads(line, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as exc:
                msg = f"{path!r}, line {number}: not JSON ({exc}); repair or remove the line"
                raise ConfigurationError(msg) from exc
            if not isinstance(loaded, dict):
                msg = f"{path!r}, line {number}: no JSON object; a row is an object"
                raise ConfigurationError(msg)
            rows += to_step_rows(loaded)
    return tuple(rows), content_hash(rows)


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)
