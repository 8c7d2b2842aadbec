"""Tool calls for models that have none of their own: written, and read back, as text.

Text is read with `json` and `ast` alone, and is a call only if it names an offered tool.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

MOST_CHARACTERS = 50_000
"""Longer text is not searched for calls: a parser could be made to run out of memory."""

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCED = re.compile(r"\A```\w*\n(.*?)\n?```\Z", re.DOTALL)
_CONSTANTS = {"true": True, "false": False, "null": None}
_PROTOCOL = """\
# Tools

You can call these functions; each line is the JSON schema of one:
<tools>
{tools}
</tools>

To call functions, answer with nothing but one such line for each call:
<tool_call>{{"name": "NAME", "arguments": {{"PARAMETER": VALUE}}}}</tool_call>
The results come back in <tool_response> tags. When you need no function, answer in plain words."""

Call = tuple[str, dict[str, Any]]


def find_text_calls(text: str, names: Collection[str]) -> tuple[list[Call], str]:
    """Return the calls that `text` holds, and the text without them.

    Three notations are known: `<tool_call>{...}</tool_call>` (Hermes); a JSON object or list with
    `name` and `arguments`; and a Python list of calls (BFCL). The latter two only count if they
    are all there is, so that a reply may quote JSON.

    Args:
        text: The answer, without its reasoning.
        names: The offered tools; one call of anything else, and nothing is a call.
    """
    if len(text) > MOST_CHARACTERS:
        return [], text
    calls: list[Call] | None
    if tagged := _TAGGED.findall(text):
        parsed = [_read_json(each) for each in tagged]
        calls = [call for each in parsed for call in each or ()] if all(parsed) else None
        rest = _TAGGED.sub("", text).strip()
    else:
        fenced = _FENCED.match(text.strip())
        body = fenced.group(1) if fenced else text.strip()
        calls, rest = _read_json(body) or _read_python(body), ""
    if not calls or any(name not in names for name, _ in calls):
        return [], text
    return calls, rest


def _read_json(text: str) -> list[Call] | None:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return None
    calls = []
    for each in loaded if isinstance(loaded, list) else [loaded]:
        inner = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(inner, dict):
            return None
        name, arguments = inner.get("name"), inner.get("arguments", inner.get("parameters"))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                return None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        calls.append((name, arguments))
    return calls


def _read_python(text: str) -> list[Call] | None:
    if not text.startswith("[") or not text.endswith("]"):
        return None
    try:
        body = ast.parse(text, mode="eval").body
        return [_read_call(each) for each in getattr(body, "elts", [])]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _read_call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call) or node.args:
        msg = "no call with named arguments"
        raise ValueError(msg)
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            msg = "arguments must have names"
            raise ValueError(msg)
        value = keyword.value
        if isinstance(value, ast.Name) and value.id in _CONSTANTS:
            arguments[keyword.arg] = _CONSTANTS[value.id]
        else:
            arguments[keyword.arg] = _as_json(ast.literal_eval(value))
    return ast.unparse(node.func), arguments


def _as_json(value: Any) -> Any:
    """Return a literal as JSON has it, so tuples as lists.

    Raises:
        ValueError: JSON has no such value.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except TypeError as exc:
        raise ValueError(str(exc)) from exc


def to_text_chat(
    messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
) -> list[BaseMessage]:
    """Return the chat with tools, calls and results as text."""
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    protocol = _PROTOCOL.format(tools=lines)
    chat = list(_as_text(messages))
    if chat and isinstance(chat[0], SystemMessage):
        return [SystemMessage(f"{chat[0].text}\n\n{protocol}"), *chat[1:]]
    return [SystemMessage(protocol), *chat]


def _as_text(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    results: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            results.append(f"<tool_response>\n{message.text}\n</tool_response>")
            continue
        if results:  # chat templates without tools want the roles to alternate
            yield HumanMessage("\n".join(results))
            results = []
        if isinstance(message, AIMessage) and message.tool_calls:
            calls = (
                json.dumps({"name": call["name"], "arguments": call["args"]}, ensure_ascii=False)
                for call in message.tool_calls
            )
            written = [f"<tool_call>{call}</tool_call>" for call in calls]
            yield AIMessage("\n".join([message.text, *written]).strip())
        else:
            yield message
    if results:
        yield HumanMessage("\n".join(results))
