"""Where the arguments of a call come from."""

import pytest

from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall, ToolResult, ToolSpec
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import (
    Sources,
    doubt_key,
    exclusion_key,
    sample_call,
)
from funreason_agents.tool_graph.values import (
    call_values,
    examples_in_text,
    fits,
    generate,
    output_values,
    state_values,
)

STATE = {
    "users": [
        {"name": "mira", "secret_code": "m1"},
        {"name": "tomas", "secret_code": "t2"},
        {"name": "ines", "secret_code": "i3"},
    ],
    "_hidden": {"name": "ghost"},
    "limits": {"min_price": 9, "max_price": 4},
}
TEXT = {"type": "string"}


def tool(required=None, **properties):
    needed = list(properties) if required is None else required
    parameters = {"type": "object", "properties": properties, "required": needed}
    return ToolSpec(name="act", description="Act.", parameters=parameters)


def draw(spec, key=0, **sources):
    known = sources.pop("known", state_values(STATE))
    return sample_call(spec, Sources(known=known, **sources), rng("args", key))


def step(content, number=0, **arguments):
    return ExecutedCall(
        call=ToolCall(id=f"c{number}", name="give", arguments=arguments),
        result=ToolResult(call_id=f"c{number}", content=content),
        state_before="a",
        state_after="a",
    )


def test_a_value_of_the_state_is_taken_by_name_and_noted():
    call = draw(tool(name=TEXT))
    assert call.arguments["name"] in ("mira", "tomas", "ines")
    assert call.origins["/name"].kind == "state"
    assert call.origins["/name"].path.startswith("/users/")


def test_private_state_is_no_source():
    assert {draw(tool(name=TEXT), key).arguments["name"] for key in range(40)} == {
        "mira", "tomas", "ines"
    }  # fmt: skip


def test_parameters_of_one_call_come_from_one_object():
    pairs = {
        tuple(draw(tool(name=TEXT, secret_code=TEXT), k).arguments.values()) for k in range(40)
    }
    assert pairs == {("mira", "m1"), ("tomas", "t2"), ("ines", "i3")}


def test_two_parameters_get_two_values():
    spec = tool(name1=TEXT, name2=TEXT)
    for key in range(30):
        assert len(set(draw(spec, key).arguments.values())) == 2


def test_the_ends_of_a_range_are_in_order_with_their_origins():
    number = {"type": "integer"}
    call = draw(tool(min_price=number, max_price=number))
    assert call.arguments == {"min_price": 4, "max_price": 9}
    assert call.origins["/min_price"].path == "/limits/max_price"


def test_an_enum_is_drawn_from_the_schema():
    call = draw(tool(unit={"type": "string", "enum": ["kg", "lb"]}))
    assert call.arguments["unit"] in ("kg", "lb")
    assert call.origins["/unit"] == Origin(kind="schema")


def test_an_example_of_the_description_serves_where_nothing_is_known():
    call = draw(tool(colour={"type": "string", "description": "A colour, e.g. 'teal'."}))
    assert (call.arguments["colour"], call.origins["/colour"].kind) == ("teal", "schema")


def test_a_value_is_invented_for_want_of_anything_better():
    call = draw(tool(reason=TEXT))
    assert call.origins["/reason"] == Origin(kind="generated")


def test_a_bound_parameter_takes_an_output_or_there_is_no_call():
    given = output_values([step({"code": "X9"})])
    call = draw(tool(code=TEXT), bound={"code": given})
    assert call.arguments == {"code": "X9"}
    assert call.origins["/code"] == Origin(kind="output", call=0, path="/code")
    assert draw(tool(code=TEXT), bound={"code": []}) is None


def test_two_bound_parameters_take_two_outputs():
    given = output_values([step({"code": "X1"}), step({"code": "X2"}, 1)])
    call = draw(tool(left=TEXT, right=TEXT), bound={"left": given, "right": given})
    assert sorted(call.arguments.values()) == ["X1", "X2"]
    assert draw(tool(left=TEXT, right=TEXT), bound={"left": given[:1], "right": given[:1]}) is None


def test_a_refused_output_is_not_taken_again():
    given = output_values([step({"code": "X1"}), step({"code": "X2"}, 1)])
    refused = {exclusion_key("act", "code", "X2")}
    assert draw(tool(code=TEXT), bound={"code": given}, excluded=refused).arguments["code"] == "X1"


def test_refusals_turn_to_values_from_another_kind_of_place():
    state = {"name": "top", "box": {"box": {"name": "deep"}}}
    deep = next(value for value in state_values(state) if value.value == "deep")
    doubts = {doubt_key("act", "name", deep.origin): 3}
    drawn = {
        draw(tool(name=TEXT), key, known=state_values(state), doubts=doubts).arguments["name"]
        for key in range(20)
    }
    assert drawn == {"top"}


def test_after_a_refusal_known_texts_come_before_invented_ones():
    call = draw(tool(folder=TEXT), loose=True)
    assert call.origins["/folder"].kind == "state"
    assert draw(tool(folder=TEXT)).origins["/folder"].kind == "generated"
    assert draw(tool(start_date=TEXT), loose=True).origins["/start_date"].kind == "generated"


def test_optional_parameters_are_left_out_more_often_than_not():
    given = [draw(tool((), name=TEXT), key).arguments for key in range(100)]
    assert 5 < sum(map(bool, given)) < 50


def test_an_output_that_only_repeats_an_argument_is_no_value():
    found = call_values(step({"code": "X1", "price": 3}, code="X1"), 0)
    assert [value.field for value in found] == ["price"]
    assert len(call_values(step({"code": "X1"}, code="X1"), 0, "history")) == 1


def test_only_the_first_items_of_a_list_can_be_asked_for():
    rows = step([{"code": f"X{number}"} for number in range(5)])
    assert [value.value for value in call_values(rows, 0)] == ["X0", "X1", "X2"]
    assert call_values(rows, 0, "history") == []


def test_an_error_gives_no_values():
    failed = step({"code": "X1"})
    failed = failed.model_copy(
        update={"result": failed.result.model_copy(update={"is_error": True})}
    )
    assert call_values(failed, 0) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3, "maximum": 4},
        {"type": "number", "multipleOf": 5, "minimum": 1, "maximum": 120},
        {"type": "integer", "multipleOf": 7, "minimum": 1},
        {"type": "array", "items": {"type": "string"}, "minItems": 2},
        {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}, "required": ["b"]},
        {"type": "boolean"},
        {"anyOf": [{"type": "integer", "minimum": 5, "maximum": 6}, {"type": "null"}]},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "email"},
    ],
)
def test_an_invented_value_is_valid(schema):
    for key in range(25):
        assert fits(generate("thing", schema, rng(key)), schema)


def test_examples_are_read_after_their_marker_only():
    assert examples_in_text("Unit, such as 'kg' or \"lb\".") == ["kg", "lb"]
    assert examples_in_text("The 'real' unit.") == []
