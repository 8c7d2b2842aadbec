import pytest
from lockers import Lockers
from threads import THREAD, open_saver

from funreason_agents import (
    Environment,
    create_environment_explorer,
    create_query_writer,
)


@pytest.fixture(scope="session")
def environment():
    return Environment.from_class(Lockers)


@pytest.fixture
def thread():
    return THREAD


@pytest.fixture
def saver(tmp_path):
    with open_saver(tmp_path / "threads.sqlite") as opened:
        yield opened


@pytest.fixture(scope="session")
def trace(environment):
    """A call trace that needs two calls: find the locker, then open it."""
    explorer = create_environment_explorer(environment=environment)
    for index in range(20):
        asked = {"run_seed": 1, "index": index, "wanted_target": "open_locker"}
        found = explorer.invoke(asked)["call_trace"]
        if [step["call"]["name"] for step in found["calls"]] == ["find_locker", "open_locker"]:
            return found
    raise AssertionError


@pytest.fixture(scope="session")
def task(environment, trace):
    return create_query_writer(environment=environment).invoke({"call_trace": trace})["turn_task"]
