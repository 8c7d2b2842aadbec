"""What an assistant message is: a call or text, how well it is formed, and its proper form."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from funreason_agents.models.text_calls import Call
from funreason_agents.refinement.notation import (
    find_written_calls,
    is_writable,
    looks_like_call,
    read_literal,
)

Json = dict[str, Any]
Form = Literal["call", "text", "empty", "unreadable"]
_THINK = re.compile(r"\A\s*(?:<think>)?(.*?)</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class RowCall:
    """A call as a row has it."""

    name: str
    arguments: Json
    id: str | None = None


@dataclass(frozen=True)
class Response:
    """An assistant message, read."""

    form: Form
    """`unreadable`: meant as a call, but it cannot be read."""
    reasoning: str = ""
    text: str = ""
    calls: tuple[RowCall, ...] = ()
    flaws: tuple[str, ...] = field(default=())
    """What is wrong with how it is written, whatever it says."""


def read_response(message: Json, offered: Collection[str], made: Collection[Call] = ()) -> Response:
    """Read an assistant message: from `tool_calls`, else from its text.

    Args:
        message: In OpenAI's form; reasoning in `reasoning_content`, or in `<think>` in the text.
        offered: Names of the tools that were offered.
        made: Calls of the conversation, which the text may speak of.
    """
    read = _read_message(message, offered, made)
    if is_writable([read.reasoning, read.text, [call.arguments for call in read.calls]]):
        return read
    return Response("unreadable", flaws=(*read.flaws, "unwritable"))


def _read_message(message: Json, offered: Collection[str], made: Collection[Call]) -> Response:
    text, flaws = _text_of(message.get("content")), list[str]()
    reasoning = str(message.get("reasoning_content") or message.get("reasoning") or "").strip()
    thought = _THINK.match(text)
    if thought:
        reasoning, text = reasoning or thought.group(1).strip(), text[thought.end() :]
        flaws.append("reasoning_in_content")
    raw = message.get("tool_calls") or []
    if not raw and isinstance(message.get("function_call"), dict):
        raw = [message["function_call"]]
        flaws.append("old_call_field")
    text = text.strip()
    if raw:
        calls = [_read_call(each, flaws) for each in raw] if isinstance(raw, list) else [None]
        if any(call is None for call in calls):
            return Response("unreadable", reasoning, text, (), (*flaws, "unreadable_call"))
        if looks_like_call(text, offered):
            flaws.append("call_in_content")
            text = ""
        return Response("call", reasoning, text, tuple(c for c in calls if c), _unique(flaws))
    if not text:
        return Response("empty", reasoning, "", (), _unique(flaws))
    written = find_written_calls(text, offered, made)
    if written:
        calls_read = tuple(RowCall(name, arguments) for name, arguments in written)
        return Response("call", reasoning, "", calls_read, _unique([*flaws, "written_as_text"]))
    if looks_like_call(text, offered):
        return Response("unreadable", reasoning, text, (), _unique([*flaws, "unreadable_call"]))
    return Response("text", reasoning, text, (), _unique(flaws))


def to_message(response: Response) -> Json:
    """Return a response in the form that training rows have (`trl-steps`)."""
    message: Json = {"role": "assistant", "content": response.text}
    if response.reasoning:
        message["reasoning_content"] = response.reasoning
    if response.calls:
        message["tool_calls"] = [
            {
                "id": call.id or f"call_{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(response.calls)
        ]
    return message


def _read_call(raw: Any, flaws: list[str]) -> RowCall | None:
    if not isinstance(raw, dict):
        return None
    if not isinstance(raw.get("function"), dict):
        flaws.append("flat_call")
    inner = raw["function"] if isinstance(raw.get("function"), dict) else raw
    name = inner.get("name")
    arguments = inner.get("arguments", inner.get("args", inner.get("parameters")))
    if "arguments" not in inner:
        flaws.append("other_argument_field")
        arguments = {} if arguments is None else arguments
    if isinstance(arguments, str):
        flaws.append("arguments_as_text")
        arguments = read_literal(arguments)
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    number = raw.get("id")
    return RowCall(name, arguments, number if isinstance(number, str) else None)


def _text_of(content: Any) -> str:
    if isinstance(content, list):  # content blocks
        parts = (each.get("text") if isinstance(each, dict) else each for each in content)
        return "".join(str(part) for part in parts if part)
    return "" if content is None else str(content)


def _unique(flaws: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flaws))
