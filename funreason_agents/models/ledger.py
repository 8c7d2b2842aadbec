"""What the model calls of a run cost, on disk, and the limits that they must not exceed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from funreason_agents.errors import BudgetExceededError, ConfigurationError, ExportError
from funreason_agents.models.prices import EXAMPLE, Prices, load_prices
from funreason_agents.models.usage import CallScope, Totals, Usage

Scope = Literal["run", "trajectory"]
FIRST_GUESS = 256
"""Tokens of an answer that are set aside before any answer was seen."""


class Limits(BaseModel):
    """Hard limits. Tokens, money and calls count what earlier runs in the directory spent.

    Deadlines are seconds since `synthesize()` was called, or since the first call of a
    trajectory in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None = Field(None, ge=1)
    max_usd: float | None = Field(None, ge=0)
    max_calls: int | None = Field(None, ge=1)
    deadline: float | None = Field(None, gt=0)
    trajectory_max_tokens: int | None = Field(None, ge=1)
    trajectory_max_usd: float | None = Field(None, ge=0)
    trajectory_max_calls: int | None = Field(None, ge=1)
    trajectory_deadline: float | None = Field(None, gt=0)

    @property
    def need_prices(self) -> bool:
        """Whether a limit is in money."""
        return self.max_usd is not None or self.trajectory_max_usd is not None


@dataclass(frozen=True)
class Reservation:
    """A call that may be made; what it is thought to cost is set aside until it ends."""

    scope: CallScope
    role: str
    model: str
    tokens: int
    usd: float
    began: float


@dataclass
class _Held:
    """What calls in flight are thought to cost."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, reservation: Reservation, sign: int) -> None:
        self.calls += sign
        self.tokens += sign * reservation.tokens
        self.usd += sign * reservation.usd


class Ledger:
    """Counts every call, refuses those that would exceed a limit, and writes each one down.

    Shared by the clients of a run, from any thread. A call in flight when the process is killed
    leaves no line.
    """

    def __init__(
        self,
        prices: Prices | None = None,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count; the seconds of `limits` begin too."""
        self.stopping = threading.Event()
        """When set, calls that wait (for a place, or to be sent again) are given up."""
        self.limits = limits or Limits()
        self.total = Totals()
        self.by_role: defaultdict[str, Totals] = defaultdict(Totals)
        self.by_node: defaultdict[str, Totals] = defaultdict(Totals)
        self.by_trajectory: defaultdict[str, Totals] = defaultdict(Totals)
        self._prices = prices or load_prices(None)
        self._clock = clock
        self._began = clock()
        self._begun: dict[str, float] = {}
        self._held = _Held()
        self._held_by: defaultdict[str, _Held] = defaultdict(_Held)
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None

    def require_prices(self, models: Iterable[str]) -> None:
        """Refuse a limit in money for models whose price is not known.

        Raises:
            ConfigurationError: a price is missing.
        """
        missing = sorted({each for each in models if self._prices.find(each) is None})
        if missing and self.limits.need_prices:
            msg = (
                f"a limit in US dollars needs the price of {', '.join(missing)}: give a file with "
                f"--prices FILE (or prices=...), such as\n{EXAMPLE}"
            )
            raise ConfigurationError(msg)

    def reserve(self, scope: CallScope, *, role: str, model: str, input_tokens: int) -> Reservation:
        """Set aside what a call is thought to cost.

        Args:
            scope: Which call it is.
            role: Who makes it.
            model: Id of the model.
            input_tokens: About how many tokens are sent.

        Raises:
            BudgetExceededError: it would exceed a limit, of the run or of the trajectory.
        """
        with self._lock:
            now = self._clock()
            output = self._expected_output(role)
            price = self._prices.find(model)
            usd = price.of(input_tokens, output) if price else 0.0
            asked = Reservation(scope, role, model, input_tokens + output, usd, now)
            self._require("run", self.total, self._held, asked)
            thread = scope.thread_id
            if thread:
                self._begun.setdefault(thread, now)
                held = self._held_by[thread]
                self._require("trajectory", self.by_trajectory[thread], held, asked)
            self.require_time(asked)
            for each in (self._held, *([self._held_by[thread]] if thread else [])):
                each.add(asked, 1)
            return asked

    def settle(
        self, reservation: Reservation, usage: Usage, *, outcome: str, answered: bool, attempts: int
    ) -> None:
        """Write down what a call came to.

        Args:
            reservation: What `reserve` returned.
            usage: Its tokens.
            outcome: `ok`, what was wrong with the answer, or the type of the error.
            answered: An answer came, whatever is wrong with it.
            attempts: Requests that were sent.

        Raises:
            ExportError: the disk is full.
        """
        price = self._prices.find(reservation.model)
        line = {
            "thread": reservation.scope.thread_id,
            "role": reservation.role,
            "node": reservation.scope.node,
            "model": reservation.model,
            "input": usage.input,
            "output": usage.output,
            "total": usage.total,
            "estimated": usage.estimated,
            "usd": round(price.of(usage.input, usage.output), 9) if price else None,
            "seconds": round(self._clock() - reservation.began, 3),
            "outcome": outcome,
            "answered": answered,
            "attempts": attempts,
        }
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            self._release(reservation)
            self._count(line)
            self._append(data)

    def cancel(self, reservation: Reservation) -> None:
        """Forget a call that was never sent."""
        with self._lock:
            self._release(reservation)

    @property
    def limits_tokens(self) -> bool:
        """Whether a limit depends on tokens, so that it is worth the time to count them first."""
        given = self.limits
        tokens = (given.max_tokens, given.trajectory_max_tokens)
        return given.need_prices or tokens != (None, None)

    def require_time(self, reservation: Reservation) -> None:
        """Refuse to send a call that has waited past a deadline.

        Raises:
            BudgetExceededError: the deadline of the run or of the trajectory has passed.
        """
        now, limits = self._clock(), self.limits
        if limits.deadline is not None:
            self._require_deadline("run", limits.deadline, now - self._began)
        if limits.trajectory_deadline is not None and reservation.scope.thread_id:
            begun = self._begun[reservation.scope.thread_id]
            self._require_deadline("trajectory", limits.trajectory_deadline, now - begun)

    @property
    def seconds_left(self) -> float:
        """Seconds until the run's deadline."""
        if self.limits.deadline is None:
            return float("inf")
        return self._began + self.limits.deadline - self._clock()

    def read(self, path: Path) -> int:
        """Count the calls that are written down in `path`, if it is there.

        Returns:
            The length of what was read: all but a last line that a kill has torn.

        Raises:
            ExportError: it cannot be read.
        """
        try:
            held = path.read_bytes() if path.exists() else b""
        except OSError as exc:
            msg = f"cannot read {str(path)!r}: {exc.strerror}"
            raise ExportError(msg) from exc
        whole = held.rfind(b"\n") + 1
        for number, line in enumerate(held[:whole].splitlines(), 1):
            try:
                self._count(json.loads(line))
            except (ValueError, KeyError, TypeError) as exc:
                msg = f"cannot read line {number} of {str(path)!r}: {exc!r}; restore it"
                raise ExportError(msg) from exc
        return whole

    @contextmanager
    def kept_in(self, path: Path) -> Iterator[None]:
        """Go on with the ledger in `path`, and write each call down there.

        Raises:
            ExportError: the file cannot be read or written.
        """
        self._open(path, self.read(path))
        try:
            yield
        finally:
            with self._lock:
                if self._file is not None:
                    os.close(self._file)
                    self._file = None

    def to_json(self, accepted: int) -> dict[str, Any]:
        """Return the costs as they stand in the manifest.

        Args:
            accepted: Accepted trajectories, which all costs are divided by.
        """
        with self._lock:
            total = self.total.to_json()
            shared = ("calls", "tokens", "usd")
            return {
                "total": total,
                "by_role": {name: self.by_role[name].to_json() for name in sorted(self.by_role)},
                "by_node": {name: self.by_node[name].to_json() for name in sorted(self.by_node)},
                "per_accepted_trajectory": {
                    name: None
                    if not accepted or total[name] is None
                    else round(total[name] / accepted, 6)
                    for name in shared
                },
                "limits": self.limits.model_dump(exclude_none=True),
            }

    def _expected_output(self, role: str) -> int:
        seen = self.by_role.get(role)
        answered = seen.calls - seen.failed if seen else 0
        return seen.output_tokens // answered if seen and answered else FIRST_GUESS

    def _require(self, scope: Scope, spent: Totals, held: _Held, asked: Reservation) -> None:
        prefix = "" if scope == "run" else "trajectory_"
        amounts = {
            "max_calls": (spent.calls, held.calls, 1),
            "max_tokens": (spent.tokens, held.tokens, asked.tokens),
            "max_usd": (spent.usd, held.usd, asked.usd),
        }
        for name, (used, in_flight, more) in amounts.items():
            limit = getattr(self.limits, prefix + name)
            if limit is not None and used + in_flight + more > limit:
                msg = (
                    f"{prefix + name} of {limit:g} reached: {used:g} used, {in_flight:g} set aside "
                    f"for calls in flight, {more:g} needed for the next call"
                )
                raise BudgetExceededError(msg, prefix + name, scope)

    def _require_deadline(self, scope: Scope, limit: float, seconds: float) -> None:
        if seconds >= limit:
            name = "deadline" if scope == "run" else "trajectory_deadline"
            msg = f"{name} of {limit:g} seconds passed"
            raise BudgetExceededError(msg, name, scope)

    def _release(self, reservation: Reservation) -> None:
        self._held.add(reservation, -1)
        if reservation.scope.thread_id:
            self._held_by[reservation.scope.thread_id].add(reservation, -1)

    def _count(self, line: Mapping[str, Any]) -> None:
        self.total.add(line)
        self.by_role[line["role"]].add(line)
        self.by_node[line["node"]].add(line)
        if line["thread"]:
            self.by_trajectory[line["thread"]].add(line)

    def _open(self, path: Path, whole: int) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, whole)
        except OSError as exc:
            msg = f"cannot write to {str(path)!r}: {exc.strerror}; make it writable"
            raise ExportError(msg) from exc

    def _append(self, data: bytes) -> None:
        if self._file is None:
            return
        size = os.fstat(self._file).st_size
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as exc:
            os.ftruncate(self._file, size)
            msg = (
                f"cannot write to {str(self._path)!r}: {exc.strerror}; free some space, then run "
                "the same line again: nothing accepted is lost"
            )
            raise ExportError(msg) from exc
