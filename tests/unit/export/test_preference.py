"""Preference rows: the person's version of a message against the model's."""

import json

import pytest

from funreason_agents import write_records
from funreason_agents.export.formats import to_preference_rows
from funreason_agents.schemas.record import (
    Certificate,
    CertifiedTurn,
    Provenance,
    TrainingRecord,
    make_record_id,
)
from funreason_agents.schemas.review import Edit
from funreason_agents.schemas.tasks import HardTurn
from funreason_agents.schemas.tools import ToolCall, ToolSpec
from funreason_agents.schemas.trajectory import Message

ADD = ToolSpec(name="add", description="Add.", parameters={"type": "object"})
SPARE = ToolSpec(name="spare", description="Not needed.", parameters={"type": "object"})


def call(number, a):
    return ToolCall(id=f"call_{number}", name="add", arguments={"a": a})


def say(text, *calls, **fields):
    fields = {"trainable": True, "reasoning": "think", **fields}
    return Message(role="assistant", content=text, tool_calls=calls, **fields)


def result(number):
    return Message(role="tool", content="3", tool_call_id=f"call_{number}", name="add")


def make_record(*edits, trainable=True, hard=None):
    """A turn with two calls in one message, one in the next, and a reply; then one like it."""
    turn = (
        say("", call(0, 1), call(1, 2), trainable=trainable),
        result(0),
        result(1),
        say("", call(2, 3)),
        result(2),
        say("Three."),
    )
    messages = (Message(role="user", content="Add."), *turn)
    messages += (Message(role="user", content="Again."), *turn)
    certified = CertifiedTurn(target="add", mode="exact", gold=(), calls=(), hard=hard)
    return TrainingRecord(
        id=make_record_id(messages, (ADD,)),
        messages=messages,
        tools=(ADD,),
        checks=((), ()),
        certificate=Certificate(
            environment_id="sums",
            tools_hash="t",
            environment_seed=0,
            initial_state_hash="s",
            turns=(certified, certified.model_copy(update={"edits": edits})),
            verifier_version=1,
        ),
        provenance=Provenance(
            package_version="0",
            thread_id="t",
            run_seed=0,
            index=0,
            targets=("add", "add"),
            rounds=(1, 1),
            turn_attempts=(1, 1),
            models={},
            prompts={},
        ),
    )


def edit_call(number, before, after):
    return Edit(action="edit_call", call=number, before={"a": before}, after={"a": after})


def edit_reply(before, after):
    return Edit(action="edit_reply", before=before, after=after)


def arguments(row, side):
    (message,) = row[side]
    return [each["function"]["arguments"]["a"] for each in message["tool_calls"]]


def test_record_without_edits_gives_no_rows():
    assert to_preference_rows(make_record()) == []


def test_edited_reply_of_the_second_turn_is_paired_there():
    (row,) = to_preference_rows(make_record(edit_reply("Maybe three.", "Three.")))
    assert set(row) == {"prompt", "chosen", "rejected", "tools"}
    assert row["chosen"] == [{"role": "assistant", "content": "Three."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Maybe three."}]
    assert [m["role"] for m in row["prompt"]].count("user") == 2
    assert row["tools"] == [ADD.to_function()]


def test_edited_query_gives_no_row():
    edit = Edit(action="edit_query", before="Add!", after="Again.")
    assert to_preference_rows(make_record(edit)) == []


def test_calls_of_one_message_that_were_edited_are_one_row():
    (row,) = to_preference_rows(make_record(edit_call(1, 8, 2), edit_call(0, 9, 1)))
    assert (arguments(row, "chosen"), arguments(row, "rejected")) == ([1, 2], [9, 8])
    assert row["prompt"][-1] == {"role": "user", "content": "Again."}


def test_call_is_found_by_its_position_in_the_turn():
    (row,) = to_preference_rows(make_record(edit_call(2, 7, 3)))
    assert (arguments(row, "chosen"), arguments(row, "rejected")) == ([3], [7])


def test_of_several_edits_the_first_before_is_what_the_model_wrote():
    edits = edit_reply("Model.", "Person."), edit_reply("Person.", "Three.")
    (row,) = to_preference_rows(make_record(*edits))
    assert row["rejected"][0]["content"] == "Model."
    assert row["chosen"][0]["content"] == "Three."


def test_what_was_edited_back_gives_no_row():
    edits = edit_call(0, 1, 4), edit_call(0, 4, 1)
    assert to_preference_rows(make_record(*edits)) == []


def test_message_that_may_not_be_trained_on_is_never_chosen():
    assert to_preference_rows(make_record(edit_call(0, 9, 1), trainable=False)) == []


def test_neither_side_nor_prompt_holds_reasoning():
    rows = to_preference_rows(make_record(edit_call(2, 7, 3), edit_reply("So.", "Three.")))
    assert len(rows) == 2
    assert "reasoning_content" not in json.dumps(rows)


def test_tools_are_those_that_were_offered():
    hard = HardTurn(kind="long_context", filler="x", distractors=(SPARE,))
    (row,) = to_preference_rows(make_record(edit_reply("So.", "Three."), hard=hard))
    assert row["tools"] == [ADD.to_function(), SPARE.to_function()]


@pytest.mark.parametrize(("edits", "rows"), [((), 0), ((edit_reply("So.", "Three."),), 1)])
def test_rows_are_counted_in_the_manifest(tmp_path, edits, rows):
    paths = write_records([make_record(*edits)], tmp_path, format="preference")
    files = json.loads(paths["manifest"].read_text())["files"]
    assert files == {"train": {"records": 1, "rows": rows}}
    assert len(paths["train"].read_text().splitlines()) == rows
