"""From a record to training rows. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.review import Edit
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.likeness import find_related

Json = dict[str, Any]


def to_trl_row(record: TrainingRecord) -> Json:
    """Return the record as one conversational TRL row: `messages` and `tools`.

    Format: TRL "dataset formats", conversational with tools. `arguments` is an object; reasoning
    is `reasoning_content`, which Qwen3-type templates read. A row has one list of tools. So a
    function that is handed over on the way is not in it: the user's message there brings its
    JSON, as in BFCL. Distractors are offered throughout, except where another turn says that no
    tool serves a request which such a distractor would serve.

    Assistant messages that must not be trained on, such as mistakes, have `"trainable": false`.
    TRL and chat templates ignore that: a trainer which trains on all assistant messages must read
    the flag, or be given `to_trl_step_rows` instead.
    """
    hards = [turn.hard for turn in record.certificate.turns if turn.hard]
    held_out = {hard.function for hard in hards}
    tools = [tool for tool in record.tools if tool.name not in held_out]
    unserved = [hard.foreign for hard in hards if hard.foreign]
    for distractor in (tool for hard in hards for tool in hard.distractors):
        if distractor not in tools and not _serves(distractor, unserved):
            tools.append(distractor)
    messages = []
    for turn, message in _number_turns(record):
        row = to_chat_message(message)
        if message.role == "assistant" and not message.trainable:
            row["trainable"] = False
        function = _handed_over(record, turn) if message.role == "user" else None
        if function is not None:
            row["content"] += f"\n\n{json.dumps([function.to_function()], ensure_ascii=False)}"
        messages.append(row)
    return {"messages": messages, "tools": [tool.to_function() for tool in tools]}


def _serves(tool: ToolSpec, unserved: Sequence[ToolSpec]) -> bool:
    """Return whether a tool could be taken for one that a turn says there is nothing like."""
    # Asked both ways: being related goes by the words of either name.
    return find_related(tool, unserved) is not None or any(
        find_related(foreign, [tool]) is not None for foreign in unserved
    )


def to_trl_step_rows(record: TrainingRecord) -> list[Json]:
    """Return one prompt/completion row for each assistant message that may be trained on.

    The completion is that message alone, so the loss falls on the current step only. Reasoning
    of earlier messages is left out of the prompt, as chat templates do. `tools` are those that
    were offered at that message.
    """
    rows = []
    for number, (turn, message) in enumerate(_number_turns(record)):
        if message.role != "assistant" or not message.trainable:
            continue
        prompt = [to_chat_message(each, reasoning=False) for each in record.messages[:number]]
        hard = record.certificate.turns[turn].hard
        offered = hard.offer(record.tools) if hard else record.tools
        rows.append(
            {
                "prompt": prompt,
                "completion": [to_chat_message(message)],
                "tools": [tool.to_function() for tool in offered],
            }
        )
    return rows


def to_preference_rows(record: TrainingRecord) -> list[Json]:
    """Return one prompt/chosen/rejected row for each assistant message that a person edited.

    Format: TRL "dataset formats", conversational preference with explicit prompt. `chosen` is the
    person's last version, which was verified, `rejected` the model's. Neither has reasoning: the
    person gave none. An edited query gives no row, since no assistant wrote it; the prompt holds
    the person's version of it. A record without edits gives none.
    """
    rows, position = [], 0
    for number, (turn, message) in enumerate(_number_turns(record)):
        position = 0 if message.role == "user" else position
        certified = record.certificate.turns[turn]
        before = _undo_edits(message, position, certified.edits)
        position += len(message.tool_calls)
        if before == message or not message.trainable:
            continue
        offered = certified.hard.offer(record.tools) if certified.hard else record.tools
        prompt = [to_chat_message(each, reasoning=False) for each in record.messages[:number]]
        rows.append(
            {
                "prompt": prompt,
                "chosen": [to_chat_message(message, reasoning=False)],
                "rejected": [to_chat_message(before, reasoning=False)],
                "tools": [tool.to_function() for tool in offered],
            }
        )
    return rows


def _undo_edits(message: Message, position: int, edits: Sequence[Edit]) -> Message:
    """Return the model's version of a message.

    Args:
        message: As it stands in the record.
        position: That of its first call in the turn.
        edits: All edits of the turn, in the order in which they were made.
    """
    calls: dict[int | None, Any] = {}
    replies: list[str] = []
    for edit in edits:
        if edit.action == "edit_call":
            calls.setdefault(edit.call, edit.before)
        elif edit.action == "edit_reply":
            replies.append(edit.before)
    if message.tool_calls:
        undone = tuple(
            call.model_copy(update={"arguments": calls.get(number, call.arguments)})
            for number, call in enumerate(message.tool_calls, start=position)
        )
        return message.model_copy(update={"tool_calls": undone})
    if message.role == "assistant" and replies:
        return message.model_copy(update={"content": replies[0]})
    return message


def _number_turns(record: TrainingRecord) -> list[tuple[int, Message]]:
    """Return the messages, each with the number of the message of the user that it follows."""
    turn, numbered = -1, []
    for message in record.messages:
        turn += message.role == "user"
        numbered.append((turn, message))
    return numbered


def _handed_over(record: TrainingRecord, turn: int) -> ToolSpec | None:
    hard = record.certificate.turns[turn].hard
    if hard is None or hard.part == 1 or hard.function is None:
        return None
    return next(tool for tool in record.tools if tool.name == hard.function)


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
