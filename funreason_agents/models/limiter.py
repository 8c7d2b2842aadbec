"""How many requests one provider gets at once: learnt from what it can take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

MOST = 1024
LOOK_EVERY = 0.2
"""Seconds between two looks of a waiting call at whether the run is stopping."""

Outcome = Literal["answered", "overloaded", "neither"]


class Limiter:
    """Additive increase, multiplicative decrease, for all clients of one endpoint.

    It begins wide open, since the caller already bounds what runs at once. When the provider is
    overloaded, the limit falls to half of what was in flight; each full round of answers then
    raises it by one. A round of refusals that were in flight together counts once.
    """

    def __init__(self, *, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = float(most)
        self._most = most
        self._clock = clock
        self._in_flight = 0
        self._not_before = 0.0
        self._decreased_at = float("-inf")
        self._changed = threading.Condition()

    @property
    def in_flight(self) -> int:
        """Requests that were let through and have not ended."""
        return self._in_flight

    def acquire(self, stopping: threading.Event | None = None) -> float | None:
        """Wait for a place; return when it was taken, for `release`.

        Args:
            stopping: When set, waiting ends.

        Returns:
            The time, or None if there is no place because of `stopping`.
        """
        with self._changed:
            while (delay := self._delay()) is not None:
                if stopping is not None and stopping.is_set():
                    return None
                self._changed.wait(min(delay, LOOK_EVERY))
            self._in_flight += 1
            return self._clock()

    def release(self, since: float, outcome: Outcome, *, retry_after: float | None = None) -> None:
        """Give a place back.

        Args:
            since: What `acquire` returned.
            outcome: What became of the request.
            retry_after: Seconds for which the provider wants no request at all.
        """
        with self._changed:
            now, busy = self._clock(), self._in_flight
            self._in_flight -= 1
            if outcome == "answered" and self.limit < self._most:
                self.limit = min(self._most, self.limit + 1 / self.limit)
            elif outcome == "overloaded":
                # One that was sent before the last decrease says nothing new.
                if since >= self._decreased_at:
                    self.limit = max(1.0, min(self.limit, busy) / 2)
                    self._decreased_at = now
                if retry_after:
                    self._not_before = max(self._not_before, now + retry_after)
            self._changed.notify()

    def _delay(self) -> float | None:
        """Return for how long there is no place at most; None if there is one now."""
        rest = self._not_before - self._clock()
        if rest > 0:
            return rest
        return None if self._in_flight < int(self.limit) else LOOK_EVERY
