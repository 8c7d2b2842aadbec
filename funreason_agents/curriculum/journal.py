"""Outcomes on disk while a probe goes on, so that it can be ended at any time and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self, TextIO

from funreason_agents.curriculum.profile import Outcome
from funreason_agents.errors import ConfigurationError, ExportError
from funreason_agents.export.writer import to_lines, write_text


class Journal:
    """One line that says which probe this is, then a line for each task that is done."""

    def __init__(self, path: str | Path | None, identity: dict[str, Any]) -> None:
        """Read what is there already.

        Args:
            path: The file; None keeps nothing.
            identity: What makes a probe the same probe.

        Raises:
            ConfigurationError: the file is of another probe.
            ExportError: it cannot be read.
        """
        self._path = Path(path) if path is not None else None
        self._identity = identity
        self._file: TextIO | None = None
        self.found: dict[str, Outcome] = self._read() if self._path else {}
        """Outcomes of an earlier call, by task."""

    def __enter__(self) -> Self:
        """Write the whole lines anew: the last one may be torn."""
        if self._path is not None:
            rows = [self._identity, *(outcome.to_json() for outcome in self.found.values())]
            write_text(self._path, to_lines(rows))
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Note that a task is done.

        Raises:
            ExportError: the disk is full.
        """
        if self._file is None:
            return
        try:
            self._file.write(to_lines([outcome.to_json()]))
            self._file.flush()
        except OSError as exc:
            msg = f"cannot write {str(self._path)!r}: {exc.strerror}; free some space, then run "
            raise ExportError(msg + "the same line again: what is done is kept") from exc

    def _read(self) -> dict[str, Outcome]:
        assert self._path is not None
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as exc:
            msg = f"cannot read {str(self._path)!r}: {exc}; move it elsewhere to begin anew"
            raise ExportError(msg) from exc
        try:
            there = dict(json.loads(lines[0]))
            outcomes = [Outcome.model_validate_json(line) for line in lines[1:-1]]
        except (ValueError, TypeError) as exc:
            msg = f"{str(self._path)!r} is no journal of a probe; choose another file"
            raise ConfigurationError(msg) from exc
        if there != self._identity:
            keys = sorted(k for k in self._identity if there.get(k) != self._identity[k])
            msg = (
                f"{str(self._path)!r} is of another probe: it differs in {', '.join(keys)}. Repeat "
                "the line that began it to go on with it, or remove the file to begin anew"
            )
            raise ConfigurationError(msg)
        return {outcome.task: outcome for outcome in outcomes}
