"""`synthesize()`: many trajectories, one thread each, resumable, in the order of their index."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl

from funreason_agents import __version__
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import FunReasonError
from funreason_agents.export.checkpoints import trajectory_from_values
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.models.factory import ModelLike, load_models
from funreason_agents.record_log import RecordLog
from funreason_agents.run_directory import RunDirectory, database_error
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.trajectory import Failure, Trajectory
from funreason_agents.seeding import make_thread_id
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.verification import VERIFIER_VERSION

logger = logging.getLogger(__name__)

MANIFEST_EVERY = 2.0
"""Seconds between two writes of the manifest while a run goes on."""
HOPELESS = 5
"""Failures in a row, from the start, after which a run is given up."""


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
    one stopped, tries what failed again, and with a larger number adds to the run.

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
        ConfigurationError: `out` holds another run, or a model cannot be loaded.
        EnvError: the environment cannot be opened.
        ExportError: `out` cannot be written, or its checkpoint database cannot be read.
    """
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
    directory = RunDirectory(out)
    with directory.claim(identity), directory.open_checkpointer() as checkpointer:
        tool_graph_of(environment)
        pool = SessionPool(environment)
        graph = create_supervisor(
            environment=environment, models=roles, sessions=pool, checkpointer=checkpointer
        )
        job = _Job(
            graph=graph,
            directory=directory,
            environment=environment,
            context=context,
            seed=seed,
            run_key=content_hash(identity),
            total=num_trajectories,
            progress=progress or (lambda _statistics: None),
            manifest={
                "run": identity,
                "environment_target": target,
                "package_version": __version__,
                "num_trajectories": num_trajectories,
            },
        )
        try:
            return job.run(max_concurrency)
        except sqlite3.Error as exc:
            raise database_error(directory.checkpoints, exc) from exc
        finally:
            pool.close()


class _Job:
    """One call of `synthesize`."""

    def __init__(
        self,
        *,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        directory: RunDirectory,
        environment: Environment,
        context: SynthesisContext,
        seed: int,
        run_key: str,
        total: int,
        progress: Callable[[RunStatistics], None],
        manifest: dict[str, Any],
    ) -> None:
        self._graph = graph
        self._directory = directory
        self._context = context
        self._seed = seed
        self._run_key = run_key
        self._total = total
        self._progress = progress
        self._manifest = manifest
        self._statistics = RunStatistics(planned=total)
        self._log = RecordLog(directory, environment, self._read_state)
        self._controls: set[RunControl] = set()
        self._stopping = threading.Event()
        self._started = self._written = time.monotonic()

    def run(self, max_concurrency: int) -> Run:
        interrupted, stopped = False, None
        self._write_manifest("running")
        self._log.start()
        try:
            stopped = self._run_all(max_concurrency)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._log.finish()
            self._statistics.duplicates = self._log.duplicates
            status = "interrupted" if interrupted else "stopped" if stopped else "finished"
            self._write_manifest(status, stopped)
        return Run(self._directory, self._statistics, interrupted, stopped)

    def _run_all(self, max_concurrency: int) -> str | None:
        pending = iter(range(self._total))
        running: dict[Future[Trajectory | Failure], int] = {}
        executor = ThreadPoolExecutor(max_workers=max_concurrency, thread_name_prefix="trajectory")
        try:
            while True:
                while (
                    len(running) < 2 * max_concurrency
                    and (index := next(pending, None)) is not None
                ):
                    running[executor.submit(self._run_one, index)] = index
                if not running:
                    return None
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: running[each]):
                    self._settle(running.pop(future), future.result())
                reason = self._statistics.hopeless(HOPELESS)
                if reason is not None:
                    self._drain()
                    return reason
        except BaseException:
            self._drain()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _run_one(self, index: int) -> Trajectory | Failure:
        thread_id = make_thread_id(self._run_key, index)
        config: Any = {"configurable": {"thread_id": thread_id}}
        control = RunControl()
        self._controls.add(control)
        try:
            state = self._graph.get_state(config)
            if state.values.get("trajectory"):
                return trajectory_from_values(state.values, thread_id)
            start = None if state.next else {"seed": self._seed, "index": index}
            if self._stopping.is_set():
                return _interrupted(index, thread_id)
            values = self._graph.invoke(start, config, context=self._context, control=control)
            return trajectory_from_values(values, thread_id)
        except GraphDrained:
            return _interrupted(index, thread_id)
        except sqlite3.Error:
            raise
        except Exception as exc:  # siblings go on; the failure is counted by type
            if not isinstance(exc, FunReasonError):
                logger.exception("trajectory %d failed", index)
            message = str(exc).splitlines()[0] if str(exc) else ""
            return Failure(
                index=index, thread_id=thread_id, error=type(exc).__name__, message=message[:500]
            )
        finally:
            self._controls.discard(control)

    def _read_state(self, index: int) -> Any:
        thread_id = make_thread_id(self._run_key, index)
        return self._graph.get_state({"configurable": {"thread_id": thread_id}})

    def _settle(self, index: int, outcome: Trajectory | Failure) -> None:
        if isinstance(outcome, Failure) and outcome.error == INTERRUPTED:
            return
        self._statistics.add(outcome)
        self._log.add(index, accepted=getattr(outcome, "status", None) == "accepted")
        self._progress(self._statistics)
        if time.monotonic() - self._written > MANIFEST_EVERY:
            self._write_manifest("running")

    def _drain(self) -> None:
        """Let the running graphs stop at their next checkpoint."""
        self._stopping.set()
        for control in list(self._controls):
            control.request_drain()

    def _write_manifest(self, status: str, stopped: str | None = None) -> None:
        self._written = time.monotonic()
        self._directory.write_manifest(
            {
                **self._manifest,
                "status": status,
                "stopped_early": stopped,
                "seconds": round(self._written - self._started, 1),
                **self._statistics.to_json(),
            }
        )


INTERRUPTED = "Interrupted"


def _interrupted(index: int, thread_id: str) -> Failure:
    return Failure(index=index, thread_id=thread_id, error=INTERRUPTED, message="")
