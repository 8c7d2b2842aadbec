"""Training rows: read from our files or anybody's, into one row for each assistant message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from funreason_agents.errors import ExportError, TrainingError
from funreason_agents.export.formats import to_trl_step_rows
from funreason_agents.export.writer import read_records
from funreason_agents.refinement.rows import read_tools

Row = dict[str, Any]
"""`prompt`: messages before; `completion`: the assistant message to learn, alone in a list;
`tools`: functions offered, as JSON schemas. `arguments` are objects; reasoning is in
`reasoning_content`."""
_OPEN, _CLOSE = "<think>", "</think>"


def load_rows(path: str | Path) -> list[Row]:
    """Read training rows, one for each assistant message that may be trained on.

    Read are our records (`records.jsonl`, or the directory of a run), our exports `trl`,
    `trl-steps` and `records` (`train.jsonl`, or the directory), and any JSON or JSON-lines file
    with rows of these shapes: `messages` and `tools`, or `prompt`, `completion` and `tools`.

    Raises:
        TrainingError: the file cannot be read, or a row has another shape.
    """
    file = find_file(Path(path))
    rows = _read_json(file)
    if rows and isinstance(rows[0], dict) and "certificate" in rows[0]:
        try:
            return [row for record in read_records(file) for row in to_trl_step_rows(record)]
        except ExportError as exc:
            raise TrainingError(str(exc)) from exc
    return to_step_rows(rows, source=str(file))


def find_file(path: Path) -> Path:
    """Return the file of rows in the directory of a run or of an export; a file is itself.

    Raises:
        TrainingError: the directory holds none.
    """
    if not path.is_dir():
        return path
    for name in ("records.jsonl", "train.jsonl"):
        if (path / name).is_file():
            return path / name
    msg = f"{str(path)!r} holds no records.jsonl and no train.jsonl; name the file itself"
    raise TrainingError(msg)


def _read_json(file: Path) -> list[Any]:
    """Return the rows of a JSON list or of JSON lines."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read {str(file)!r}: {exc}"
        raise TrainingError(msg) from exc
    try:
        if text.lstrip().startswith("["):
            loaded: list[Any] = json.loads(text)
            return loaded
    except json.JSONDecodeError as exc:
        msg = f"{str(file)!r}, line {exc.lineno}: not JSON ({exc.msg})"
        raise TrainingError(msg) from exc
    lines = enumerate(text.split("\n"), start=1)
    return [_parse_line(file, number, line) for number, line in lines if line.strip()]


def _parse_line(file: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as exc:
        msg = f"{str(file)!r}, line {number}: not JSON ({exc.msg})"
        raise TrainingError(msg) from exc


def to_step_rows(rows: Iterable[Mapping[str, Any]], *, source: str = "the data") -> list[Row]:
    """Return rows of the shapes that `load_rows` reads as step rows. The rows stay as they are.

    Assistant messages with `"trainable": false` are context only. Reasoning is kept in the message
    to learn, and left out of those before it, as chat templates do.

    Raises:
        TrainingError: a row has another shape; the message says which.
    """
    steps: list[Row] = []
    for number, row in enumerate(rows, start=1):
        try:
            steps += _split_row(row)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            msg = (
                f"{source}, row {number}: neither messages + tools nor prompt + completion + tools "
                f"with an assistant message ({type(exc).__name__}: {exc})"
            )
            raise TrainingError(msg) from exc
    return steps


def _split_row(row: Mapping[str, Any]) -> list[Row]:
    tools = list(read_tools(row.get("tools")))
    given = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
    first = 0 if "messages" in row else len(row["prompt"])
    messages = [_clean_message(message) for message in given]
    flags = [message.get("trainable") is not False for message in given]
    if not any(message["role"] == "assistant" for message in messages[first:]):
        msg = "no assistant message"
        raise ValueError(msg)
    return [
        {
            "prompt": [_without_reasoning(before) for before in messages[:number]],
            "completion": [message],
            "tools": tools,
        }
        for number, message in enumerate(messages)
        if number >= max(first, 1) and message["role"] == "assistant" and flags[number]
    ]


def _clean_message(message: Mapping[str, Any]) -> Row:
    """Return a message with text content, arguments as objects, and its reasoning apart."""
    clean = {key: value for key, value in message.items() if value is not None}
    clean.pop("trainable", None)
    clean.setdefault("content", "")
    if not isinstance(clean["role"], str) or not isinstance(clean["content"], str):
        msg = "role and content must be text"
        raise TypeError(msg)
    if "reasoning" in clean:
        clean.setdefault("reasoning_content", clean.pop("reasoning"))
    text = clean["content"].lstrip()
    inline = clean["role"] == "assistant" and text.startswith(_OPEN) and _CLOSE in text
    if inline and "reasoning_content" not in clean:
        reasoning, _, content = text.removeprefix(_OPEN).partition(_CLOSE)
        clean |= {"reasoning_content": reasoning.strip(), "content": content.lstrip()}
    if clean.get("tool_calls"):
        clean["tool_calls"] = [_clean_call(call) for call in clean["tool_calls"]]
    return clean


def _clean_call(call: Mapping[str, Any]) -> Row:
    function = dict(call.get("function", call))
    arguments = function.get("arguments") or {}
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(function["name"], str) or not isinstance(arguments, dict):
        msg = "a call needs a name and an object of arguments"
        raise TypeError(msg)
    clean: Row = {"type": "function"}
    if "id" in call:
        clean["id"] = call["id"]
    return {**clean, "function": {"name": function["name"], "arguments": arguments}}


def _without_reasoning(message: Row) -> Row:
    return {key: value for key, value in message.items() if key != "reasoning_content"}


def read_rows(rows_or_path: str | Path | Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return step rows from a path, or from rows in memory.

    Raises:
        TrainingError: as `load_rows` and `to_step_rows`.
    """
    if isinstance(rows_or_path, str | Path):
        return load_rows(rows_or_path)
    return to_step_rows(rows_or_path)
