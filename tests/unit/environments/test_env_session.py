"""`EnvSession`: validation, state hashes, snapshot and restore."""

import itertools

import pytest

from funreason_agents import Environment, ToolCall, ToolSpec
from funreason_agents.errors import ConfigurationError, EnvError, ReplayMismatchError


class Counter:
    """Without `load_state`: restored by replay."""

    def __init__(self) -> None:
        self.total = 0

    def reset(self, seed: int) -> None:
        self.total = seed

    def add(self, amount: int = 1) -> int:
        self.total += amount
        return self.total


class Loadable(Counter):
    loads = 0

    def dump_state(self) -> dict:
        return vars(self)

    def load_state(self, state: dict) -> None:
        type(self).loads += 1
        self.__dict__.update(state)


class Drifting(Counter):
    _ticks = itertools.count(1)

    def add(self, amount: int = 1) -> int:
        self.total += next(self._ticks)
        return self.total


class Forgetful(Counter):
    def dump_state(self) -> dict:
        return {"total": self.total}

    def load_state(self, state: dict) -> None:
        pass


def add(session, amount=1):
    return session.call(ToolCall(id="c", name="add", arguments={"amount": amount}))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (ToolCall(id="c", name="subtract"), "unknown tool 'subtract'"),
        (ToolCall(id="c", name="add", arguments={"amount": "x"}), "at amount: 'x' is not of type"),
        (ToolCall(id="c", name="add", arguments={"number": 1}), "'number' was unexpected"),
        (ToolCall(id="c", name="add", arguments={"amount": float("nan")}), "not JSON"),
        (ToolCall(id="c", name="add", arguments={"\ud83d": 1}), "not JSON"),
    ],
)
def test_an_invalid_call_is_an_error_result_outside_the_history(call, text):
    session = Environment.from_class(Counter).open(0)
    before = session.state_hash()
    result = session.call(call)
    assert result.is_error
    assert text in result.content["error"]
    assert (session.calls, session.state_hash()) == ((), before)


def test_the_same_seed_and_calls_give_the_same_hash_and_others_another():
    environment = Environment.from_class(Counter)
    one, two, three = environment.open(1), environment.open(1), environment.open(2)
    assert one.state_hash() == two.state_hash() != three.state_hash()
    assert (add(one).content, add(two).content) == (2, 2)
    assert one.state_hash() == two.state_hash() == three.state_hash()


@pytest.mark.parametrize("world", [Counter, Loadable])
def test_restore_gives_state_hash_and_history_back(world):
    session = Environment.from_class(world).open(3)
    add(session, 5)
    snapshot = session.snapshot()
    add(session, 7)
    session.restore(snapshot)
    assert (session.state_hash(), session.calls) == (snapshot.state_hash, snapshot.calls)
    assert add(session).content == 9
    assert snapshot.state["total"] == 8


def test_a_world_with_load_state_is_not_replayed():
    session = Environment.from_class(Loadable).open(0)
    loads = Loadable.loads
    session.restore(session.snapshot())
    assert Loadable.loads == loads + 1


def test_a_snapshot_may_come_from_another_session():
    environment = Environment.from_class(Counter)
    one, two = environment.open(1), environment.open(2)
    add(one, 10)
    two.restore(one.snapshot())
    assert (two.seed, two.state()) == (1, {"total": 11})


@pytest.mark.parametrize(
    ("world", "text"),
    [(Drifting, "replaying 1 calls gave another"), (Forgetful, "loading its state gave another")],
)
def test_restore_notices_a_state_that_does_not_come_back(world, text):
    session = Environment.from_class(world).open(0)
    add(session)
    snapshot = session.snapshot()
    add(session)
    with pytest.raises(ReplayMismatchError, match=text):
        session.restore(snapshot)


def test_a_call_that_breaks_leaves_the_session_where_it_was():
    class Breaking(Counter):
        def spoil(self) -> object:
            self.total += 100
            return object()

    session = Environment.from_class(Breaking).open(1)
    add(session)
    with pytest.raises(EnvError, match="not JSON"):
        session.call(ToolCall(id="c", name="spoil"))
    assert (session.state(), add(session).content) == ({"total": 2}, 3)


def test_a_dump_that_fails_later_is_an_environment_error():
    class Fragile(Counter):
        def dump_state(self) -> dict:
            return {"inverse": 1 / (2 - self.total)}

    session = Environment.from_class(Fragile).open(1)
    add(session)
    with pytest.raises(EnvError, match="could not dump the state: ZeroDivisionError"):
        session.state()


def test_an_environment_names_its_tools():
    environment = Environment.from_class(Counter)
    assert environment.tool("add").name == "add"
    with pytest.raises(ConfigurationError, match="has no tool 'subtract'; it has"):
        environment.tool("subtract")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [({"type": "string"}, "of type 'object'"), ({"type": "object", "required": 3}, "not valid")],
)
def test_a_tool_whose_schema_is_no_object_schema_is_refused(parameters, text):
    tool = ToolSpec(name="t", description="", parameters=parameters)
    with pytest.raises(ConfigurationError, match=text):
        Environment(id="x", tools=[tool], open_backend=lambda seed: None)


def test_the_tools_hash_changes_with_a_schema():
    class Other(Counter):
        def add(self, amount: int = 2) -> int:
            return amount

    assert Environment.from_class(Counter).tools_hash != Environment.from_class(Other).tools_hash
