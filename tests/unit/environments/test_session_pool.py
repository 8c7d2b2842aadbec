"""`SessionPool`: a session is found again by its history, and has one user at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from funreason_agents import Environment, ToolCall, ToolSession
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import EnvError, ReplayMismatchError

ADD = ToolCall(id="c", name="add")


class World:
    """Counts what is opened and closed."""

    def __init__(self):
        self.opened, self.closed = [], []
        self.environment = Environment.from_tools(self.open_session)
        self.opened.clear()
        self.closed.clear()

    def open_session(self, seed: int) -> ToolSession:
        state = {"total": seed}
        self.opened.append(seed)

        def add() -> dict:
            state["total"] += 1
            return state

        def close() -> None:
            self.closed.append(seed)
            if seed == 13:
                raise OSError("stuck")

        return ToolSession(tools=[add], dump_state=lambda: state, close=close)


@pytest.fixture
def world():
    return World()


def test_a_lease_finds_the_session_by_its_history(world):
    pool = SessionPool(world.environment)
    with pool.lease(1, ()) as session:
        session.call(ADD)
    with pool.lease(1, (ADD,)) as again:
        assert again is session
    assert world.opened == [1]


def test_call_ids_are_no_part_of_the_history(world):
    pool = SessionPool(world.environment)
    with pool.lease(1, ()) as session:
        session.call(ADD)
    with pool.lease(1, (ADD.model_copy(update={"id": "other"}),)) as again:
        assert again is session


def test_another_seed_history_or_branch_is_another_session(world):
    pool = SessionPool(world.environment)
    with pool.lease(1, ()):
        pass
    for seed, calls, branch in [(2, (), "work"), (1, (ADD,), "work"), (1, (), "replay")]:
        with pool.lease(seed, calls, branch=branch):
            pass
    assert world.opened == [1, 2, 1, 1]


def test_a_miss_is_rebuilt_by_replay(world):
    with SessionPool(world.environment).lease(1, (ADD, ADD)) as session:
        assert (session.state(), session.calls) == ({"total": 3}, (ADD, ADD))


def test_a_wrong_state_hash_is_refused_and_the_session_closed(world):
    pool = SessionPool(world.environment)
    with pytest.raises(ReplayMismatchError), pool.lease(1, (ADD,), state_hash="0" * 16):
        pytest.fail("the block must not run")
    assert world.closed == [1]


def test_a_block_that_raises_does_not_give_its_session_back(world):
    pool = SessionPool(world.environment)
    with pytest.raises(ZeroDivisionError), pool.lease(13, ()):
        1 / 0  # noqa: B018
    assert world.closed == [13]
    with pool.lease(13, ()):
        assert world.opened == [13, 13]


def test_a_rebuild_that_breaks_closes_its_session(world, monkeypatch):
    def call(self, call):
        raise EnvError("broken")

    monkeypatch.setattr("funreason_agents.environments.base.EnvSession.call", call)
    with pytest.raises(EnvError, match="broken"), SessionPool(world.environment).lease(1, (ADD,)):
        pytest.fail("the block must not run")
    assert world.closed == [1]


def test_the_oldest_idle_sessions_are_closed(world):
    pool = SessionPool(world.environment, max_idle=2)
    for seed in (13, 2, 3, 4):
        with pool.lease(seed, ()):
            pass
    assert world.closed == [13, 2]
    pool.close()
    assert sorted(world.closed) == [2, 3, 4, 13]


def test_threads_never_share_a_session(world):
    pool = SessionPool(world.environment)
    in_use, lock = set(), threading.Lock()

    def work(_):
        with pool.lease(1, ()) as session:
            with lock:
                assert id(session) not in in_use
                in_use.add(id(session))
            start = session.snapshot()
            total = session.call(ADD).content["total"]
            session.restore(start)
            with lock:
                in_use.remove(id(session))
            return total

    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(work, range(200))) == {2}
