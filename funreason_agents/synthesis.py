"""`synthesize()`: many trajectories, one thread each, resumable, in the order of their index."""

from __future__ import annotations

import contextlib
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot

from funreason_agents import __version__
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import ConfigurationError, FunReasonError
from funreason_agents.export.checkpoints import trajectory_from_values
from funreason_agents.graphs.environment_explorer import walkable_tools
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.models.factory import ModelLike, load_models
from funreason_agents.record_log import LogEntry, RecordLog, make_entry
from funreason_agents.run_directory import RunDirectory, database_error, find_threads
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.tools import ToolGraph
from funreason_agents.schemas.trajectory import Failure, Trajectory
from funreason_agents.seeding import make_thread_id
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.verification import VERIFIER_VERSION

logger = logging.getLogger(__name__)

MANIFEST_EVERY = 2.0
"""Seconds between two writes of the manifest while a run goes on."""
HOPELESS = 5
"""Trajectories that all failed in the same way, before any other, after which a run is given up."""
LISTEN_EVERY = 0.1
"""Seconds between two looks at whether the run is to stop."""


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run."""

    directory: RunDirectory
    statistics: RunStatistics
    interrupted: bool = False
    stopped_early: str | None = None
    """Why the run was given up, if it was."""

    @property
    def accepted(self) -> int:
        """Trajectories that became records."""
        return self.statistics.accepted

    @property
    def rejected(self) -> int:
        """Trajectories for which no target led to an accepted turn."""
        return self.statistics.rejected

    @property
    def failed(self) -> int:
        """Trajectories during which something broke; running again tries them again."""
        return self.statistics.failed

    def records(self) -> list[TrainingRecord]:
        """Read the records back."""
        from funreason_agents.export.writer import read_records  # noqa: PLC0415

        return read_records(self.directory.records)


def synthesize(
    *,
    environment: Environment,
    num_trajectories: int,
    out: str | Path,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | None = None,
    seed: int = 0,
    context: SynthesisContext | None = None,
    max_concurrency: int = 4,
    base_url: str | None = None,
    target: str | None = None,
    progress: Callable[[RunStatistics], None] | None = None,
) -> Run:
    """Make `num_trajectories` trajectories and leave their records in `out`.

    Trajectory i depends on (`seed`, i) alone. Running the same line again goes on where the last
    one stopped, tries what failed again, and with a larger number adds to the run. It may be
    ended at any time, by `kill -9` too. Ctrl-C lets each trajectory reach its next checkpoint and
    returns what there is; a second Ctrl-C does not wait for that.

    Args:
        environment: Where the trajectories take place.
        num_trajectories: How many are planned; rejected ones count.
        out: Directory for the checkpoint database, `records.jsonl`, `provenance.jsonl` and the
            manifest `run.json`.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role.
        seed: Seed of the run.
        context: Run knobs.
        max_concurrency: Threads that run at once.
        base_url: Address of an OpenAI-compatible server.
        target: How the environment was named to `load_environment`; noted in the manifest, so
            that `funreason verify` finds it.
        progress: Called with the statistics whenever a trajectory ends.

    Raises:
        ConfigurationError: `out` holds another run or a larger one, or a model cannot be loaded.
        EnvError: the environment cannot be opened.
        ExportError: `out` cannot be written, or its checkpoint database cannot be read.
    """
    if num_trajectories < 1 or max_concurrency < 1:
        msg = (
            "num_trajectories and max_concurrency must be at least 1, not "
            f"{num_trajectories} and {max_concurrency}"
        )
        raise ConfigurationError(msg)
    context = context or SynthesisContext()
    roles = load_models(model, models, base_url=base_url)
    identity = {
        "environment": environment.id,
        "tools_hash": environment.tools_hash,
        "seed": seed,
        "models": roles.ids,
        "context": context.model_dump(mode="json"),
        "verifier_version": VERIFIER_VERSION,
    }
    manifest = {
        "run": identity,
        "environment_target": target,
        "package_version": __version__,
        "num_trajectories": num_trajectories,
    }
    directory = RunDirectory(out)
    with directory.claim(identity):
        _begin(directory, manifest)
        with directory.open_checkpointer() as checkpointer:
            _require_tools(tool_graph_of(environment), read_only=context.read_only)
            pool = SessionPool(environment)
            job = _Job(
                graph=create_supervisor(
                    environment=environment, models=roles, sessions=pool, checkpointer=checkpointer
                ),
                directory=directory,
                environment=environment,
                context=context,
                manifest=manifest,
                progress=progress or (lambda _statistics: None),
            )
            try:
                return job.run(find_threads(checkpointer), max_concurrency)
            except sqlite3.Error as exc:
                raise database_error(directory.checkpoints, exc) from exc
            finally:
                pool.close()


def _begin(directory: RunDirectory, manifest: dict[str, Any]) -> None:
    """Say whose directory this is, before anything else is in it."""
    before = directory.read_manifest()
    if before is None:
        directory.write_manifest({**manifest, "status": "running"})
        return
    planned = before.get("num_trajectories", 0)
    held = directory.records.exists() and directory.records.stat().st_size > 0
    if held and planned > manifest["num_trajectories"]:
        msg = (
            f"{str(directory.path)!r} holds records of a run of {planned} trajectories; "
            f"{manifest['num_trajectories']} would drop some of them. Ask for {planned} or more, "
            "or choose another --out"
        )
        raise ConfigurationError(msg)


def _require_tools(graph: ToolGraph, *, read_only: bool) -> None:
    if walkable_tools(graph, read_only=read_only):
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in graph.unreachable.items())
    if reasons:
        msg = f"no tool of {graph.environment_id!r} could be made to succeed ({reasons})"
    else:
        msg = f"every tool of {graph.environment_id!r} changes the state; leave out --read-only"
    raise ConfigurationError(msg)


@dataclass(frozen=True)
class _Ended:
    """What became of one trajectory, and what to write of it."""

    outcome: Trajectory | Failure
    entry: LogEntry | None = None


class _Job:
    """One call of `synthesize`."""

    def __init__(
        self,
        *,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        directory: RunDirectory,
        environment: Environment,
        context: SynthesisContext,
        manifest: dict[str, Any],
        progress: Callable[[RunStatistics], None],
    ) -> None:
        self._graph = graph
        self._directory = directory
        self._environment = environment
        self._context = context
        self._seed: int = manifest["run"]["seed"]
        self._run_key = content_hash(manifest["run"])
        self._total: int = manifest["num_trajectories"]
        self._manifest = manifest
        self._progress = progress
        self._statistics = RunStatistics(planned=self._total)
        self._tried = RunStatistics(planned=self._total)
        """What this call ran itself, as opposed to what it found."""
        self._log = RecordLog(directory)
        self._interrupts = _Interrupts()
        self._controls: set[RunControl] = set()
        self._stopping = threading.Event()
        self._stopped_early: str | None = None
        self._started = self._written = time.monotonic()

    def run(self, begun: set[str], max_concurrency: int) -> Run:
        """Take over what has ended before, make the rest, and leave files that agree.

        Args:
            begun: Ids of all threads that the checkpoint database holds.
            max_concurrency: Threads that run at once.
        """
        try:
            with self._log, self._interrupts:
                with contextlib.suppress(KeyboardInterrupt):  # if Ctrl-C is handled elsewhere
                    missing = self._take_over(begun)
                    self._run_all(missing, max_concurrency)
                self._log.finish(complete=self._statistics.ended == self._total)
        except BaseException:
            with contextlib.suppress(FunReasonError):  # the disk may be full
                self._write_manifest("failed")
            raise
        interrupted = self._statistics.ended < self._total and self._stopped_early is None
        status = "interrupted" if interrupted else "stopped" if self._stopped_early else "finished"
        self._write_manifest(status)
        return Run(self._directory, self._statistics, interrupted, self._stopped_early)

    def _take_over(self, begun: set[str]) -> dict[int, bool]:
        """Settle the threads that have ended; return the others, and whether each has begun."""
        missing: dict[int, bool] = {}
        for index in range(self._total):
            if self._interrupts.count:
                break
            ended = None
            if self._thread(index) in begun:
                state = self._graph.get_state(self._config(index))
                ended = self._end(index, state) if state.values.get("trajectory") else None
                missing |= {} if ended else {index: bool(state.next)}
            else:
                missing[index] = False
            if ended is not None:
                self._settle(index, ended)
        return missing

    def _run_all(self, missing: dict[int, bool], max_concurrency: int) -> None:
        """Run threads, a few more than run at once being queued, until all ended or it is over."""
        pending = iter(missing.items())
        running: dict[Future[_Ended | None], int] = {}
        executor = ThreadPoolExecutor(max_concurrency, thread_name_prefix="trajectory")
        try:
            while self._interrupts.count < 2:
                while not self._stopping.is_set() and len(running) < 2 * max_concurrency:
                    index, begun = next(pending, (None, False))
                    if index is None:
                        break
                    running[executor.submit(self._run_one, index, begun)] = index
                if not running:
                    return
                done, _ = wait(running, timeout=LISTEN_EVERY, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: running[each]):
                    index = running.pop(future)
                    ended = future.result()
                    if ended is not None:
                        self._tried.add(ended.outcome)
                        self._settle(index, ended)
                self._stopped_early = self._stopped_early or self._tried.hopeless(HOPELESS)
                if self._interrupts.count or self._stopped_early:
                    self._drain()
        finally:
            self._drain()
            executor.shutdown(wait=self._interrupts.count < 2, cancel_futures=True)

    def _run_one(self, index: int, begun: bool) -> _Ended | None:
        """Run one thread to its end; return None if it was stopped on the way."""
        control, config = RunControl(), self._config(index)
        self._controls.add(control)
        try:
            if self._stopping.is_set():
                return None
            start = None if begun else {"seed": self._seed, "index": index}
            self._graph.invoke(start, config, context=self._context, control=control)
            return self._end(index, self._graph.get_state(config))
        except GraphDrained:
            return None
        except sqlite3.Error:
            raise
        except Exception as exc:  # noqa: BLE001  # siblings go on; it is counted by type
            return self._fail(index, exc)
        finally:
            self._controls.discard(control)

    def _end(self, index: int, state: StateSnapshot) -> _Ended:
        try:
            trajectory = trajectory_from_values(state.values, self._thread(index))
            return _Ended(trajectory, make_entry(trajectory, state, self._environment))
        except FunReasonError as exc:
            return self._fail(index, exc)

    def _fail(self, index: int, exc: Exception) -> _Ended:
        if not isinstance(exc, FunReasonError):
            logger.error("trajectory %d failed", index, exc_info=exc)
        message = next(iter(str(exc).splitlines()), "")[:500]
        error = type(exc).__name__
        thread_id = self._thread(index)
        return _Ended(Failure(index=index, thread_id=thread_id, error=error, message=message))

    def _settle(self, index: int, ended: _Ended) -> None:
        self._statistics.add(ended.outcome)
        self._log.add(index, ended.entry)
        self._progress(self._statistics)
        if time.monotonic() - self._written > MANIFEST_EVERY:
            self._write_manifest("running")

    def _drain(self) -> None:
        """Let the running graphs stop at their next checkpoint."""
        self._stopping.set()
        for control in list(self._controls):
            control.request_drain()

    def _thread(self, index: int) -> str:
        return make_thread_id(self._run_key, index)

    def _config(self, index: int) -> Any:
        return {"configurable": {"thread_id": self._thread(index)}}

    def _write_manifest(self, status: str) -> None:
        self._written = time.monotonic()
        self._statistics.duplicates = self._log.duplicates
        self._directory.write_manifest(
            {
                **self._manifest,
                "status": status,
                "stopped_early": self._stopped_early,
                "seconds": round(self._written - self._started, 1),
                **self._statistics.to_json(),
            }
        )


class _Interrupts:
    """Counts Ctrl-C instead of raising, so that it never tears what is just being written.

    Does nothing outside the main thread, or where somebody else handles Ctrl-C.
    """

    def __init__(self) -> None:
        self.count = 0
        self._installed = False

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1
