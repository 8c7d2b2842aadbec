"""An ordinary class as an environment."""

import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from funreason_agents import Environment, ToolCall
from funreason_agents.environments.python import environment_from_class
from funreason_agents.errors import ConfigurationError, EnvError


class Address(BaseModel):
    street: str
    number: int = 1


class Base:
    def reset(self, seed: int) -> None:
        self.notes: list[str] = [f"seed {seed}"]

    def add_note(self, text: str, times: int = 1) -> dict:
        """Add a note.

        Args:
            text: What it says.
            times: How often.
        """
        self.notes += [text] * times
        return {"count": len(self.notes)}

    def _private(self) -> None: ...


class Kitchen(Base):
    def dump_state(self) -> dict:
        return {"notes": self.notes}

    def load_state(self, state: dict) -> None:
        self.notes = state["notes"]

    def get_reward(self) -> float:
        return 1.0

    def choose(self, size: Literal["small", "large"], json: str | None = None) -> list:
        return [size, json]

    def ship(self, address: Address, grams: Annotated[int, Field(ge=1, le=9)]) -> dict:
        return {"to": type(address).__name__, "address": address, "grams": (grams, grams)}

    def plan(self, day: datetime.date) -> str:
        return day.isoformat()

    async def wait(self) -> str:
        return "waited"

    @staticmethod
    def double(number: int) -> int:
        return 2 * number

    @classmethod
    def name_it(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    def fail(self, how: str) -> None:
        errors = {
            "key": KeyError("isbn"),
            "empty": ValueError(),
            "exit": SystemExit(3),
            "type": TypeError("bad type"),
        }
        raise errors[how]

    def recurse(self) -> None:
        self.recurse()


@pytest.fixture
def session():
    return Environment.from_class(Kitchen).open(7)


def run(session, name: str, **arguments: Any):
    return session.call(ToolCall(id="c", name=name, arguments=arguments))


def test_tools_are_the_public_methods_inherited_first():
    names = [tool.name for tool in Environment.from_class(Kitchen).tools]
    assert names == [
        "add_note", "choose", "ship", "plan", "wait", "double", "name_it", "fail", "recurse",
    ]  # fmt: skip


def test_schema_comes_from_hints_and_docstring():
    tool = Environment.from_class(Kitchen).tool("add_note")
    assert tool.description == "Add a note."
    assert tool.required == ("text",)
    assert tool.properties == {
        "text": {"type": "string", "description": "What it says."},
        "times": {"type": "integer", "default": 1, "description": "How often."},
    }


def test_literal_optional_annotated_and_models_become_schema():
    environment = Environment.from_class(Kitchen)
    assert environment.tool("choose").properties["size"]["enum"] == ["small", "large"]
    assert environment.tool("choose").properties["json"]["default"] is None
    assert environment.tool("ship").properties["grams"] == {
        "type": "integer", "minimum": 1, "maximum": 9,
    }  # fmt: skip
    assert environment.tool("ship").parameters["$defs"]["Address"]["required"] == ["street"]


def test_data_called_title_in_a_default_is_kept():
    class Shelf:
        def find(self, query: dict = {"title": "Dune"}) -> None: ...  # noqa: B006

    assert Environment.from_class(Shelf).tool("find").properties["query"]["default"] == {
        "title": "Dune"
    }


def test_defaults_apply_and_a_parameter_may_be_called_json(session):
    assert run(session, "choose", size="small").content == ["small", None]
    assert run(session, "choose", size="small", json="x").content == ["small", "x"]
    assert run(session, "add_note", text="a").content == {"count": 2}


def test_models_reach_the_method_as_models_and_results_become_json(session):
    result = run(session, "ship", address={"street": "Elm"}, grams=2)
    expected = {"to": "Address", "address": {"street": "Elm", "number": 1}, "grams": [2, 2]}
    assert result.content == expected


def test_static_class_and_async_methods_are_tools(session):
    assert run(session, "double", number=4).content == 8
    assert run(session, "name_it", suffix="!").content == "Kitchen!"
    assert run(session, "wait").content == "waited"


async def _call_inside_a_loop(session):
    return run(session, "wait").content


def test_an_async_method_runs_where_a_loop_already_runs(session):
    import asyncio

    assert asyncio.run(_call_inside_a_loop(session)) == "waited"


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("key", "KeyError: 'isbn'"),
        ("empty", "ValueError"),
        ("exit", "SystemExit: 3"),
        ("type", "bad type"),
        ("unknown", "KeyError: 'unknown'"),
    ],
)
def test_an_exception_is_an_error_result_that_says_something(session, how, text):
    result = run(session, "fail", how=how)
    assert (result.is_error, result.content) == (True, {"error": text})


def test_a_recursion_error_does_not_tell_the_depth_of_the_caller(session):
    error = run(session, "recurse").content["error"]
    assert error == "RecursionError: maximum recursion depth exceeded"


def test_what_the_schema_cannot_say_is_an_error_result_without_a_link(session):
    result = run(session, "plan", day="2026-13-45")
    assert result.is_error
    assert result.content["error"].startswith("day: Input should be a valid date")
    assert "http" not in result.content["error"]


def test_a_result_that_is_not_json_breaks_the_world():
    class Broken:
        def give(self) -> object:
            return {1, 2}

    with pytest.raises(EnvError, match="JSON"):
        run(Environment.from_class(Broken).open(0), "give")


def test_keys_become_strings_as_behind_a_worker():
    class Numbered:
        def __init__(self) -> None:
            self.by_number = {2: "b", 10: "a"}

        def show(self) -> dict:
            return self.by_number

    session = Environment.from_class(Numbered).open(0)
    assert run(session, "show").content == {"2": "b", "10": "a"}
    assert session.state() == {"by_number": {"2": "b", "10": "a"}}


def test_a_class_without_public_method_is_refused():
    class Hidden:
        def _tool(self) -> None: ...

    with pytest.raises(ConfigurationError, match="no public method"):
        Environment.from_class(Hidden)


def _no_hint(self, text) -> None: ...
def _stars(self, *texts: str) -> None: ...
def _by_place(self, text: str, /) -> None: ...
def _field_default(self, text: int = Field(ge=1)) -> None: ...
def _no_schema(self, what: type) -> None: ...
def _odd_default(self, what: Any = object()) -> None: ...  # noqa: B008


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (_no_hint, "no type hint"),
        (_stars, "name each parameter"),
        (_by_place, "cannot be passed by name"),
        (_field_default, "Annotated"),
        (_no_schema, "has no JSON Schema"),
        (_odd_default, "default value is not JSON"),
    ],
)
def test_a_parameter_without_schema_is_refused(method, text):
    with pytest.raises(ConfigurationError, match=text):
        Environment.from_class(type("World", (), {"tool": method}))


def test_a_constructor_that_needs_arguments_is_refused():
    class Needy:
        def __init__(self, database: str) -> None: ...
        def look(self) -> None: ...

    with pytest.raises(ConfigurationError, match="database"):
        Environment.from_class(Needy)


def test_a_constructor_that_fails_is_an_environment_error():
    class Failing:
        def __init__(self) -> None:
            raise RuntimeError("no disk")

        def look(self) -> None: ...

    with pytest.raises(EnvError, match="no disk"):
        Environment.from_class(Failing)


class Opaque:
    def __init__(self) -> None:
        self.handle = object()

    def ping(self) -> str:
        return "pong"


def test_a_state_that_cannot_be_dumped_is_refused_unless_allowed():
    with pytest.raises(ConfigurationError, match="allow_side_effects"):
        Environment.from_class(Opaque)
    session = environment_from_class(Opaque, allow_side_effects=True).open(0)
    assert (run(session, "ping").content, session.state()) == ("pong", None)


def test_the_seed_reaches_constructor_and_reset():
    class Seeded:
        def __init__(self, seed: int) -> None:
            self.first = seed

        def reset(self, seed: int) -> None:
            self.second = seed

        def look(self) -> None: ...

    assert Environment.from_class(Seeded).open(5).state() == {"first": 5, "second": 5}
