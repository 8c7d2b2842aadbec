"""From a record to training rows. Pure functions."""

from __future__ import annotations

from typing import Any

from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.trajectory import Message

Json = dict[str, Any]


def to_trl_row(record: TrainingRecord) -> Json:
    """Return the record as one conversational TRL row: `messages` and `tools`.

    Format: TRL "dataset formats", conversational with tools. `arguments` is an object;
    reasoning is `reasoning_content`, which Qwen3-type templates read.
    """
    return {
        "messages": [to_chat_message(message) for message in record.messages],
        "tools": [tool.to_function() for tool in record.tools],
    }


def to_trl_step_rows(record: TrainingRecord) -> list[Json]:
    """Return one prompt/completion row for each assistant message that may be trained on.

    The completion is that message alone, so the loss falls on the current step only. Reasoning
    of earlier messages is left out of the prompt, as chat templates do.
    """
    rows = []
    for number, message in enumerate(record.messages):
        if message.role != "assistant" or not message.trainable:
            continue
        prompt = [to_chat_message(each, reasoning=False) for each in record.messages[:number]]
        rows.append(
            {
                "prompt": prompt,
                "completion": [to_chat_message(message)],
                "tools": [tool.to_function() for tool in record.tools],
            }
        )
    return rows


def to_chat_message(message: Message, *, reasoning: bool = True) -> Json:
    """Return a message as chat templates read it."""
    row: Json = {"role": message.role, "content": message.content}
    if reasoning and message.reasoning:
        row["reasoning_content"] = message.reasoning
    if message.tool_calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        row |= {"name": message.name, "tool_call_id": message.tool_call_id}
    return row
