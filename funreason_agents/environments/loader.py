"""Load an environment by `"path/file.py:Name"` or `"package.module:Name"`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from funreason_agents.environments.base import Environment
from funreason_agents.environments.serve import SERVE_PATH
from funreason_agents.environments.worker import worker_variables
from funreason_agents.errors import ConfigurationError, EnvError, FunReasonError, boundary


def load_environment(
    target: str,
    *,
    isolated: bool = True,
    timeout: float = 30.0,
    allow_side_effects: bool = False,
) -> Environment:
    """Load the environment that `target` names.

    `Name` may be a class, a list of tools, a factory `(seed) -> ToolSession`, an `Environment`,
    or a function without parameters that returns one of these. An `Environment` is returned as it
    is: whether its tools are isolated was decided where it was made.

    Args:
        target: `"path/file.py:Name"` or `"package.module:Name"`.
        isolated: Run the tools in worker processes, so that a tool that hangs or crashes ends
            its worker and not the run.
        timeout: Seconds that one call may take, where isolated.
        allow_side_effects: Accept a class whose state cannot be dumped or reset.

    Raises:
        ConfigurationError: there is no such file, module or name, or it is no environment.
        EnvError: the world cannot be opened.
    """
    module, name = _load_module(target)
    found = _find(module, name, target)
    if inspect.isfunction(found) and not inspect.signature(found).parameters:
        with boundary(EnvError, f"call {target!r}"):
            found = found()
    if isinstance(found, Environment):
        return found
    place = target.rpartition(":")[0]
    identity = f"{Path(place).stem if place.endswith('.py') else place.rpartition('.')[2]}:{name}"
    local = _adapt(found, identity, target, allow_side_effects)
    if not isolated:
        return local
    options = ["allow_side_effects"] if allow_side_effects else []
    command = [sys.executable, str(SERVE_PATH), "--environment", _absolute(target), *options]
    # The worker must find the modules that were found here, whoever extended the path.
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    with worker_variables(PYTHONPATH=path):
        return Environment.from_worker(command=command, id=identity, timeout=timeout)


def _adapt(found: Any, identity: str, target: str, allow_side_effects: bool) -> Environment:
    from funreason_agents.environments.langchain import environment_from_tools  # noqa: PLC0415
    from funreason_agents.environments.python import environment_from_class  # noqa: PLC0415

    if inspect.isclass(found):
        return environment_from_class(found, id=identity, allow_side_effects=allow_side_effects)
    if callable(found) or isinstance(found, list | tuple):
        return environment_from_tools(found, id=identity)
    msg = (
        f"{target!r} is a {type(found).__name__}; an environment is a class, a list of tools, "
        "a factory (seed) -> ToolSession that takes the seed, or an Environment"
    )
    raise ConfigurationError(msg)


def _load_module(target: str) -> tuple[ModuleType, str]:
    place, separator, name = target.rpartition(":")
    if not separator or not place or not name:
        msg = f"{target!r} is no environment; write path/to/file.py:Name or package.module:Name"
        raise ConfigurationError(msg)
    if not place.endswith(".py"):
        return _import_module(place, target), name
    path = Path(place)
    if not path.is_file():
        near = sorted(str(each) for each in path.parent.glob("*.py"))
        hint = f"; there are {near}" if near else ""
        msg = f"no such file: {place!r} (looked in {Path.cwd()}){hint}"
        raise ConfigurationError(msg)
    # A private name per path, so that a user's file never hides an installed module.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    private = f"_funreason_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(private, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        with boundary(ConfigurationError, f"import {place!r}"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[private]
        raise
    return module, name


def _import_module(place: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except FunReasonError:
        raise
    except Exception as exc:
        msg = (
            f"{target!r}: cannot import {place!r} ({type(exc).__name__}: {exc}); "
            "is it installed, or is it a path?"
        )
        raise ConfigurationError(msg) from exc


def _find(module: ModuleType, name: str, target: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as exc:
        public = [each for each in vars(module) if not each.startswith("_")]
        near = difflib.get_close_matches(name, public, n=3) or public[:10]
        msg = f"{target!r}: there is no {name!r}; did you mean one of {near}?"
        raise ConfigurationError(msg) from exc


def _absolute(target: str) -> str:
    place, _, name = target.rpartition(":")
    return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else target
