"""Calling a model: typed errors, structured answers with repair, reasoning kept apart."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretStr, ValidationError

from funreason_agents.errors import FunReasonError, ModelError, ModelOutputError

Answer = TypeVar("Answer", bound=BaseModel)
REPAIRS = 2
"""How often a malformed answer is sent back with the error."""

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)


def call_model(
    model: BaseChatModel | Runnable[Any, Any], messages: Sequence[BaseMessage]
) -> AIMessage:
    """Call `model` once.

    Raises:
        ModelError: the provider failed.
    """
    try:
        answer = model.invoke(list(messages))
    except FunReasonError:
        raise
    except Exception as exc:
        reason = _hide_secrets(str(exc), model)  # messages of errors end up in checkpoints
        msg = f"the model call failed: {type(exc).__name__}: {reason}"
        raise ModelError(msg) from exc
    if not isinstance(answer, AIMessage):
        msg = f"the model answered with {type(answer).__name__}, not with an AIMessage"
        raise ModelOutputError(msg)
    return answer


def _hide_secrets(text: str, model: Any) -> str:
    """Return `text` without the API key, which some servers repeat when they refuse it."""
    for value in vars(getattr(model, "bound", model)).values():
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            text = text.replace(secret, "***")
    return text


def ask(model: BaseChatModel, prompt: str, schema: type[Answer]) -> Answer:
    """Ask for one JSON object and parse it; a malformed answer is sent back with the error.

    Raises:
        ModelError: the provider failed.
        ModelOutputError: no valid object after `REPAIRS` repairs.
    """
    messages: list[BaseMessage] = [HumanMessage(prompt)]
    error = ""
    for _ in range(1 + REPAIRS):
        answer = call_model(model, messages)
        text = split_reasoning(answer)[1]
        try:
            return schema.model_validate(_find_object(text))
        except (ValueError, ValidationError) as exc:
            error = str(exc)
        messages += [
            AIMessage(text),
            HumanMessage(f"That was not valid: {error}\nAnswer again, with the JSON object only."),
        ]
    msg = f"no valid {schema.__name__} after {REPAIRS} repairs: {error[:300]}"
    raise ModelOutputError(msg)


def _find_object(text: str) -> Any:
    fenced = _FENCE.search(text)
    body = fenced.group(1) if fenced else text
    start = body.find("{")
    if start < 0:
        msg = "there is no JSON object in the answer"
        raise ValueError(msg)
    return json.JSONDecoder().raw_decode(body[start:])[0]


def split_reasoning(answer: AIMessage) -> tuple[str | None, str]:
    """Return (reasoning, text) of an answer.

    Reasoning is taken from standard content blocks, `reasoning_content`, or `<think>` in the
    text, in this order. Inside `<think>`, an answer may begin, or be cut off.
    """
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
