"""`funreason refine` as it is typed: what it reads, what it refuses, and whose results it shows."""

import json
import re
import threading
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.cli.commands_training import RefinementSetOption
from funreason_agents.cli.refine import AT_ONCE, refine_data
from funreason_agents.errors import ConfigurationError, PermanentModelError
from funreason_agents.export.writer import read_records, write_records
from funreason_agents.refinement.options import RefinementContext
from funreason_agents.testing import ScriptedChatModel
from funreason_agents.training.rows import load_rows

KIOSK = Path(__file__).parents[1] / "unit" / "runs" / "kiosk.py"
TOOL = {
    "type": "function",
    "function": {
        "name": "open_locker",
        "description": "Open a locker and list what is in it.",
        "parameters": {
            "type": "object",
            "properties": {"locker_number": {"type": "string"}},
            "required": ["locker_number"],
        },
    },
}


def make_row(number, argument="locker_number"):
    function = {"name": "open_locker", "arguments": {argument: f"L-{number}"}}
    call = {"id": "call_0", "type": "function", "function": function}
    return {
        "prompt": [{"role": "user", "content": f"Open locker L-{number} and say what is in it."}],
        "completion": [{"role": "assistant", "content": "", "tool_calls": [call]}],
        "tools": [TOOL],
    }


HARD = [make_row(number, argument="number") for number in range(100, 108)]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [make_row(99), *HARD]))
    return path


def student(name, respond=None):
    """A student that answers each row rightly, by default."""

    def open_it(messages, tools):
        number = re.search(r"L-\d+", messages[-1].text).group()
        call = {"name": "open_locker", "args": {"locker_number": number}, "id": "call_0"}
        return AIMessage("", tool_calls=[call])

    return ScriptedChatModel(respond=respond or open_it, model_name=name)


SMALL = RefinementContext(samples=2, max_rounds=1)


def test_results_of_one_student_are_never_shown_as_those_of_another(data, tmp_path):
    out, silent = tmp_path / "out", student("b", lambda *_: "I cannot do that.")
    options = {"out": out, "mode": "hdr", "context": SMALL}
    report = refine_data(data, student=student("a"), **options)
    assert (report["files"]["kept.jsonl"], report["run"]["student"]) == (9, "a")
    with pytest.raises(ConfigurationError, match="student: 'a' there, 'b' here"):
        refine_data(data, student=silent, **options)
    asked_again = student("a")
    assert refine_data(data, student=asked_again, **options) == report
    assert asked_again.calls == ()


def test_a_stopped_round_goes_on_with_its_own_student_only(data, tmp_path):
    def refuse(*_):
        raise PermanentModelError("the key was revoked", 401)

    options = {"out": tmp_path / "out", "mode": "hdr", "context": SMALL}
    with pytest.raises(PermanentModelError):
        refine_data(data, student=student("a", refuse), **options)
    with pytest.raises(ConfigurationError, match="holds another run"):
        refine_data(data, student=student("b"), **options)
    assert refine_data(data, student=student("a"), **options)["files"]["kept.jsonl"] == 9


def test_the_student_is_asked_for_several_answers_at_once_and_each_goes_to_its_row(data, tmp_path):
    right, together = student("a"), threading.Barrier(2 * len(HARD), timeout=30)

    def respond(messages, tools):
        together.wait()  # breaks, unless all answers of the batch are asked for at once
        return right.respond(messages, tools)

    assert 2 * len(HARD) <= AT_ONCE
    report = refine_data(
        data, out=tmp_path / "o", mode="hdr", context=SMALL, student=student("a", respond)
    )
    (counted,) = report["counts"]["rounds"]
    assert (counted["asked"], counted["answers"], counted["kept"]) == (8, 16, 8)
    kept = [json.loads(line) for line in (tmp_path / "o" / "kept.jsonl").read_text().splitlines()]
    said = [json.dumps(row["completion"]) for row in kept]
    assert all(f"L-{number}" in text for number, text in zip(range(99, 108), said, strict=True))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "batchs=3"], "unknown knob 'batchs'; there are batch, max_rounds"),
        (["--set", "batch=0", "--set", "tau=2"], "batch: Input should be greater than"),
        (["--set", "batch=many"], "batch: Input should be a valid integer"),
        (["--mode", "hdr"], "pass --student openai:NAME"),
        (["--mode", "hdr", "--student", "offline"], "--student offline:"),
        (["--mode", "hdr", "--student", "openai:x", "--judge", "offline"], "--judge offline:"),
    ],
)
def test_line_that_cannot_be_run_is_told_in_one_line(
    funreason, data, tmp_path, monkeypatch, words, told
):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    status, said = funreason("refine", data, "--out", tmp_path / "out", *words)
    assert (status, said.count("\n")) == (2, 1)
    assert told in said
    assert "create_data_refiner" not in said
    assert not (tmp_path / "out").exists()


def test_knobs_are_taken_and_the_offline_model_still_refines(funreason, data, tmp_path):
    out = tmp_path / "out"
    assert funreason("refine", data, "--out", out, "--set", "batch=3")[0] == 0
    made = json.loads((out / "refinement.json").read_text())["run"]
    assert (made["context"]["batch"], made["model"], made["student"]) == (3, "offline", None)


def test_help_names_each_knob():
    told = RefinementSetOption.__metadata__[0].help
    assert [name for name in RefinementContext.model_fields if name not in told] == []


def test_refine_and_train_read_the_same_places(funreason, data, tmp_path):
    run = tmp_path / "run"
    synthesize(
        environment=load_environment(f"{KIOSK}:Kiosk", isolated=False),
        num_trajectories=2,
        out=run,
        context=SynthesisContext(turns=2),
    )
    for form in ("trl", "trl-steps", "records"):
        write_records(read_records(run), run / form, format=form)
    count = len(load_rows(run))
    assert count
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([make_row(99), *HARD], indent=1))
    places = [run, run / "records.jsonl", data, listed]
    places += [run / form for form in ("trl", "trl-steps", "records")]
    places += [run / "trl" / "train.jsonl"]
    for number, place in enumerate(places):
        out = tmp_path / f"out{number}"
        status, said = funreason("refine", place, "--out", out)
        assert status == 0, said
        rows = json.loads((out / "refinement.json").read_text())["counts"]["rows"]
        assert rows == len(load_rows(place)) == (9 if place in (data, listed) else count)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"prompt": []}, 3]', "row 2: no JSON object"),
        ('[{"prompt": []}', "not JSON"),
        ('[{"prompt": NaN}]', "NaN is no JSON value"),
        ("[]", "holds no rows"),
    ],
)
def test_list_that_cannot_be_read_is_told(funreason, tmp_path, text, told):
    (tmp_path / "rows.json").write_text(text)
    status, said = funreason("refine", tmp_path / "rows.json", "--out", tmp_path / "out")
    assert (status, told in said, (tmp_path / "out").exists()) == (2, True, False)


def test_directory_without_rows_is_told(funreason, tmp_path):
    status, said = funreason("refine", tmp_path, "--out", tmp_path / "out")
    assert status == 2
    assert "holds no records.jsonl and no train.jsonl; name the file itself" in said
