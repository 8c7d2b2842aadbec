"""An ordinary Python class as an environment: its public methods are the tools."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError

from funreason_agents.environments.base import Environment
from funreason_agents.environments.signatures import Signature, read_signature
from funreason_agents.environments.states import copy_state, dump, to_plain_json
from funreason_agents.errors import ConfigurationError, EnvError, boundary

RESERVED = frozenset({"reset", "dump_state", "load_state", "get_reward"})


class ClassBackend:
    """One instance of the class."""

    def __init__(
        self, instance: Any, signatures: dict[str, Signature], *, allow_side_effects: bool
    ) -> None:
        self._instance = instance
        self._signatures = signatures
        self._allow_side_effects = allow_side_effects

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Call the method; an exception it raises is the tool saying no."""
        method = getattr(self._instance, name)
        return run_tool(lambda: method(**self._signatures[name].bind(arguments)))

    def dump_state(self) -> Any:
        """Return `dump_state()` of the instance, or else its attributes."""
        if hasattr(self._instance, "dump_state"):
            return dump(self._instance.dump_state())
        if self._allow_side_effects:
            return None
        attributes = vars(self._instance).items()
        return dump({name: _dump_attribute(value) for name, value in attributes})

    def load_state(self, state: Any) -> bool:
        """Load `state` if the class can; `False` means: replay instead."""
        if not (hasattr(self._instance, "load_state") and hasattr(self._instance, "dump_state")):
            return False
        self._instance.load_state(copy_state(state))
        return True

    def close(self) -> None:
        """Do nothing: an instance goes with its last reference, and a `close` of it is a tool."""


def environment_from_class(
    cls: type, *, id: str | None = None, allow_side_effects: bool = False
) -> Environment:
    """See `Environment.from_class`.

    Raises:
        ConfigurationError: no public method, a method without type hints, or (unless
            `allow_side_effects`) a state that cannot be dumped.
    """
    signatures = {
        name: read_signature(
            method, name=name, bound=not isinstance(raw, staticmethod | classmethod)
        )
        for name, method, raw in _public_methods(cls)
    }
    if not signatures:
        msg = f"class {cls.__name__!r} has no public method; each public method becomes a tool"
        raise ConfigurationError(msg)

    def open_backend(seed: int) -> ClassBackend:
        return ClassBackend(
            _instantiate(cls, seed), signatures, allow_side_effects=allow_side_effects
        )

    _check_constructor(cls)
    if not allow_side_effects:
        with boundary(EnvError, f"open class {cls.__name__!r} with seed 0"):
            backend = open_backend(0)
        _check_state(cls, backend)
    return Environment(
        id=id or cls.__name__,
        tools=[signature.spec for signature in signatures.values()],
        open_backend=open_backend,
    )


def run_tool(function: Callable[[], Any]) -> tuple[Any, bool]:
    """Run a tool's code; an exception becomes an error result, never the end of the run.

    Raises:
        EnvError: the tool returned something that is not JSON.
    """
    try:
        value = function()
        if inspect.iscoroutine(value):
            value = _run_coroutine(value)
    except EnvError:
        raise
    except (Exception, SystemExit) as exc:  # noqa: BLE001  # what a tool raises is its way to say no
        return {"error": _describe_error(exc)}, True
    with boundary(EnvError, "turn the tool's result into JSON; return JSON"):
        return to_plain_json(value), False


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # Called from a notebook or an async caller: this thread's loop is taken.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(context.run, asyncio.run, coroutine).result()


def _describe_error(exc: BaseException) -> str:
    """Return what a tool's exception says, without what differs from run to run."""
    if isinstance(exc, ValidationError):
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(
            ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
            for each in found
        )
    if isinstance(exc, RecursionError):  # its text tells how deep the caller was
        return "RecursionError: maximum recursion depth exceeded"
    if isinstance(exc, KeyError | SystemExit):  # their text is the bare key or status
        return f"{type(exc).__name__}: {exc}"
    return str(exc) or type(exc).__name__


def _public_methods(cls: type) -> list[tuple[str, Callable[..., Any], Any]]:
    """Return the public methods in the order of their definition, base classes first."""
    found: dict[str, tuple[str, Callable[..., Any], Any]] = {}
    for base in reversed(cls.__mro__[:-1]):
        for name, raw in vars(base).items():
            if not name.startswith("_") and name not in RESERVED and callable(getattr(cls, name)):
                if inspect.isclass(raw):
                    continue
                found[name] = (name, getattr(cls, name), raw)
    return list(found.values())


def _instantiate(cls: type, seed: int) -> Any:
    try:
        takes_seed = "seed" in inspect.signature(cls).parameters
    except ValueError:
        takes_seed = False
    instance = cls(seed=seed) if takes_seed else cls()
    if hasattr(instance, "reset"):
        instance.reset(seed)
    return instance


def _check_constructor(cls: type) -> None:
    try:
        parameters = inspect.signature(cls).parameters.values()
    except ValueError:
        return
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in optional and each.name != "seed"
    ]
    if needed:
        msg = (
            f"class {cls.__name__!r} cannot be opened: its constructor needs {needed}; give them "
            "defaults, or use a factory (seed) -> ToolSession"
        )
        raise ConfigurationError(msg)


def _dump_attribute(value: Any) -> Any:
    return repr(value.getstate()) if isinstance(value, random.Random) else value


def _check_state(cls: type, backend: ClassBackend) -> None:
    try:
        backend.dump_state()
    except Exception as exc:
        msg = (
            f"the state of class {cls.__name__!r} cannot be dumped as JSON "
            f"({type(exc).__name__}: {exc}), so calls cannot be undone or verified; give it "
            "`dump_state() -> dict` and `load_state(state)`, or load it with "
            "allow_side_effects=True (--allow-side-effects) to run without state checks"
        )
        raise ConfigurationError(msg) from exc
