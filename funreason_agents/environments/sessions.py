"""Live sessions, kept apart from graph state: one per branch, found again by their history.

Graph state holds only the seed and the executed calls. A node leases the session that stands
exactly there; after a crash, or on another machine, there is none, and it is rebuilt by replay.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.errors import EnvError, ReplayMismatchError
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.tools import ToolCall

Branch = Literal["work", "replay"]
"""`work` sessions go back and forth; a `replay` session only ever went forward from its seed."""


IDLE = 64
"""Idle sessions kept by default. With fewer than are in use, each is rebuilt by replay when its
turn comes."""


def sessions_for(branches: int) -> int:
    """Return how many idle sessions to keep for so many conversations that are under way.

    Each comes back to a session that goes back and forth, and to one that only goes forward.
    """
    return max(IDLE, 2 * branches)


class SessionPool:
    """Idle sessions of one environment. Safe for many threads; a leased session has one user."""

    def __init__(self, environment: Environment, max_idle: int = IDLE) -> None:
        self.environment = environment
        self._max_idle = max_idle
        self._idle: OrderedDict[str, EnvSession] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lease(
        self,
        seed: int,
        calls: Sequence[ToolCall],
        *,
        branch: Branch = "work",
        state_hash: str | None = None,
    ) -> Iterator[EnvSession]:
        """Lend the session that was opened with `seed` and has executed `calls`.

        It comes back to the pool under the history that it then has, unless the block raises.

        Raises:
            ReplayMismatchError: the session's state hash is not `state_hash`.
        """
        session = self._take(self._key(seed, calls, branch)) or self._rebuild(seed, calls)
        try:
            if state_hash is not None and session.state_hash() != state_hash:
                msg = (
                    f"environment {self.environment.id!r}: replaying {len(calls)} calls from seed "
                    f"{seed} gave another state. Is the environment nondeterministic? "
                    "`funreason doctor` tells"
                )
                raise ReplayMismatchError(msg)
            yield session
        except BaseException:
            with contextlib.suppress(EnvError):  # what went wrong before is what matters
                session.close()
            raise
        self._put(self._key(session.seed, session.calls, branch), session)

    def close(self) -> None:
        """Close all idle sessions."""
        with self._lock:
            while self._idle:
                with contextlib.suppress(EnvError):
                    self._idle.popitem()[1].close()

    def _key(self, seed: int, calls: Sequence[ToolCall], branch: Branch) -> str:
        history = [[call.name, call.arguments] for call in calls]
        return content_hash([self.environment.id, seed, branch, history])

    def _take(self, key: str) -> EnvSession | None:
        with self._lock:
            return self._idle.pop(key, None)

    def _put(self, key: str, session: EnvSession) -> None:
        with self._lock:
            replaced = self._idle.pop(key, None)
            self._idle[key] = session
            evicted = [replaced] if replaced is not None else []
            while len(self._idle) > self._max_idle:
                evicted.append(self._idle.popitem(last=False)[1])
        for each in evicted:
            with contextlib.suppress(EnvError):  # it is given up, in whatever state it is
                each.close()

    def _rebuild(self, seed: int, calls: Sequence[ToolCall]) -> EnvSession:
        session = self.environment.open(seed)
        try:
            for call in calls:
                session.call(call)
        except BaseException:
            with contextlib.suppress(EnvError):
                session.close()
            raise
        return session
