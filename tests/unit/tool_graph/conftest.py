"""The worlds, probed once each."""

from types import SimpleNamespace

import pytest
from tool_worlds import Board, Depot, OpenBoard, Tickets

from funreason_agents import Environment
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.walk import Walk


class World(SimpleNamespace):
    """An environment with its graph."""

    def walk(self, target, *, key=0, history=(), session=None, **options):
        """Walk to `target` and return (walk, reason, the state it began in)."""
        session = session or self.environment.open(5)
        start = session.snapshot()
        options = {
            "allowed": frozenset(self.graph.reachable),
            "lookups": frozenset(),
            "max_calls": 6,
            **options,
        }
        walk = Walk(
            environment=self.environment,
            graph=self.graph,
            session=session,
            target=target,
            history=history,
            generator=rng("test", key),
            **options,
        )
        return walk, walk.run(), start


def _make(cls):
    environment = Environment.from_class(cls)
    return World(environment=environment, graph=tool_graph_of(environment))


@pytest.fixture(scope="session")
def tickets():
    return _make(Tickets)


@pytest.fixture(scope="session")
def board():
    return _make(Board)


@pytest.fixture(scope="session")
def open_board():
    return _make(OpenBoard)


@pytest.fixture(scope="session")
def depot():
    return _make(Depot)
