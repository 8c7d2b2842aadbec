"""`Environment` (a tool world that can be opened by seed) and `EnvSession` (one live copy).

An adapter only provides a `Backend`. Everything that makes a world usable for verified data is
here, once: argument validation, typed results, history, state hashes, snapshot and restore.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from funreason_agents.environments.states import hash_state
from funreason_agents.errors import ConfigurationError, EnvError, ReplayMismatchError, boundary
from funreason_agents.schemas.base import canonical_json, content_hash
from funreason_agents.schemas.tools import ToolCall, ToolResult, ToolSpec

REBUILDS = 3
"""How often one operation rebuilds its session, when other sessions keep ending its process."""

REMEMBERED = 10_000
"""Valid calls that an environment remembers before it begins anew."""


class BackendLostError(EnvError):
    """The process that held this session is gone, through no fault of the session."""


class Backend(Protocol):
    """One live copy of a world, as an adapter provides it."""

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Execute a tool; return its JSON content and whether the tool said no."""

    def dump_state(self) -> Any:
        """Return the whole state as JSON: equal dumps mean equal future behaviour."""

    def load_state(self, state: Any) -> bool:
        """Load a dumped state in place; return False if this world cannot.

        `state` belongs to the caller: it must be copied, neither changed nor kept.
        """

    def close(self) -> None:
        """Release what the copy holds."""


@dataclass(frozen=True)
class Snapshot:
    """A point of a session's history to come back to. Lives in memory only."""

    seed: int
    calls: tuple[ToolCall, ...]
    state: Any
    state_hash: str


class EnvSession:
    """One live copy of an environment. Not for use by two threads at once."""

    def __init__(self, environment: Environment, seed: int) -> None:
        self._environment = environment
        self.seed = seed
        self.calls: tuple[ToolCall, ...] = ()
        self._backend = environment.open_backend(seed)
        self._state: Any = None
        self._hash: str | None = None
        self._broken = False
        self._closed = False

    def call(self, call: ToolCall) -> ToolResult:
        """Execute `call`. What the tool refuses comes back as a result with `is_error`.

        Raises:
            EnvError: the world broke: it hung, crashed, or returned something that is not JSON.
                The session then goes on from where it stood before the call.
        """
        problem = self._environment.find_problem(call)
        if problem is not None:
            return ToolResult(call_id=call.id, content={"error": problem}, is_error=True)

        def run(backend: Backend) -> tuple[Any, bool]:
            content, is_error = backend.call(call.name, copy.deepcopy(call.arguments))
            _check_json(content, call.name)
            return content, is_error

        try:
            content, is_error = self._guarded(run, f"call tool {call.name!r}")
        finally:
            self._hash = self._state = None
        self.calls = (*self.calls, call)
        return ToolResult(call_id=call.id, content=content, is_error=is_error)

    def state(self) -> Any:
        """Return the visible state as JSON; do not change it."""
        if self._hash is None:
            self._state = self._guarded(lambda backend: backend.dump_state(), "dump the state")
            with boundary(EnvError, "hash the state; `dump_state` must return JSON"):
                self._hash = hash_state(self._state)
        return self._state

    def state_hash(self) -> str:
        """Return the hash of the visible state."""
        self.state()
        assert self._hash is not None
        return self._hash

    def snapshot(self) -> Snapshot:
        """Return a point to come back to with `restore`."""
        return Snapshot(self.seed, self.calls, self.state(), self.state_hash())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to `snapshot`: load its state, or else replay its calls from the seed.

        Raises:
            ReplayMismatchError: the state hash differs from the snapshot's.
        """
        self.seed, self.calls = snapshot.seed, snapshot.calls
        self._hash = self._state = None
        loaded = self._guarded(lambda backend: backend.load_state(snapshot.state), "load a state")
        if not loaded:
            with boundary(EnvError, "replay calls"):
                self._reopen()
        if self.state_hash() != snapshot.state_hash:
            how = "loading its state" if loaded else f"replaying {len(snapshot.calls)} calls"
            msg = (
                f"environment {self._environment.id!r}: {how} gave another state hash. "
                "Is a part of the state missing from `dump_state`, or random?"
            )
            raise ReplayMismatchError(msg)

    def close(self) -> None:
        """Release the live copy."""
        if not self._closed:
            self._closed = True
            with boundary(EnvError, f"close environment {self._environment.id!r}"):
                self._backend.close()

    def _guarded(self, run: Callable[[Backend], Any], action: str) -> Any:
        """Run `run`; where the backend is gone or not to be trusted, rebuild the session first."""
        for attempt in range(REBUILDS + 1):
            try:
                with boundary(EnvError, action):
                    if self._broken:
                        self._reopen()
                    return run(self._backend)
            except BaseException as exc:
                # A tool may have done half of its work, of which the history knows nothing.
                self._broken = True
                if not isinstance(exc, BackendLostError) or attempt == REBUILDS:
                    raise
        raise AssertionError

    def _reopen(self) -> None:
        """Replace the backend by a fresh one that has executed the session's calls."""
        self._broken = True
        with contextlib.suppress(Exception):  # it is given up, whatever state it is in
            self._backend.close()
        self._backend = self._environment.open_backend(self.seed)
        for call in self.calls:
            self._backend.call(call.name, copy.deepcopy(call.arguments))
        if self._hash is not None and hash_state(self._backend.dump_state()) != self._hash:
            msg = (
                f"environment {self._environment.id!r}: it had to be opened again, and replaying "
                f"{len(self.calls)} calls from seed {self.seed} gave another state hash"
            )
            raise ReplayMismatchError(msg)
        self._broken = self._closed = False


class Environment:
    """A tool world that can be opened many times, each time from a seed.

    Made by `from_class`, `from_tools`, `from_worker` or `load_environment`. `id` names it in
    records; `tools_hash` changes whenever a tool's schema does.
    """

    def __init__(
        self,
        *,
        id: str,
        tools: Sequence[ToolSpec],
        open_backend: Callable[[int], Backend],
    ) -> None:
        if not tools:
            msg = f"environment {id!r} has no tools; give it at least one"
            raise ConfigurationError(msg)
        self.id = id
        self.tools = tuple(tools)
        self.tools_hash = content_hash([tool.to_json() for tool in self.tools])
        self._open_backend = open_backend
        self._validators = {tool.name: _make_validator(tool) for tool in self.tools}
        self._valid: set[tuple[str, bytes]] = set()
        """Calls that were found valid: each is made again when it is minimised and replayed."""
        if len(self._validators) != len(self.tools):
            names = [tool.name for tool in self.tools]
            twice = sorted({name for name in names if names.count(name) > 1})
            msg = f"environment {id!r}: tool names must differ, these occur twice: {twice}"
            raise ConfigurationError(msg)

    def open(self, seed: int) -> EnvSession:
        """Open a fresh session.

        Raises:
            EnvError: the world could not be opened.
        """
        return EnvSession(self, seed)

    def open_backend(self, seed: int) -> Backend:
        """Open what an `EnvSession` stands on; users want `open`."""
        with boundary(EnvError, f"open environment {self.id!r} with seed {seed}"):
            return self._open_backend(seed)

    def tool(self, name: str) -> ToolSpec:
        """Return the tool called `name`.

        Raises:
            ConfigurationError: there is none.
        """
        for tool in self.tools:
            if tool.name == name:
                return tool
        msg = f"environment {self.id!r} has no tool {name!r}; it has {[t.name for t in self.tools]}"
        raise ConfigurationError(msg)

    def find_problem(self, call: ToolCall) -> str | None:
        """Return why `call` is not valid: unknown tool or arguments against its JSON Schema."""
        validator = self._validators.get(call.name)
        if validator is None:
            return f"unknown tool {call.name!r}"
        try:
            key = (call.name, canonical_json(call.arguments).encode())
        except (TypeError, ValueError) as exc:
            return f"invalid arguments: they are not JSON ({exc})"
        if key in self._valid:
            return None
        error = best_match(validator.iter_errors(call.arguments))
        if error is None:
            if len(self._valid) >= REMEMBERED:
                self._valid.clear()
            self._valid.add(key)
            return None
        where = "/".join(str(part) for part in error.absolute_path)
        return f"invalid arguments{f' at {where}' if where else ''}: {error.message}"

    @staticmethod
    def from_class(cls: type, *, id: str | None = None) -> Environment:
        """Make an environment of a class: its public methods become the tools.

        `reset`, `dump_state`, `load_state` and `get_reward` are reserved and never tools.

        Raises:
            ConfigurationError: the class has no public method, or one lacks type hints.
        """
        from funreason_agents.environments.python import environment_from_class  # noqa: PLC0415

        return environment_from_class(cls, id=id)

    @staticmethod
    def from_tools(tools: Any, *, id: str | None = None) -> Environment:
        """Make an environment of LangChain tools, or of a factory `(seed) -> ToolSession`.

        A plain list is for stateless tools: the environment then has no state to restore.

        Raises:
            ConfigurationError: a tool has no usable schema.
        """
        from funreason_agents.environments.langchain import environment_from_tools  # noqa: PLC0415

        return environment_from_tools(tools, id=id)

    @staticmethod
    def from_worker(
        *, command: Sequence[str], id: str, timeout: float = 30.0, max_workers: int | None = None
    ) -> Environment:
        """Make an environment of a world that is served by a worker process (JSON lines).

        Args:
            command: How a worker is started; see `environments.serve` for the protocol.
            id: Name of the environment in records.
            timeout: Seconds that one call may take before its worker is ended.
            max_workers: How many workers may run at once; by default one per processor.

        Raises:
            EnvError: the worker could not be started.
        """
        from funreason_agents.environments.worker import environment_from_worker  # noqa: PLC0415

        return environment_from_worker(
            command=command, id=id, timeout=timeout, max_workers=max_workers
        )


def _check_json(content: Any, tool: str) -> None:
    try:
        canonical_json(content).encode()
    except (TypeError, ValueError) as exc:
        msg = f"tool {tool!r} returned something that is not JSON ({exc}); return JSON"
        raise EnvError(msg) from exc


def _make_validator(tool: ToolSpec) -> Draft202012Validator:
    if tool.parameters.get("type") != "object":
        msg = f"tool {tool.name!r}: `parameters` must be a JSON Schema of type 'object'"
        raise ConfigurationError(msg)
    closed = {"additionalProperties": False, **tool.parameters}
    try:
        Draft202012Validator.check_schema(closed)
    except SchemaError as exc:
        msg = f"tool {tool.name!r}: its JSON Schema is not valid: {exc.message}"
        raise ConfigurationError(msg) from exc
    return Draft202012Validator(closed)
