import sqlite3
import uuid
from contextlib import contextmanager

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from lockers import Lockers

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
    return {"configurable": {"thread_id": str(uuid.UUID(int=7))}}


@contextmanager
def open_saver(path):
    """A saver that revives plain JSON only, as `LANGGRAPH_STRICT_MSGPACK=true` asks for."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    finally:
        connection.close()


@pytest.fixture
def saver(tmp_path):
    with open_saver(tmp_path / "threads.sqlite") as opened:
        yield opened


@pytest.fixture(scope="session")
def trace(environment):
    """A call trace that needs two calls: find the locker, then open it."""
    explorer = create_environment_explorer(environment=environment)
    for index in range(20):
        asked = {"run_seed": 1, "index": index, "target": "open_locker"}
        found = explorer.invoke(asked)["call_trace"]
        if [step["call"]["name"] for step in found["calls"]] == ["find_locker", "open_locker"]:
            return found
    raise AssertionError


@pytest.fixture(scope="session")
def task(environment, trace):
    return create_query_writer(environment=environment).invoke({"call_trace": trace})["turn_task"]
