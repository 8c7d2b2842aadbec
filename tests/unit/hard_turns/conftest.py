"""A scene of a small world, with a trace that was really executed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from hard_worlds import Library, lend, make_scene, make_trace

from funreason_agents import Environment
from funreason_agents.hard_turns.planning import Scene
from funreason_agents.schemas.tasks import CallTrace


@pytest.fixture(scope="session")
def environment() -> Environment:
    return Environment.from_class(Library)


@pytest.fixture(scope="session")
def trace(environment: Environment) -> CallTrace:
    """The gold trace of a loan: look the card up, hand the volume out."""
    return make_trace(environment, lend(), requests=(1,))


@pytest.fixture
def scene(environment: Environment, trace: CallTrace) -> Scene:
    return make_scene(environment, trace)
