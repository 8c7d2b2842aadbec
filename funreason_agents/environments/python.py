"""An ordinary Python class as an environment: its public methods are the tools."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any

from funreason_agents.environments.base import Environment
from funreason_agents.environments.signatures import Signature, read_signature
from funreason_agents.errors import ConfigurationError, EnvError
from funreason_agents.schemas.base import canonical_json

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
            return copy.deepcopy(self._instance.dump_state())
        if self._allow_side_effects:
            return None
        return {name: _dump_attribute(value) for name, value in vars(self._instance).items()}

    def load_state(self, state: Any) -> bool:
        """Load `state` if the class can; `False` means: replay instead."""
        if not (hasattr(self._instance, "load_state") and hasattr(self._instance, "dump_state")):
            return False
        self._instance.load_state(state)
        return True

    def close(self) -> None:
        """Call the instance's `close`, if it has one that is not a tool."""


def environment_from_class(
    cls: type, *, id: str | None = None, allow_side_effects: bool = False
) -> Environment:
    """See `Environment.from_class`.

    Raises:
        ConfigurationError: no public method, a method without type hints, or (unless
            `allow_side_effects`) a state that cannot be dumped.
    """
    signatures = {
        name: read_signature(method, name=name, bound=not isinstance(raw, staticmethod))
        for name, method, raw in _public_methods(cls)
    }
    if not signatures:
        msg = f"class {cls.__name__!r} has no public method; each public method becomes a tool"
        raise ConfigurationError(msg)

    def open_backend(seed: int) -> ClassBackend:
        return ClassBackend(
            _instantiate(cls, seed), signatures, allow_side_effects=allow_side_effects
        )

    if not allow_side_effects:
        _check_state(cls, open_backend(0))
    return Environment(
        id=id or cls.__name__,
        tools=[signature.spec for signature in signatures.values()],
        open_backend=open_backend,
    )


def run_tool(function: Callable[[], Any]) -> tuple[Any, bool]:
    """Run a tool's code; an exception becomes an error result, never the end of the run."""
    try:
        return _to_json(function()), False
    except EnvError:
        raise
    except Exception as exc:  # noqa: BLE001  # whatever a tool raises is its way to say no
        return {"error": str(exc) or type(exc).__name__}, True


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


def _dump_attribute(value: Any) -> Any:
    return repr(value.getstate()) if isinstance(value, random.Random) else copy.deepcopy(value)


def _check_state(cls: type, backend: ClassBackend) -> None:
    try:
        canonical_json(backend.dump_state())
    except (TypeError, ValueError) as exc:
        msg = (
            f"the state of class {cls.__name__!r} cannot be dumped as JSON ({exc}), so calls cannot "
            "be undone or verified; give it `dump_state() -> dict` and `load_state(state)`, or pass "
            "--allow-side-effects (allow_side_effects=True) to run without state checks"
        )
        raise ConfigurationError(msg) from exc


def _to_json(value: Any) -> Any:
    """Accept what JSON can hold, plus Pydantic models and tuples; anything else is a broken tool."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return value
