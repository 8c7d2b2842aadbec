"""Files: written whole or not at all, and read back with a clear error."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from funreason_agents.errors import ConfigurationError, ExportError
from funreason_agents.export.formats import to_preference_rows, to_trl_row, to_trl_step_rows
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import SCHEMA_VERSION, TrainingRecord

Format = Literal["records", "trl", "trl-steps", "preference"]

_FORMATS: dict[str, Callable[[TrainingRecord], list[dict[str, Any]]]] = {
    "records": lambda record: [record.to_json()],
    "trl": lambda record: [to_trl_row(record)],
    "trl-steps": to_trl_step_rows,
    "preference": to_preference_rows,
}


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically: readers see the old file or the new one.

    Raises:
        ExportError: the directory cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as exc:
        reason = exc.strerror or exc
        msg = f"cannot write {str(path)!r}: {reason}; free some space or choose another directory"
        raise ExportError(msg) from exc


def to_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON lines; equal rows give equal bytes."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_records(
    records: Sequence[TrainingRecord],
    directory: str | Path,
    *,
    format: Format = "trl",
    split: Mapping[str, float] | None = None,
) -> dict[str, Path]:
    """Write records as training rows, with a manifest that says what is in each file.

    Args:
        records: What to write.
        directory: Where to.
        format: `trl` (messages + tools; what must not be trained on has `"trainable": false`),
            `trl-steps` (a row per assistant message that may be trained on), `preference` (a row
            per message that a person edited: theirs against the model's), or `records`.
        split: Share of each part, such as `{"train": 0.9, "heldout": 0.1}`. Records of one
            environment seed never part: what is held out starts from states never trained on.

    Returns:
        The path of each part, and of the `manifest`.

    Raises:
        ConfigurationError: the shares do not add up to 1, or the format is unknown.
        ExportError: the directory cannot be written.
    """
    if format not in _FORMATS:
        msg = f"unknown format {format!r}; use one of {sorted(_FORMATS)}"
        raise ConfigurationError(msg)
    shares = dict(split or {"train": 1.0})
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        msg = f"the shares of a split must be positive and add up to 1, not {shares}"
        raise ConfigurationError(msg)
    parts: dict[str, list[TrainingRecord]] = {name: [] for name in shares}
    for record in records:
        parts[_part_of(record, shares)].append(record)
    target, paths, counts = Path(directory), {}, {}
    for name, members in parts.items():
        rows = [row for record in members for row in _FORMATS[format](record)]
        paths[name] = target / f"{name}.jsonl"
        write_text(paths[name], to_lines(rows))
        counts[name] = {"records": len(members), "rows": len(rows)}
        if format == "trl":  # the one format that leaves it to the trainer to heed the flag
            counts[name]["untrainable_messages"] = sum(
                message.get("trainable") is False for row in rows for message in row["messages"]
            )
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "format": format,
        "split": shares,
        "files": counts,
        "record_ids": {name: [record.id for record in part] for name, part in parts.items()},
    }
    paths["manifest"] = target / "manifest.json"
    write_text(paths["manifest"], json.dumps(manifest, indent=2) + "\n")
    return paths


def _part_of(record: TrainingRecord, shares: Mapping[str, float]) -> str:
    """Choose the part by the environment and its seed alone."""
    certificate = record.certificate
    key = content_hash([certificate.environment_id, certificate.environment_seed], 8)
    place, total = int(key, 16) / 16**8, 0.0
    for name, share in shares.items():
        total += share
        if place < total:
            return name
    return list(shares)[-1]


def read_records(path: str | Path) -> list[TrainingRecord]:
    """Read a `records.jsonl`, or the one in a run's directory.

    Raises:
        ExportError: there is none, or a line is truncated, foreign, or of another version.
    """
    file = Path(path) / "records.jsonl" if Path(path).is_dir() else Path(path)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read {str(file)!r}: {exc}; is it the directory of a run?"
        raise ExportError(msg) from exc
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(TrainingRecord.model_validate_json(line))
        except ValidationError as exc:
            first = exc.errors()[0]
            msg = (
                f"{str(file)!r}, line {number}: not a whole record ({first['msg']}). Run the same "
                "`funreason synthesize` line again: it rebuilds the file from the checkpoints"
            )
            raise ExportError(msg) from exc
    return records
