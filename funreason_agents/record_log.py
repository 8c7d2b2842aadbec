"""Records on disk while a run goes on: in the order of their index, none twice, none missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from funreason_agents.environments.base import Environment
from funreason_agents.errors import ExportError
from funreason_agents.export.checkpoints import trajectory_from_values
from funreason_agents.export.records import to_record
from funreason_agents.export.writer import to_lines
from funreason_agents.run_directory import RunDirectory
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.trajectory import calls_of


class RecordLog:
    """Appends each record as soon as all trajectories before it have ended.

    The checkpoints are the truth: a run that goes on writes both files anew from them, under
    other names, and these take the place of the old files once they hold as much.
    """

    def __init__(
        self,
        directory: RunDirectory,
        environment: Environment,
        read_state: Callable[[int], Any],
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._read_state = read_state
        self._ended: dict[int, bool] = {}
        self._next = 0
        self._seen: set[str] = set()
        self._files: list[TextIO] = []
        self._held = 0
        self._written = 0
        self._swapped = False
        self.duplicates = 0

    def start(self) -> None:
        """Begin both files anew, beside the old ones."""
        with _writing(self._directory):
            for path in (self._directory.records, self._directory.provenance):
                if path.exists():
                    with path.open("rb") as old:
                        self._held = max(self._held, sum(1 for _ in old))
                self._files.append(path.with_suffix(".part").open("w", encoding="utf-8"))
        self._swap_if_caught_up()

    def add(self, index: int, *, accepted: bool) -> None:
        """Note that trajectory `index` has ended; write what is now due."""
        self._ended[index] = accepted
        while self._next in self._ended:
            self._write(self._next)
            self._next += 1
        self._swap_if_caught_up()

    def finish(self) -> None:
        """Write what is left, gaps or not, and close the files."""
        for index in sorted(each for each in self._ended if each >= self._next):
            self._write(index)
        self._swap(force=True)
        for file in self._files:
            file.close()

    def _write(self, index: int) -> None:
        if not self._ended[index]:
            return
        state = self._read_state(index)
        thread_id = state.config["configurable"]["thread_id"]
        record = to_record(trajectory_from_values(state.values, thread_id), self._environment)
        signature = content_hash([[c.name, c.arguments] for c in calls_of(record.messages)], 32)
        if signature in self._seen:
            self.duplicates += 1
            return
        self._seen.add(signature)
        rows = (record.to_json(), _provenance_of(record, state))
        with _writing(self._directory):
            for file, row in zip(self._files, rows, strict=True):
                file.write(to_lines([row]))
                file.flush()
        self._written += 1

    def _swap_if_caught_up(self) -> None:
        if self._written >= self._held:
            self._swap()

    def _swap(self, *, force: bool = False) -> None:
        if self._swapped and not force:
            return
        for path in (self._directory.records, self._directory.provenance):
            part = path.with_suffix(".part")
            if part.exists():
                part.replace(path)
        self._swapped = True


class _writing:  # reads as a verb where it is used
    """Turn a full or read-only disk into an error that says what to do."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, OSError):
            msg = (
                f"cannot write to {str(self._directory.path)!r}: {exc.strerror}; free some space "
                "or make it writable, then run the same line again: nothing accepted is lost"
            )
            raise ExportError(msg) from exc


def _provenance_of(record: TrainingRecord, state: Any) -> dict[str, Any]:
    """Return what differs between two runs of the same seed: times and checkpoint ids."""
    return {
        "record_id": record.id,
        "index": record.provenance.index,
        "thread_id": record.provenance.thread_id,
        "checkpoint_id": state.config["configurable"].get("checkpoint_id"),
        "finished_at": state.created_at,
    }
