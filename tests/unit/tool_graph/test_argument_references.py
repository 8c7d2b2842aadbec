"""Values that a user can refer to, as arguments."""

from __future__ import annotations

import pytest

from funreason_agents.schemas.tools import Origin, ToolSpec
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import Sources, doubt_key, sample_call
from funreason_agents.tool_graph.values import Value

CITY = {"type": "string"}
SPEC = ToolSpec(
    name="act",
    description="Act.",
    parameters={"type": "object", "properties": {"city": CITY}, "required": ["city"]},
)
KNOWN = [Value("city", "", "Bergen", Origin(kind="state", path="/city"))]
GIVEN = [Value("city", "", "Turin", Origin(kind="output", call=0, path="/city"), source="find")]


def referable(name: str, listed: bool) -> list[object]:
    return {("city", False): ["Oslo", 7], ("city", True): ["Rome"]}[name, listed]


def drawn(key: int = 0, **sources) -> tuple[object, Origin]:
    call = sample_call(SPEC, Sources(known=KNOWN, referable=referable, **sources), rng("refs", key))
    assert call is not None
    return call.arguments["city"], call.origins["/city"]


def test_at_rate_one_a_fitting_value_is_reused_and_left_to_the_user() -> None:
    assert {drawn(key, reference_rate=1.0)[0] for key in range(20)} == {"Oslo"}
    origin = drawn(reference_rate=1.0)[1]
    assert origin.kind not in ("output", "history")


@pytest.mark.parametrize("key", range(10))
def test_at_rate_zero_nothing_is_asked_for_and_no_draw_is_made(key: int) -> None:
    def never(name: str, listed: bool) -> list[object]:
        raise AssertionError(name)

    generator, other = rng("refs", key), rng("refs", key)
    with_none = sample_call(SPEC, Sources(known=KNOWN), generator)
    assert sample_call(SPEC, Sources(known=KNOWN, referable=never), other) == with_none
    assert generator.random() == other.random()


def test_in_between_both_occur() -> None:
    assert {drawn(key, reference_rate=0.5)[0] for key in range(40)} == {"Oslo", "Bergen"}


def test_what_must_come_from_an_output_is_only_taken_from_what_was_listed() -> None:
    bound = {"city": GIVEN}
    assert drawn(reference_rate=1.0, bound=bound)[0] == "Rome"
    assert drawn(bound=bound)[0] == "Turin"
    assert drawn(reference_rate=1.0, bound={"city": []})[0] == "Rome"


def test_once_refused_no_reference_is_tried_again() -> None:
    value, origin = drawn(reference_rate=1.0)
    doubts = {doubt_key("act", "city", origin): 1}
    assert (value, drawn(reference_rate=1.0, doubts=doubts)[0]) == ("Oslo", "Bergen")


def test_a_value_of_another_type_is_not_reused() -> None:
    number = SPEC.model_copy(
        update={"parameters": {"properties": {"city": {"type": "integer"}}, "required": ["city"]}}
    )
    call = sample_call(number, Sources(reference_rate=1.0, referable=referable), rng("refs"))
    assert call is not None and call.arguments == {"city": 7}
