import json
import subprocess
import sys
from pathlib import Path

import pytest
from book_rows import TOOLS, make_row, make_rows

from funreason_agents import load_environment, synthesize
from funreason_agents.errors import ConfigurationError, TrainingError
from funreason_agents.export.writer import read_records, write_records
from funreason_agents.training.rows import load_rows, to_step_rows

CALL = {"name": "find_book", "arguments": {"title": "Emma"}}
MESSAGES = [
    {"role": "user", "content": "Find Emma."},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Look it up.",
        "tool_calls": [{"id": "1", "type": "function", "function": CALL}],
    },
    {"role": "tool", "name": "find_book", "tool_call_id": "1", "content": "[]"},
    {"role": "assistant", "content": "Not there.", "reasoning_content": "Empty."},
]


def test_messages_become_a_row_for_each_assistant_message():
    first, second = to_step_rows([{"messages": MESSAGES, "tools": TOOLS}])
    assert first["prompt"] == MESSAGES[:1]
    assert first["completion"][0]["tool_calls"][0]["function"] == CALL
    assert first["completion"][0]["content"] == ""
    assert [message["role"] for message in second["prompt"]] == ["user", "assistant", "tool"]
    assert "reasoning_content" not in second["prompt"][1]
    assert second["completion"] == [MESSAGES[3]]
    assert second["tools"] == TOOLS


def test_what_must_not_be_trained_on_is_context_only():
    flagged = [MESSAGES[0], {**MESSAGES[1], "trainable": False}, *MESSAGES[2:]]
    (only,) = to_step_rows([{"messages": flagged}])
    assert only["completion"][0]["content"] == "Not there."
    assert only["tools"] == []
    assert all("trainable" not in message for message in only["prompt"])
    assert flagged[1]["trainable"] is False


def test_texts_of_others_are_read():
    call = {"function": {"name": "find_book", "arguments": '{"title": "Emma"}'}}
    row = {
        "prompt": MESSAGES[:1],
        "completion": [
            {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes", "tool_calls": [call]}
        ],
        "tools": json.dumps(TOOLS),
    }
    (step,) = to_step_rows([row])
    assert step["completion"][0] == {
        "role": "assistant",
        "content": "Yes",
        "reasoning_content": "Hm.",
        "tool_calls": [{"type": "function", "function": CALL}],
    }
    assert step["tools"] == TOOLS


def test_a_completion_of_several_messages_is_split():
    rows = to_step_rows([{"prompt": MESSAGES[:1], "completion": MESSAGES[1:], "tools": TOOLS}])
    assert rows == to_step_rows([{"messages": MESSAGES, "tools": TOOLS}])
    # Those in the prompt are not learnt.
    assert len(to_step_rows([{"prompt": MESSAGES[:3], "completion": MESSAGES[3:]}])) == 1


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_files(tmp_path, name):
    rows = make_rows(5)
    text = json.dumps(rows) if name.endswith("json") else "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_rows(tmp_path / name) == rows


def test_records_and_both_exports_give_the_same_rows(tmp_path):
    bookstore = Path(__file__).resolve().parents[2] / "tools" / "bookstore.py"
    run = synthesize(
        environment=load_environment(f"{bookstore}:Bookstore"),
        num_trajectories=2,
        out=tmp_path / "run",
        seed=1,
    )
    assert run.accepted
    records = read_records(tmp_path / "run")
    for form in ("trl", "trl-steps"):
        write_records(records, tmp_path / form, format=form)
    rows = load_rows(tmp_path / "run")
    assert rows
    assert load_rows(tmp_path / "run" / "records.jsonl") == rows
    assert load_rows(tmp_path / "trl-steps" / "train.jsonl") == rows
    plain = [[row["prompt"], row["completion"]] for row in rows]
    assert [[row["prompt"], row["completion"]] for row in load_rows(tmp_path / "trl")] == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"prompt": []}\n{"tr', "line 2: not JSON"),
        ('{"text": "hello"}', "row 1: neither messages"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "no assistant message"),
        ('[{"messages": 3}]', "row 1"),
        ('["x"]', "row 1"),
        (json.dumps({"messages": [{"role": "assistant", "content": [1]}]}), "must be text"),
    ],
)
def test_other_shapes_are_refused_with_the_place(tmp_path, text, words):
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=words):
        load_rows(tmp_path / "rows.jsonl")


def test_missing_files(tmp_path):
    with pytest.raises(TrainingError, match=r"no records\.jsonl"):
        load_rows(tmp_path)
    with pytest.raises(TrainingError, match="cannot read"):
        load_rows(tmp_path / "rows.jsonl")


def test_dry_run_without_training_libraries_says_what_it_cannot_check(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(make_row(1)), encoding="utf-8")
    script = f"""
import sys
from pathlib import Path
sys.modules["torch"] = None  # as if it were not there
import funreason_agents.training
from funreason_agents.cli.train import run_fine_tuning
settings = {{"model": "any", "output_dir": "x"}}
run_fine_tuning(Path({str(tmp_path / "rows.jsonl")!r}), settings, dry_run=True)
heavy = {{"transformers", "trl", "peft", "datasets", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 rows to train on: 1 with reasoning, 1 with calls" in done.stdout
    said = " ".join(done.stdout.split())
    assert "template were not checked: torch must be installed for this: pip install" in said
    assert not (tmp_path / "x").exists()


def test_a_missing_library_is_said_with_the_extra_that_brings_it():
    script = """
import sys
sys.modules["trl"] = None  # as if it were not there
from funreason_agents.errors import MissingExtraError
try:
    from funreason_agents.training import fine_tune
except MissingExtraError as exc:
    print(exc)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        'trl must be installed for this: pip install "funreason-agents[train]"'
    )


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"loss": "focal"}, "'standard', 'srml' or 'ssb'"),
        ({"learning": 1}, "unknown knob 'learning'"),
        ({"alpha": 1.5, "seed": -1}, "seed: .*; alpha: "),
        ({"loss": "ssb", "beta": 0.5}, "beta is a weight of srml"),
    ],
)
def test_settings_are_checked_before_anything_is_read(tmp_path, knobs, words):
    from funreason_agents.cli.train import run_fine_tuning

    with pytest.raises(ConfigurationError, match=words):
        run_fine_tuning(
            tmp_path / "none", {"model": "any", "output_dir": tmp_path, **knobs}, dry_run=True
        )
