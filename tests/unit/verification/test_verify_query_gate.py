"""The gate that a query passes."""

from __future__ import annotations

import pytest
from builders import executed

from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import Origin, ToolSpec
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.query_gate import find_query_problems


def _tool(name: str, *parameters: str) -> ToolSpec:
    schema = {"type": "object", "properties": {each: {"type": "string"} for each in parameters}}
    return ToolSpec(name=name, description="", parameters=schema)


TOOLS = (
    _tool("find", "city"), _tool("holdRoom", "room_code", "nights"), _tool("orders.cancel", "id"),
    _tool("list-all", "x"), _tool("get_user_profile_page", "id"),
)  # fmt: skip
TRACE = CallTrace(
    environment_id="e",
    seed=0,
    target="holdRoom",
    requests=(1,),
    calls=(
        executed("find", {"city": "Oslo"}, {"rooms": [{"code": "RM-77X"}, {"code": "RM-88Y"}]}),
        executed(
            "holdRoom",
            {"room_code": "RM-77X", "nights": 6},
            {"id": "HLD-5Z", "due": 420},
            origins={"/room_code": Origin(kind="output", call=0, path="/rooms/0/code")},
        ),
    ),
)
CLEAN = "Please hold the first room you find in Oslo for six nights."


def problems(query: str, facts: Facts | None = None) -> list[str]:
    return find_query_problems(query, TRACE, TOOLS, facts or Facts())


def test_a_query_that_says_all_and_no_more_is_clean() -> None:
    assert problems(CLEAN) == []


@pytest.mark.parametrize(
    "name",
    ["holdRoom", "room_code", "Room_Code", "orders.cancel", "list-all", "get user profile page"],
)
def test_no_identifier_may_be_named(name: str) -> None:
    assert problems(f"{CLEAN} Use {name}.") != []


@pytest.mark.parametrize("word", ["find", "city", "nights", "hold a room", "cancel", "list all"])
def test_ordinary_words_may_be_said(word: str) -> None:
    assert problems(f"{CLEAN} I mean {word}.") == []


def test_no_call_syntax() -> None:
    assert problems(f'{CLEAN} find(city="Oslo")') != []


@pytest.mark.parametrize("value", ["RM-77X", "RM-88Y", "HLD-5Z", "420", "$420"])
def test_nothing_may_be_said_that_only_a_result_reveals(value: str) -> None:
    assert problems(f"{CLEAN} It is {value}.") != []


def test_what_an_earlier_turn_showed_is_no_secret() -> None:
    assert problems(f"{CLEAN} As for HLD-5Z.", Facts().add_result({"id": "HLD-5Z"})) == []


def test_a_secret_number_is_not_known_by_arithmetic() -> None:
    assert problems(f"{CLEAN} It is 420.", Facts().add_result([400, 20, 7])) != []


@pytest.mark.parametrize("word", ["first", "Oslo", "six"])
def test_each_value_that_the_user_supplies_must_be_there(word: str) -> None:
    assert len(problems(CLEAN.replace(word, "..."))) == 1


def test_a_value_of_an_earlier_turn_or_a_sum_does_not_stand_in_for_a_missing_one() -> None:
    facts = Facts().add_text("The first was in Oslo for 6 nights.").add_result([2, 4])
    assert len(problems("Please hold a room.", facts)) == 3
    assert len(problems(CLEAN.replace("six", "2 or 4"))) == 1
