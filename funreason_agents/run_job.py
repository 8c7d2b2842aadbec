"""One run: threads at once, what becomes of each, whoever waits for a review, and its end."""

from __future__ import annotations

import contextlib
import gc
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.errors import (
    BudgetExceededError,
    FunReasonError,
    PermanentModelError,
    StoppedError,
)
from funreason_agents.export.checkpoints import trajectory_from_values
from funreason_agents.graphs.review import read_request
from funreason_agents.models.ledger import Ledger
from funreason_agents.record_log import LogEntry, RecordLog, make_entry
from funreason_agents.run_directory import RunDirectory
from funreason_agents.run_interrupts import Interrupts
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.review import ReviewDecision, ReviewRequest
from funreason_agents.schemas.trajectory import Failure, Trajectory
from funreason_agents.seeding import make_thread_id

logger = logging.getLogger(__name__)

MANIFEST_EVERY = 2.0
"""Seconds between two writes of the manifest while a run goes on."""
HOPELESS = 5
"""Trajectories that all failed in the same way, before any other, after which a run is given up."""
LISTEN_EVERY = 0.1
"""Seconds between two looks at whether the run is to stop."""
Reviewer = Callable[[int, ReviewRequest], ReviewDecision | None]
"""From a trajectory's index and what is asked to the decision, or to None: it goes on waiting."""


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run."""

    directory: RunDirectory
    statistics: RunStatistics
    interrupted: bool = False
    stopped_early: str | None = None
    """Why the run was given up, if it was: a limit, or trouble that concerns every trajectory."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """What the model calls came to, as in the manifest."""

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

    @property
    def waiting(self) -> int:
        """Trajectories that wait for a review; `funreason review` goes on with them."""
        return self.statistics.waiting

    def records(self) -> list[TrainingRecord]:
        """Read the records back."""
        from funreason_agents.export.writer import read_records  # noqa: PLC0415

        return read_records(self.directory.records)


@dataclass(frozen=True)
class _Ended:
    """What became of one trajectory, for now if it waits for a review; and what to write of it."""

    outcome: Trajectory | Failure | ReviewRequest
    entry: LogEntry | None = None


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector look less often, and not at what is there already.

    A model call makes thousands of objects that hardly ever form cycles, so that by default a
    tenth of a run's time went into looking for those.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Job:
    """One call of `synthesize`."""

    def __init__(
        self,
        *,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        directory: RunDirectory,
        environment: Environment,
        context: SynthesisContext,
        manifest: dict[str, Any],
        ledger: Ledger,
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
        self._waiting: dict[int, ReviewRequest] = {}
        """What is asked of a person, by index."""
        self._interrupts = Interrupts()
        self._controls: set[RunControl] = set()
        self._ledger = ledger
        self._stopping = ledger.stopping
        self._stopped_early: str | None = None
        self._started = self._written = time.monotonic()

    def run(self, begun: set[str], max_concurrency: int, reviewer: Reviewer | None) -> Run:
        """Take over what has ended before, make the rest, and leave files that agree.

        Args:
            begun: Ids of all threads that the checkpoint database holds.
            max_concurrency: Threads that run at once.
            reviewer: Who is asked about the threads that wait for a review.
        """
        try:
            with self._log, self._interrupts, rare_collections():
                with contextlib.suppress(KeyboardInterrupt):  # if Ctrl-C is handled elsewhere
                    missing = self._take_over(begun)
                    self._run_all(missing, max_concurrency)
                    if reviewer is not None:
                        self._review(reviewer)
                self._log.finish(complete=self._statistics.ended == self._total)
        except BaseException:
            with contextlib.suppress(FunReasonError):  # the disk may be full
                self._write_manifest("failed")
            raise
        settled = self._statistics.ended + len(self._waiting) == self._total
        interrupted = not settled and self._stopped_early is None
        status = "interrupted" if interrupted else "stopped" if self._stopped_early else "finished"
        self._write_manifest("waiting" if status == "finished" and self._waiting else status)
        cost = self._ledger.to_json(self._statistics.accepted)
        return Run(self._directory, self._statistics, interrupted, self._stopped_early, cost)

    def _take_over(self, begun: set[str]) -> dict[int, Any]:
        """Settle the threads that have ended or wait; return what to invoke the others with."""
        missing: dict[int, Any] = {}
        for index in range(self._total):
            if self._interrupts.count:
                break
            missing[index] = {"seed": self._seed, "index": index}
            if self._thread(index) in begun:
                state = self._graph.get_state(self._config(index))
                if state.values.get("trajectory") or state.interrupts:
                    self._settle(index, self._end(index, state))
                    del missing[index]
                elif state.next:
                    missing[index] = None  # it goes on
        return missing

    def _review(self, reviewer: Reviewer) -> None:
        """Ask about each thread that waits, until none does or the rest is left waiting.

        One after another, so that a refused edit comes back at once, and a trajectory is judged
        from its first turn to its last.
        """
        left: set[int] = set()
        while not self._stopping.is_set() and (asked := sorted({*self._waiting} - left)):
            index = asked[0]
            decision = reviewer(index, self._waiting[index])
            if decision is None:
                left.add(index)
                continue
            del self._waiting[index]
            self._statistics.waiting = len(self._waiting)
            self._run_all({index: Command(resume=decision.to_json())}, 1)

    def _run_all(self, missing: dict[int, Any], max_concurrency: int) -> None:
        """Run threads, a few more than run at once being queued, until all ended or it is over."""
        pending = iter(missing.items())
        running: dict[Future[_Ended | None], int] = {}
        executor = ThreadPoolExecutor(max_concurrency, thread_name_prefix="trajectory")
        try:
            while self._interrupts.count < 2:
                while not self._stopping.is_set() and len(running) < 2 * max_concurrency:
                    index, start = next(pending, (None, None))
                    if index is None:
                        break
                    running[executor.submit(self._run_one, index, start)] = index
                if not running:
                    return
                done, _ = wait(running, timeout=LISTEN_EVERY, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: running[each]):
                    index = running.pop(future)
                    ended = future.result()
                    if ended is not None:
                        self._settle(index, ended)
                        if not isinstance(ended.outcome, ReviewRequest):
                            self._tried.add(ended.outcome)
                self._stopped_early = self._stopped_early or self._tried.hopeless(HOPELESS)
                if self._interrupts.count or self._stopped_early:
                    self._drain()
        except BaseException:
            self._drain()
            raise
        finally:
            executor.shutdown(wait=self._interrupts.count < 2, cancel_futures=True)

    def _run_one(self, index: int, start: Any) -> _Ended | None:
        """Run one thread to its end or to a review; return None if it was stopped on the way."""
        control, config = RunControl(), self._config(index)
        self._controls.add(control)
        try:
            if self._stopping.is_set():
                return None
            self._graph.invoke(start, config, context=self._context, control=control)
            return self._end(index, self._graph.get_state(config))
        except (GraphDrained, StoppedError):
            return None
        except sqlite3.Error:
            raise
        except BudgetExceededError as exc:
            if exc.scope == "trajectory":
                return self._fail(index, exc)
            self._give_up(f"{exc}. With a higher limit, the same line goes on")
            return None
        except Exception as exc:  # noqa: BLE001  # siblings go on; it is counted by type
            if isinstance(exc, PermanentModelError) and exc.stops_run:
                self._give_up(str(exc))
            return self._fail(index, exc)
        finally:
            self._controls.discard(control)

    def _end(self, index: int, state: StateSnapshot) -> _Ended:
        try:
            request = read_request(state)
            if request is not None:
                return _Ended(request)
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
        if isinstance(ended.outcome, ReviewRequest):
            # Not noted in the log: what comes after it is written too, but only once all else
            # is done, and is written anew, in its place, once this one has ended.
            self._waiting[index] = ended.outcome
        else:
            self._statistics.add(ended.outcome)
            self._log.add(index, ended.entry)
        self._statistics.waiting = len(self._waiting)
        self._progress(self._statistics)
        if time.monotonic() - self._written > MANIFEST_EVERY:
            self._write_manifest("running")

    def _give_up(self, why: str) -> None:
        self._stopped_early = self._stopped_early or why
        self._stopping.set()

    def _drain(self) -> None:
        """Let the running graphs stop at their next checkpoint."""
        self._stopping.set()
        for control in list(self._controls):
            control.request_drain()

    def _thread(self, index: int) -> str:
        return make_thread_id(self._run_key, index)

    def _config(self, index: int) -> Any:
        # All that runs beside a node is the writing of checkpoints: one thread does that in order.
        return {"configurable": {"thread_id": self._thread(index)}, "max_concurrency": 1}

    def _write_manifest(self, status: str) -> None:
        self._written = time.monotonic()
        self._statistics.duplicates = self._log.duplicates
        self._statistics.near_duplicates = self._log.near_duplicates
        self._directory.write_manifest(
            {
                **self._manifest,
                "status": status,
                "stopped_early": self._stopped_early,
                "seconds": round(self._written - self._started, 1),
                **self._statistics.to_json(),
                "cost": self._ledger.to_json(self._statistics.accepted),
            }
        )
