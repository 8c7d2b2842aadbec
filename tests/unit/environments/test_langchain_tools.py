"""LangChain tools and factories as an environment."""

import asyncio
from typing import Any

import pytest
from langchain_core.tools import StructuredTool, ToolException, tool

from funreason_agents import Environment, ToolCall, ToolSession
from funreason_agents.errors import ConfigurationError, EnvError


@tool(parse_docstring=True)
def add(left: int, right: int = 1) -> int:
    """Add two numbers.

    Args:
        left: The first.
        right: The second.
    """
    return left + right


@tool
def refuse(reason: str) -> str:
    """Refuse."""
    raise ToolException(reason)


def greet(name: str) -> str:
    """Greet somebody.

    Args:
        name: Who.
    """
    return f"Hello {name}"


def open_counter(seed: int) -> ToolSession:
    state = {"count": seed}

    def increase() -> dict:
        """Count."""
        state["count"] += 1
        return state

    return ToolSession(tools=[increase], dump_state=lambda: state, load_state=state.update)


def run(environment: Environment, tool_name: str, **arguments: Any):
    return environment.open(0).call(ToolCall(id="c", name=tool_name, arguments=arguments))


def test_a_list_may_mix_langchain_tools_and_functions():
    environment = Environment.from_tools([add, greet])
    assert [each.name for each in environment.tools] == ["add", "greet"]
    assert environment.tool("add").properties["left"]["description"] == "The first."
    assert run(environment, "add", left=2).content == 3
    assert run(environment, "greet", name="Ada").content == "Hello Ada"


def test_a_plain_list_has_no_state_and_can_be_restored():
    session = Environment.from_tools([add]).open(0)
    snapshot = session.snapshot()
    session.call(ToolCall(id="c", name="add", arguments={"left": 1}))
    session.restore(snapshot)
    assert (session.state(), session.calls) == (None, ())


def test_a_factory_gives_each_session_a_state_of_its_own():
    environment = Environment.from_tools(open_counter)
    one, two = environment.open(1), environment.open(1)
    assert one.call(ToolCall(id="c", name="increase")).content == {"count": 2}
    assert (one.state(), two.state()) == ({"count": 2}, {"count": 1})
    assert environment.id == "open_counter"


def test_a_state_is_restored_in_place_and_the_snapshot_stays_as_it_was():
    session = Environment.from_tools(open_counter).open(1)
    snapshot = session.snapshot()
    for _ in range(2):
        session.call(ToolCall(id="c", name="increase"))
        session.restore(snapshot)
    assert session.state() == snapshot.state == {"count": 1}


@pytest.mark.parametrize("handle", [False, True, "sorry"])
def test_a_tool_exception_is_an_error_result_even_where_langchain_handles_it(handle):
    refusing = refuse.model_copy(update={"handle_tool_error": handle})
    result = run(Environment.from_tools([refusing]), "refuse", reason="not today")
    assert (result.is_error, result.content) == (True, {"error": "not today"})


async def _fetch(page: int) -> dict:
    """Fetch a page."""
    await asyncio.sleep(0)
    return {"page": page}


def test_an_async_only_tool_works_with_and_without_a_running_loop():
    environment = Environment.from_tools([StructuredTool.from_function(coroutine=_fetch)])

    async def call_it():
        return run(environment, "_fetch", page=2)

    assert run(environment, "_fetch", page=2).content == {"page": 2}
    assert asyncio.run(call_it()).content == {"page": 2}


def test_a_tool_without_usable_schema_is_refused():
    def take(value) -> None:
        """Take anything."""

    with pytest.raises(ConfigurationError, match="no type hint"):
        Environment.from_tools([take])
    with pytest.raises(ConfigurationError, match="neither a LangChain tool nor a function"):
        Environment.from_tools([3])


def test_duplicate_names_are_refused():
    with pytest.raises(ConfigurationError, match="occur twice: \\['greet'\\]"):
        Environment.from_tools([greet, greet])


def test_no_tools_are_refused():
    with pytest.raises(ConfigurationError, match="no tools"):
        Environment.from_tools([])


def test_a_factory_must_return_a_tool_session():
    with pytest.raises(ConfigurationError, match="must return a ToolSession, not list"):
        Environment.from_tools(lambda seed: [greet])


def test_a_factory_that_fails_is_an_environment_error():
    def open_nothing(seed: int) -> ToolSession:
        raise OSError("no database")

    with pytest.raises(EnvError, match="no database"):
        Environment.from_tools(open_nothing)


def test_a_factory_that_drops_a_tool_breaks_the_world():
    environment = Environment.from_tools(
        lambda seed: ToolSession(tools=[greet, add] if seed == 0 else [greet])
    )
    with pytest.raises(EnvError, match="no tool 'add'"):
        environment.open(1).call(ToolCall(id="c", name="add", arguments={"left": 1}))


def test_a_session_is_closed_once():
    closed = []
    environment = Environment.from_tools(
        lambda seed: ToolSession(tools=[greet], close=lambda: closed.append(seed))
    )
    session = environment.open(4)
    session.close()
    session.close()
    assert closed == [0, 4]
