"""Where a value can come from."""

from __future__ import annotations

import time
from typing import Any

import pytest

from funreason_agents.schemas.trajectory import Message, ToolCall
from funreason_agents.verification.derivations import Facts, facts_of, find_derivation
from funreason_agents.verification.grounding import find_ungrounded

FACTS = (
    Facts()
    .add_text("Book 3 nights from March 4th, 2031 and save it as Final Report.")
    .add_result({"id": "HT-79SQE", "rate": 70, "file": "docs/plan.txt", "seats": ["4A", "4B"]})
    .add_result({"stocks": {"AAPL": {"price": 12.5}}, "amounts": [10, 20, 35], "limit": "250 kg"})
)


@pytest.mark.parametrize(
    ("value", "how"),
    [(3, "text"), ("final report", "text"), ("HT-79SQE", "result"), (70, "result"),
     ("AAPL", "result"), (True, "trivial"), (1, "trivial"), ("2031-03-04", "date"), (65, "sum"),
     (250, "number"), ("3", "text"), ("70", "number"), ("plan.txt", "part"),
     ("docs/HT-79SQE", "path"), ("final_report", "words"), (73, "sum"), (67, "difference"),
     (210, "product"), (2, "count")],
)  # fmt: skip
def test_a_value_follows_by_a_listed_derivation(value: Any, how: str) -> None:
    assert find_derivation(value, FACTS) == how


@pytest.mark.parametrize(
    "value", ["HT-79SQF", "2031-04-03", "2032-03-04", 71.3, "inal_repor", "docs/other"]
)
def test_an_invented_value_follows_from_nothing(value: Any) -> None:
    assert find_derivation(value, FACTS) is None


@pytest.mark.parametrize(
    "schema",
    [{"enum": ["x9"]}, {"default": "x9"}, {"items": {"enum": ["x9"]}}, {"examples": ["X9"]},
     {"anyOf": [{"const": "x9"}]}],
)  # fmt: skip
def test_a_value_may_come_from_the_schema(schema: dict[str, Any]) -> None:
    assert find_derivation("x9", Facts(), schema) == "schema"


def test_nothing_is_derived_from_the_arguments_of_a_call() -> None:
    call = ToolCall(id="call_0", name="hold", arguments={"code": "ZZ-99"})
    facts = facts_of([Message(role="assistant", tool_calls=(call,))])
    assert find_derivation("ZZ-99", facts) is None


def test_facts_that_grow_leave_the_earlier_ones_as_they_were() -> None:
    before = Facts().add_text("one")
    before.add_result({"id": "AB-1"})
    assert (before.texts, before.leaves) == (("one",), ())


def test_sixteen_large_turns_are_checked_in_little_time() -> None:
    facts, started = Facts(), time.perf_counter()
    for turn in range(16):
        facts = facts.add_text(f"Please find item {turn} of the list.")
        rows = [{"id": f"ID-{turn}-{n}X", "price": n + 0.25, "name": f"No {n}"} for n in range(70)]
        facts = facts.add_result({"rows": rows})
        assert find_derivation(f"ID-{turn}-9X", facts) == "result"
        assert find_derivation(f"MISSING-{turn}", facts) is None
        assert find_derivation(99990.125, facts) is None
        assert find_ungrounded(f"id: ID-{turn}-9X; price: 9.25; name: No 9.", facts) == []
    assert time.perf_counter() - started < 5
