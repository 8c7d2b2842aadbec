"""Records on disk while a run goes on: in the order of their index, none missing, none twice.

What says nearly the same as a record before it is left out too: see `curation.near_duplicates`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from langgraph.types import StateSnapshot

from funreason_agents.curation.near_duplicates import NearDuplicates, make_shingles
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ExportError
from funreason_agents.export.records import to_record
from funreason_agents.export.writer import to_lines
from funreason_agents.run_directory import RunDirectory
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.trajectory import Trajectory, calls_of


@dataclass(frozen=True)
class LogEntry:
    """An accepted trajectory, ready to be written."""

    signature: str
    """Hash of its calls, and of requests without one: of several trajectories with the same, only
    the first is kept."""
    lines: tuple[bytes, bytes]
    """Its lines in `records.jsonl` and `provenance.jsonl`."""
    shingles: frozenset[int] = frozenset()
    """What its user says: of several trajectories that say nearly the same, the first is kept."""


def make_entry(
    trajectory: Trajectory, state: StateSnapshot, environment: Environment
) -> LogEntry | None:
    """Return what is to be written for an ended trajectory: nothing for a rejected one.

    Args:
        trajectory: What `state` holds.
        state: The last state of the thread.
        environment: Where the trajectory took place.

    Raises:
        ExportError: the trajectory is of another environment.
    """
    if trajectory.status != "accepted":
        return None
    record = to_record(trajectory, environment)
    provenance = {
        "record_id": record.id,
        "index": record.provenance.index,
        "thread_id": record.provenance.thread_id,
        "checkpoint_id": state.config["configurable"].get("checkpoint_id"),
        "finished_at": state.created_at,
    }
    said = list(_user_messages(record))
    calls: list[Any] = [[call.name, call.arguments] for call in calls_of(record.messages)]
    # Where nothing was called, the request itself is what one record has and another has not.
    unanswered = [
        text for text, turn in zip(said, record.certificate.turns, strict=True) if not turn.calls
    ]
    lines = (to_lines([record.to_json()]).encode(), to_lines([provenance]).encode())
    return LogEntry(content_hash([calls, unanswered], 32), lines, make_shingles(said))


def _user_messages(record: TrainingRecord) -> Iterator[str]:
    """Yield what the user says, without the text that only makes a context long."""
    said = [message.content for message in record.messages if message.role == "user"]
    for text, turn in zip(said, record.certificate.turns, strict=True):
        yield turn.hard.strip_filler(text) if turn.hard else text


class RecordLog:
    """Appends each record as soon as all trajectories before it have ended.

    The checkpoints are the truth: a run that goes on writes both files anew from them, under
    other names. These take the place of the old files once they hold as many records, so the
    files in place never lose one, however often a run is ended while it catches up.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._paths = (directory.records, directory.provenance)
        self._files: list[io.FileIO] = []
        self._waiting: dict[int, LogEntry | None] = {}
        self._next = 0
        self._seen: set[str] = set()
        self._said = NearDuplicates()
        self._held = 0
        self._in_place = False
        self.duplicates = 0
        """Accepted trajectories left out, because an earlier one has the same calls."""
        self.near_duplicates = 0
        """Accepted trajectories left out, because an earlier one's user says nearly the same."""

    def __enter__(self) -> Self:
        """Begin both files anew, beside the old ones."""
        with self._guarded():
            if self._directory.records.exists():
                with self._directory.records.open("rb") as old:
                    self._held = sum(1 for _ in old)
            for path in self._paths:
                self._files.append(io.FileIO(path.with_suffix(".part"), "w"))
        self._swap()
        return self

    def __exit__(self, *_: object) -> None:
        """Close both files; new ones that hold less than the old ones are given up."""
        for path, file in zip(self._paths, self._files, strict=True):
            file.close()
            path.with_suffix(".part").unlink(missing_ok=True)

    def add(self, index: int, entry: LogEntry | None) -> None:
        """Note that trajectory `index` has ended, and write what is now due.

        Raises:
            ExportError: the disk is full.
        """
        self._waiting[index] = entry
        while self._next in self._waiting:
            self._write(self._next)
            self._next += 1
        self._swap()

    def finish(self, *, complete: bool) -> None:
        """Write what still waits for trajectories before it.

        Args:
            complete: Every planned trajectory has ended, so the files hold all there is.

        Raises:
            ExportError: the disk is full.
        """
        for index in sorted(self._waiting):
            self._write(index)
        self._swap(force=complete)

    def _write(self, index: int) -> None:
        entry = self._waiting[index]
        if entry is not None and entry.signature in self._seen:
            self.duplicates += 1
        elif entry is not None and self._said.find(entry.shingles) is not None:
            self.near_duplicates += 1
        elif entry is not None:
            self._append(entry.lines)
            self._seen.add(entry.signature)
            self._said.add(entry.shingles)
        del self._waiting[index]

    def _append(self, lines: tuple[bytes, bytes]) -> None:
        """Write one line to each file, or, if anything goes wrong, nothing to either."""
        sizes = [file.tell() for file in self._files]
        with self._guarded():
            try:
                for file, line in zip(self._files, lines, strict=True):
                    rest = line
                    while rest:
                        rest = rest[file.write(rest) :]
            except BaseException:
                for file, size in zip(self._files, sizes, strict=True):
                    file.seek(size)
                    file.truncate()
                raise

    def _swap(self, *, force: bool = False) -> None:
        if self._in_place or not (force or len(self._seen) >= self._held):
            return
        with self._guarded():
            for path in self._paths:
                os.replace(path.with_suffix(".part"), path)
        self._in_place = True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn a full or read-only disk into an error that says what to do."""
        try:
            yield
        except OSError as exc:
            msg = (
                f"cannot write to {str(self._directory.path)!r}: {exc.strerror}; free some space "
                "or make it writable, then run the same line again: nothing accepted is lost"
            )
            raise ExportError(msg) from exc
