"""Reading an answer: its reasoning, the object in it, its tokens, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, ValidationError

from funreason_agents.errors import ModelOutputError, OutputFault
from funreason_agents.models.usage import CHARACTERS_PER_TOKEN, Usage

Answer = TypeVar("Answer", bound=BaseModel)

MOST_CALLS = 128
"""Calls in one message above which it is refused; a gold trace has at most 32."""
MOST_CHARACTERS = 200_000
"""Length of an answer above which it is refused: endless repetition, if it does not end itself."""

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)
_RESERVED = {"reasoning", "thinking", "reasoning_details"}
"""Where some providers keep reasoning; only their own content blocks know how."""
_ENDINGS: dict[str, OutputFault] = {
    "length": "truncated",
    "max_tokens": "truncated",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "prohibited_content": "content_filter",
    "refusal": "refused",
}
"""What providers call the ways in which an answer ends too early."""


def require_sound(answer: AIMessage, most_tokens: int | None = None) -> None:
    """Refuse an answer that is cut off, withheld, out of bounds, or nothing at all.

    Args:
        answer: The answer.
        most_tokens: Tokens the model may answer with; some servers do not say that it used them up.

    Raises:
        ModelOutputError: its `kind` says which.
    """
    said = answer.response_metadata
    ending = str(said.get("finish_reason") or said.get("stop_reason") or "").lower()
    if ending in _ENDINGS:
        msg = f"the answer ended early: {ending}"
        raise ModelOutputError(msg, _ENDINGS[ending])
    counted = answer.usage_metadata
    if most_tokens and counted and counted["output_tokens"] >= most_tokens:
        msg = f"the answer ended early: it has all of the {most_tokens} tokens that it may have"
        raise ModelOutputError(msg, "truncated")
    if answer.additional_kwargs.get("refusal"):
        msg = "the model refused to answer"
        raise ModelOutputError(msg, "refused")
    calls = len(answer.tool_calls) + len(answer.invalid_tool_calls)
    if calls > MOST_CALLS:
        msg = f"the answer holds {calls} calls; at most {MOST_CALLS} are read"
        raise ModelOutputError(msg, "too_many_calls")
    length = _length(answer)
    if length > MOST_CHARACTERS:
        msg = f"the answer has {length} characters; at most {MOST_CHARACTERS} are read"
        raise ModelOutputError(msg, "too_long")
    if not calls and not split_reasoning(answer)[1]:
        msg = "the answer is empty"
        raise ModelOutputError(msg, "empty")


def form_of(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of an answer without our class names and docstrings.

    Small models repeat them as the answer.
    """
    form: dict[str, Any] = _without_titles(schema.model_json_schema())
    return form


def _without_titles(form: Any) -> Any:
    if isinstance(form, list):
        return [_without_titles(each) for each in form]
    if not isinstance(form, dict):
        return form
    # A property may be called `title` or `description`; then its value is a schema, no text.
    return {
        key: _without_titles(value)
        for key, value in form.items()
        if key not in ("title", "description") or isinstance(value, dict)
    }


def parse_object(text: str, schema: type[Answer]) -> Answer:
    """Return the first JSON object in `text`, or in its first code fence, as a `schema`.

    Raises:
        ModelOutputError: there is none (`malformed`), or it is another one (`wrong_schema`).
    """
    fenced = _FENCE.search(text)
    body = fenced.group(1) if fenced else text
    start = body.find("{")
    if start < 0:
        msg = "there is no JSON object in the answer"
        raise ModelOutputError(msg)
    try:
        loaded = json.JSONDecoder().raw_decode(body[start:])[0]
    except (ValueError, RecursionError) as exc:
        raise ModelOutputError(str(exc)) from exc
    try:
        return schema.model_validate(loaded)
    except ValidationError as exc:
        raise ModelOutputError(str(exc), "wrong_schema") from exc


def read_usage(answer: AIMessage, count_sent: Callable[[], int]) -> Usage:
    """Return the tokens that the server counted, else an estimate.

    Args:
        answer: The answer.
        count_sent: Returns about how many tokens were sent; asked only where it is needed.
    """
    counted = answer.usage_metadata
    if counted and counted["total_tokens"]:
        sent, received = counted["input_tokens"], counted["output_tokens"]
        return Usage(sent, received, max(counted["total_tokens"], sent + received), False)
    sent, received = count_sent(), _length(answer) // CHARACTERS_PER_TOKEN + 1
    return Usage(sent, received, sent + received, True)


def count_tokens(messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]) -> int:
    """Return about how many tokens a request has."""
    characters = sum(map(_length, messages)) + sum(len(str(tool)) for tool in tools)
    return characters // CHARACTERS_PER_TOKEN + 1


def _length(message: BaseMessage) -> int:
    calls = getattr(message, "tool_calls", None)
    return len(str(message.content)) + (len(str(calls)) if calls else 0)


def split_reasoning(answer: AIMessage) -> tuple[str | None, str]:
    """Return (reasoning, text) of an answer.

    Reasoning is taken from standard content blocks, `reasoning_content`, or `<think>` in the
    text, in this order. Inside `<think>`, an answer may begin, or be cut off.
    """
    held, content = answer.additional_kwargs, answer.content
    if isinstance(content, str) and "think>" not in content and not _RESERVED & held.keys():
        # Most answers. Standard content blocks take longer than the rest of a call together.
        return str(held.get("reasoning_content") or "").strip() or None, content.strip()
    blocks = answer.content_blocks
    thoughts = [str(b.get("reasoning", "")) for b in blocks if b.get("type") == "reasoning"]
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    if "<think>" not in text.partition("</think>")[0] and "</think>" in text:
        text = f"<think>{text}"  # many chat templates open it in the prompt
    inline = _THINK.findall(text)
    text = _THINK.sub("", text)
    extra = answer.additional_kwargs.get("reasoning_content")
    if not any(thoughts):
        thoughts = [str(extra)] if extra else inline
    reasoning = "\n".join(thought.strip() for thought in thoughts if thought.strip())
    return reasoning or None, text.strip()
