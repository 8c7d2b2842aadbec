import json
import os

import pytest

from funreason_agents import read_records, write_records
from funreason_agents.errors import ConfigurationError, ExportError
from funreason_agents.export.formats import to_trl_row, to_trl_step_rows
from funreason_agents.export.writer import write_text
from funreason_agents.schemas.record import (
    Certificate,
    CertifiedTurn,
    Provenance,
    TrainingRecord,
    make_record_id,
)
from funreason_agents.schemas.tools import ToolCall, ToolSpec
from funreason_agents.schemas.trajectory import Message

TOOL = ToolSpec(
    name="add",
    description="Add two numbers.",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}}},
)


def say(text, **fields):
    return Message(role="assistant", content=text, **{"trainable": True, **fields})


def make_record(seed=0, index=0):
    messages = (
        Message(role="user", content=f"Add {index}, é."),
        say("", reasoning="think", tool_calls=(ToolCall(id="1", name="add", arguments={"a": 1}),)),
        Message(role="tool", content='{"sum": 1}', tool_call_id="1", name="add"),
        say("It is 1."),
        Message(role="user", content="And now?"),
        say("given", trainable=False),
        say("Nothing.", reasoning="later"),
    )
    return TrainingRecord(
        id=make_record_id(messages, (TOOL,)),
        messages=messages,
        tools=(TOOL,),
        checks=((), ()),
        certificate=Certificate(
            environment_id="sums",
            tools_hash="t",
            environment_seed=seed,
            initial_state_hash="s",
            turns=(CertifiedTurn(target="add", mode="exact", gold=(), calls=()),) * 2,
            verifier_version=1,
        ),
        provenance=Provenance(
            package_version="0",
            thread_id="t",
            run_seed=0,
            index=index,
            targets=("add",),
            rounds=(1,),
            turn_attempts=(1,),
            models={},
            prompts={},
        ),
    )


def read_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_trl_row_holds_messages_and_tools_only():
    row = to_trl_row(make_record())
    assert set(row) == {"messages", "tools"}
    assert row["tools"] == [TOOL.to_function()]
    assert row["messages"][1] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "think",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
        ],
    }
    assert row["messages"][2] == {
        "role": "tool",
        "content": '{"sum": 1}',
        "name": "add",
        "tool_call_id": "1",
    }


def test_only_assistant_messages_not_to_be_trained_on_are_flagged():
    messages = to_trl_row(make_record())["messages"]
    assert [message.get("trainable") for message in messages] == [None] * 5 + [False, None]
    assert [n for n, message in enumerate(messages) if "trainable" in message] == [5]


def test_manifest_counts_the_messages_not_to_be_trained_on(tmp_path):
    paths = write_records([make_record(), make_record(1, 1)], tmp_path, format="trl")
    manifest = json.loads(paths["manifest"].read_text())
    assert manifest["files"] == {"train": {"records": 2, "rows": 2, "untrainable_messages": 2}}


def test_step_rows_are_one_per_trainable_assistant_message():
    record = make_record()
    rows = to_trl_step_rows(record)
    assert [len(row["prompt"]) for row in rows] == [1, 3, 6]
    whole = to_trl_row(record)["messages"]
    assert [row["completion"] for row in rows] == [[whole[1]], [whole[3]], [whole[6]]]


def test_step_rows_leave_earlier_reasoning_out():
    last = to_trl_step_rows(make_record())[-1]
    assert not any("reasoning_content" in message for message in last["prompt"])
    assert last["completion"][0]["reasoning_content"] == "later"


@pytest.mark.parametrize("format", ["records", "trl", "trl-steps"])
def test_records_of_one_environment_seed_never_part(tmp_path, format):
    records = [make_record(seed=number % 30, index=number) for number in range(90)]
    split = {"train": 0.7, "heldout": 0.3}
    paths = write_records(records, tmp_path, format=format, split=split)
    ids = json.loads(paths["manifest"].read_text())["record_ids"]
    seeds = {record.id: record.certificate.environment_seed for record in records}
    train, heldout = ({seeds[each] for each in ids[part]} for part in ("train", "heldout"))
    assert train and heldout
    assert not train & heldout
    assert len(ids["train"]) + len(ids["heldout"]) == 90


def test_part_of_a_record_does_not_depend_on_the_others(tmp_path):
    records = [make_record(seed=number) for number in range(40)]
    split = {"train": 0.5, "heldout": 0.5}
    parts = []
    for number, chosen in enumerate((records, records[20:])):
        paths = write_records(chosen, tmp_path / str(number), format="records", split=split)
        parts.append({row["certificate"]["environment_seed"] for row in read_rows(paths["train"])})
    assert parts[1] == {seed for seed in parts[0] if seed >= 20}


def test_manifest_says_what_is_in_each_file(tmp_path):
    paths = write_records([make_record(), make_record(1, 1)], tmp_path, format="trl-steps")
    manifest = json.loads(paths["manifest"].read_text())
    assert manifest["format"] == "trl-steps"
    assert manifest["files"] == {"train": {"records": 2, "rows": 6}}
    assert len(read_rows(paths["train"])) == 6


def test_equal_records_give_equal_files(tmp_path):
    paths = [write_records([make_record()], tmp_path / n)["train"].read_bytes() for n in "ab"]
    assert paths[0] == paths[1]
    assert "é".encode() in paths[0]


def test_records_are_read_back(tmp_path):
    records = [make_record(), make_record(1, 1)]
    write_records(records, tmp_path, format="records")
    assert read_records(tmp_path / "train.jsonl") == records
    (tmp_path / "train.jsonl").rename(tmp_path / "records.jsonl")
    assert read_records(tmp_path) == records


@pytest.mark.parametrize(
    ("split", "match"), [({"train": 0.5}, "add up to 1"), ({"a": 1.5, "b": -0.5}, "positive")]
)
def test_shares_that_make_no_sense_are_refused(tmp_path, split, match):
    with pytest.raises(ConfigurationError, match=match):
        write_records([make_record()], tmp_path, split=split)


def test_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown format 'csv'; use one of"):
        write_records([make_record()], tmp_path / "rows", format="csv")
    assert not (tmp_path / "rows").exists()


def test_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "rows").write_text("mine")
    with pytest.raises(ExportError, match="cannot write"):
        write_records([make_record()], tmp_path / "rows")
    assert (tmp_path / "rows").read_text() == "mine"


def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_text(tmp_path / "file", "old")

    def fail(_handle):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ExportError, match="No space left on device; free some space"):
        write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[:-40], "line 2: not a whole record"),
        (lambda text: text + "{}\n", "line 3: not a whole record"),
        (lambda text: text.replace('"schema_version": 2', '"schema_version": 3'), "line 1"),
        (lambda text: text.replace('"id"', '"unknown": 1, "id"', 1), "line 1: .*Extra inputs"),
    ],
)
def test_damaged_records_are_told_by_their_line(tmp_path, change, match):
    write_records([make_record(), make_record(1, 1)], tmp_path, format="records")
    path = tmp_path / "train.jsonl"
    path.write_text(change(path.read_text()))
    with pytest.raises(ExportError, match=match):
        read_records(path)


def test_missing_and_binary_records_are_told(tmp_path):
    with pytest.raises(ExportError, match="is it the directory of a run"):
        read_records(tmp_path)
    (tmp_path / "records.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportError, match="cannot read"):
        read_records(tmp_path)
