"""Build the graphs from `Settings`, for the LangGraph server (`langgraph.json`).

The server imports every entry point before it answers anything, and draws graphs that nobody
runs. So building one starts no worker process, opens no session and needs no API key: the
environment and the models are loaded by the first node that uses them. What is wrong with them
is then the error of that run, and no reason for the server not to start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from langgraph.graph.state import CompiledStateGraph

from funreason_agents.config import Settings
from funreason_agents.environments.base import Environment
from funreason_agents.environments.loader import load_environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import ConfigurationError
from funreason_agents.graphs.environment_explorer import create_environment_explorer
from funreason_agents.graphs.query_writer import create_query_writer
from funreason_agents.graphs.reasoner_critic import create_reasoner_critic
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.models.factory import RoleModels, load_models
from funreason_agents.prompts import ROLES

GraphName = Literal["environment_explorer", "query_writer", "reasoner_critic", "supervisor"]
Loaded = TypeVar("Loaded")

CHECKOUT = Path(__file__).parents[1]
"""Where `tools/` lies, if the package runs from its repository."""


def build_graph(name: GraphName) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile one of the graphs for the environment and model that `Settings` names.

    It has no checkpointer: the server brings its own, and does not start if a graph has one. The
    graphs of one process share their environment and its live sessions.

    Raises:
        ConfigurationError: there is no such graph.
    """
    environment, models, sessions = _parts()
    if name == "environment_explorer":
        return create_environment_explorer(environment=environment, sessions=sessions)
    if name == "query_writer":
        return create_query_writer(environment=environment, models=models)
    if name == "reasoner_critic":
        return create_reasoner_critic(environment=environment, models=models, sessions=sessions)
    if name == "supervisor":
        return create_supervisor(environment=environment, models=models, sessions=sessions)
    msg = f"there is no graph {name!r}; the graphs are {list(GraphName.__args__)}"
    raise ConfigurationError(msg)


@cache
def _parts() -> tuple[Environment, RoleModels, SessionPool]:
    settings = Settings()
    environment = _LazyEnvironment(
        lambda: load_environment(_locate(settings.environment), timeout=settings.tool_timeout)
    )
    models = _LazyModels(lambda: load_models(settings.model, **settings.model_options()))
    return environment, models, SessionPool(environment)


def _locate(target: str) -> str:
    """Resolve a relative file against the working directory, else against the repository."""
    place, separator, name = target.rpartition(":")
    if place.endswith(".py") and not Path(place).is_file() and (CHECKOUT / place).is_file():
        return f"{CHECKOUT / place}{separator}{name}"
    return target


class _Once(Generic[Loaded]):
    """Call `load` when first asked; an error is raised each time, and not kept."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None

    def get(self) -> Loaded:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


class _LazyEnvironment(Environment):
    """Has no attribute of its own, so each one is asked of the environment that it loads."""

    def __init__(self, load: Callable[[], Environment]) -> None:
        self.__dict__["once"] = _Once(load)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "once":
            raise AttributeError(name)
        return getattr(self.once.get(), name)


class _LazyModels(RoleModels):
    """Loads the models when a role is first played."""

    def __init__(self, load: Callable[[], RoleModels]) -> None:
        self.__dict__["once"] = _Once(load)

    def __getattr__(self, name: str) -> Any:
        if name not in ROLES:
            raise AttributeError(name)
        return getattr(self.__dict__["once"].get(), name)
