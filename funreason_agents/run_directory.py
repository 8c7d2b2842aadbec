"""The directory of a run: its lock, checkpoint database, and files, each with clear errors."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from funreason_agents.errors import ConfigurationError, ExportError
from funreason_agents.export.writer import write_text

CHECKPOINTS, RECORDS, PROVENANCE, MANIFEST, LEDGER = (
    "checkpoints.sqlite",
    "records.jsonl",
    "provenance.jsonl",
    "run.json",
    "ledger.jsonl",
)


class RunDirectory:
    """Names and opens the files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / CHECKPOINTS
        self.records = self.path / RECORDS
        self.provenance = self.path / PROVENANCE
        self.manifest = self.path / MANIFEST
        self.ledger = self.path / LEDGER

    def read_manifest(self) -> dict[str, Any] | None:
        """Return `run.json`, or None if there is none.

        Raises:
            ExportError: it is there but cannot be read.
        """
        try:
            loaded = json.loads(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise self._damaged(str(exc)) from exc
        if not isinstance(loaded, dict) or not isinstance(loaded.get("run"), dict):
            msg = "it does not say which run this is"
            raise self._damaged(msg)
        return loaded

    def _damaged(self, why: str) -> ExportError:
        return ExportError(
            f"cannot read {str(self.manifest)!r}: {why}. Restore it, or choose another --out; "
            "the records beside it are untouched"
        )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace `run.json`."""
        write_text(self.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def begin(self, manifest: dict[str, Any]) -> None:
        """Say whose directory this is, before anything else is in it.

        Raises:
            ConfigurationError: it holds records of a larger run.
        """
        before = self.read_manifest()
        if before is None:
            self.write_manifest({**manifest, "status": "running"})
            return
        planned = before.get("num_trajectories", 0)
        if _size(self.records) and planned > manifest["num_trajectories"]:
            msg = (
                f"{str(self.path)!r} holds records of a run of {planned} trajectories; "
                f"{manifest['num_trajectories']} would drop some of them. Ask for {planned} or "
                "more, or choose another --out"
            )
            raise ConfigurationError(msg)

    @contextmanager
    def claim(self, run: dict[str, Any]) -> Iterator[None]:
        """Hold the directory for one process, and refuse one that holds another run.

        Args:
            run: What identifies the run; must equal the manifest's `run`, if there is one.

        Raises:
            ConfigurationError: the directory is in use, or holds another run.
            ExportError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w", encoding="utf-8")
        except OSError as exc:
            msg = f"cannot write to {str(self.path)!r}: {exc.strerror}; choose another --out"
            raise ExportError(msg) from exc
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                msg = f"another process is working on {str(self.path)!r}; wait for it to end"
                raise ConfigurationError(msg) from exc
            self._require_same_run(run)
            for leftover in self.path.glob(f".{MANIFEST}.*"):  # of a run that was killed
                leftover.unlink()
            yield

    def _require_same_run(self, run: dict[str, Any]) -> None:
        manifest = self.read_manifest()
        if manifest is None:
            if self.checkpoints.exists() or self.records.exists():
                msg = f"{str(self.path)!r} holds files but no run.json; choose another --out"
                raise ConfigurationError(msg)
            return
        if _size(self.records) and not _size(self.checkpoints):
            msg = (
                f"{str(self.path)!r} holds records, but their checkpoints are gone. Choose another "
                "--out, or move records.jsonl elsewhere to keep it and make all records anew"
            )
            raise ConfigurationError(msg)
        here, there = _flatten(run), _flatten(manifest["run"])
        differing = sorted(key for key in {*here, *there} if here.get(key) != there.get(key))
        if differing:
            shown = "; ".join(
                f"{k}: {there.get(k)!r} there, {here.get(k)!r} here" for k in differing
            )
            msg = (
                f"{str(self.path)!r} holds another run ({shown}). Choose another --out, "
                "or repeat the line that made it to go on with it"
            )
            raise ConfigurationError(msg)

    @contextmanager
    def open_checkpointer(self) -> Iterator[SqliteSaver]:
        """Open the checkpoint database.

        Raises:
            ExportError: it is corrupt, foreign, or cannot be written.
        """
        connection = None
        try:
            connection = sqlite3.connect(self.checkpoints, check_same_thread=False, timeout=30)
            self._require_own_database(connection)
            # State is plain JSON; nothing else is ever revived from somebody else's database.
            serde = JsonPlusSerializer(allowed_msgpack_modules=None)
            saver = SqliteSaver(connection, serde=serde)
            saver.setup()
            # Safe under `kill -9`; the default would sync to disk on every superstep.
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as exc:
            if connection is not None:
                connection.close()
            raise database_error(self.checkpoints, exc) from exc
        try:
            yield saver
        finally:
            with saver.lock:  # a thread that was given up may still be writing
                connection.close()

    def _require_own_database(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = {row[0] for row in rows}
        if tables and not {"checkpoints", "writes"} <= tables:
            connection.close()
            msg = (
                f"{str(self.checkpoints)!r} is a database of something else (tables: "
                f"{sorted(tables)}); choose another --out"
            )
            raise ExportError(msg)


def find_threads(checkpointer: SqliteSaver) -> set[str]:
    """Return the ids of all threads that have begun.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with checkpointer.cursor(transaction=False) as cursor:
        rows = cursor.execute("SELECT DISTINCT thread_id FROM checkpoints WHERE checkpoint_ns = ''")
        return {row[0] for row in rows}


def database_error(path: Path, exc: sqlite3.Error) -> ExportError:
    """Say what is wrong with a checkpoint database and what to do."""
    text = str(exc)
    if "full" in text or "disk I/O" in text:
        advice = (
            "the disk is full or failing. Free some space and run the same line again: it goes on "
            "where it stopped, and nothing accepted is lost"
        )
    elif "readonly" in text or "unable to open" in text:
        advice = "make the directory writable, or choose another --out"
    else:
        advice = (
            "it is damaged or no checkpoint database. records.jsonl is untouched. Choose another "
            "--out, or move the database and records.jsonl elsewhere and make all records anew"
        )
    return ExportError(f"checkpoint database {str(path)!r}: {text}; {advice}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _flatten(run: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies a run with each knob by itself, to tell which ones differ."""
    return {**{k: v for k, v in run.items() if k != "context"}, **run.get("context", {})}
