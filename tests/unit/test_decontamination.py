from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from funreason_agents.curation.decontamination import (
    Benchmark,
    DecontaminationReport,
    find_overlaps,
    load_bfcl,
    render_report,
)
from funreason_agents.errors import ConfigurationError
from funreason_agents.schemas.record import Certificate, Provenance, TrainingRecord
from funreason_agents.schemas.tools import ToolCall
from funreason_agents.schemas.trajectory import Message

LONG = "Please water the tall fern beside the kitchen window and then dim every lamp upstairs."
UNRELATED = "Which of the seven lighthouses on the northern coast was painted again last spring?"
DOCUMENTS = [
    {"name": "water", "parameters": {"properties": {"plant": {}, "litres": {}}}},
    {"name": "dim", "parameters": {"properties": {"lamp": {}}}},
    {"name": "list_lamps", "parameters": {"properties": {}}},
]
ITEMS = {
    "base_0": ([LONG, "Thanks, is it done?"], [["water('fern', litres=2)", "dim('hall')"], []]),
    "base_1": (["Show me the lamps!"], [["list_lamps()"]]),
}
MALICIOUS = "__import__('os').system('touch hacked')"


def _write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _make_data(folder: Path, items: dict = ITEMS, documents: list[dict] = DOCUMENTS) -> Path:
    questions, answers = [], []
    for name, (texts, calls) in items.items():
        turns = [[{"role": "user", "content": text}] if text else [] for text in texts]
        questions.append({"id": f"multi_turn_{name}", "question": turns})
        answers.append({"id": f"multi_turn_{name}", "ground_truth": calls})
    _write(folder / "BFCL_v4_multi_turn_base.json", questions)
    _write(folder / "possible_answer" / "BFCL_v4_multi_turn_base.json", answers)
    _write(folder / "multi_turn_func_doc" / "home.json", documents)
    return folder


def _load_calls(folder: Path, *calls: str) -> Benchmark:
    return load_bfcl(_make_data(folder, {"base_0": ([LONG], [list(calls)])}))


def _make_record(record_id: str, *turns: tuple[str, list[tuple[str, dict]]]) -> TrainingRecord:
    messages = [Message(role="system", content=LONG)]
    for text, calls in turns:
        messages.append(Message(role="user", content=text))
        for number, (name, arguments) in enumerate(calls):
            call = ToolCall(id=str(number), name=name, arguments=arguments)
            messages.append(Message(role="assistant", tool_calls=(call,)))
            messages.append(Message(role="tool", content=LONG, tool_call_id=str(number)))
        messages.append(Message(role="assistant", content=LONG))
    return TrainingRecord(
        id=record_id,
        messages=tuple(messages),
        tools=(),
        checks=(),
        certificate=Certificate(
            environment_id="home",
            tools_hash="",
            environment_seed=0,
            initial_state_hash="",
            turns=(),
            verifier_version=1,
        ),
        provenance=Provenance(
            package_version="0",
            thread_id="",
            run_seed=0,
            index=0,
            targets=(),
            rounds=(),
            turn_attempts=(),
            models={},
            prompts={},
        ),
    )


@pytest.fixture
def benchmark(tmp_path) -> Benchmark:
    return load_bfcl(_make_data(tmp_path))


def _compare(benchmark: Benchmark, *turns, n: int = 8) -> DecontaminationReport:
    return find_overlaps([_make_record("r", *turns)], benchmark, n=n)


# --- Loading.


def test_questions_and_calls_are_loaded_by_item_and_turn(benchmark):
    assert benchmark.questions == {
        "multi_turn_base_0/0": LONG,
        "multi_turn_base_0/1": "Thanks, is it done?",
        "multi_turn_base_1/0": "Show me the lamps!",
    }
    assert benchmark.calls["multi_turn_base_0/1"] == ()
    assert benchmark.calls["multi_turn_base_1/0"] == (("list_lamps", "{}"),)
    assert benchmark.unparsed == {}


def test_turns_without_a_message_keep_the_numbers_of_the_others(tmp_path):
    data = _make_data(tmp_path, {"base_0": (["", "Now?"], [[], ["dim('hall')"]])})
    assert load_bfcl(data).questions == {"multi_turn_base_0/1": "Now?"}


def test_positional_arguments_take_the_names_of_the_documented_parameters(benchmark):
    assert benchmark.calls["multi_turn_base_0/0"] == (
        ("water", '{"litres":2,"plant":"fern"}'),
        ("dim", '{"lamp":"hall"}'),
    )


def test_equal_values_written_differently_are_equal_calls(tmp_path):
    benchmark = _load_calls(tmp_path, "dim(lamp=('a', 2.0))", "dim(lamp=['a', 2])")
    first, second = benchmark.calls["multi_turn_base_0/0"]
    assert first == second


@pytest.mark.parametrize(
    "text",
    [
        MALICIOUS,
        "__import__('os')",
        "dim(lamp=__import__('os').system('touch hacked'))",
        "dim(*['hall'])",
        "dim(**{'lamp': 'hall'})",
        "dim('hall', 'kitchen')",
        "dim('hall', lamp='hall')",
        "dim(lamp={1, 2})",
        "dim(lamp=-'x')",
        "unknown('hall')",
        "dim(lamp='hall'",
        "dim",
        "",
        "\0",
    ],
)
def test_what_is_no_call_with_literal_arguments_is_skipped_and_counted(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    benchmark = _load_calls(tmp_path, text, "water('fern', 2)")
    assert benchmark.unparsed == {"multi_turn_base_0/0": (text,)}
    assert [name for name, _ in benchmark.calls["multi_turn_base_0/0"]] == ["water"]
    assert not (tmp_path / "hacked").exists()
    assert _compare(benchmark).unparsed_calls == 1


def test_positional_arguments_are_not_guessed_when_documents_disagree(tmp_path):
    other = {"name": "dim", "parameters": {"properties": {"room": {}}}}
    data = _make_data(
        tmp_path, {"base_0": ([LONG], [["dim('hall')", "dim(lamp='hall')"]])}, [*DOCUMENTS, other]
    )
    assert load_bfcl(data).unparsed == {"multi_turn_base_0/0": ("dim('hall')",)}


def test_a_folder_without_the_data_is_refused_with_what_to_pass(tmp_path):
    with pytest.raises(ConfigurationError, match="pass the folder `bfcl_eval/data`"):
        load_bfcl(tmp_path)


@pytest.mark.parametrize("part", ["possible_answer", "multi_turn_func_doc"])
def test_a_folder_with_only_part_of_the_data_is_refused(tmp_path, part):
    _make_data(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="does not hold"):
        load_bfcl(tmp_path)


@pytest.mark.parametrize("text", ["no json\n", '{"id": "multi_turn_base_0"}\n', "[]\n"])
def test_files_of_another_form_are_refused(tmp_path, text):
    _make_data(tmp_path)
    (tmp_path / "BFCL_v4_multi_turn_base.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="could not read BFCL's data"):
        load_bfcl(tmp_path)


# --- Questions.


def test_a_question_in_other_case_and_punctuation_is_an_exact_overlap(benchmark):
    report = _compare(benchmark, (UNRELATED, []), ("thanks  is it\nDONE", []))
    (match,) = report.exact_questions
    assert (match.record_id, match.turn) == ("r", 1)
    assert match.benchmark_id == "multi_turn_base_0/1"
    assert report.flagged == ("r",)


def test_a_turn_without_words_equals_no_question(tmp_path):
    benchmark = Benchmark(name="b", questions={"q/0": "?!"}, calls={})
    assert _compare(benchmark, ("...", [])).exact_questions == ()


def test_unrelated_turns_overlap_in_nothing(benchmark):
    report = _compare(benchmark, (UNRELATED, [("water", {"plant": "rose", "litres": 2})]))
    assert (report.exact_questions, report.ngram_questions, report.exact_calls) == ((), (), ())
    assert (report.calls_with_arguments, report.exact_single_calls) == (1, 0)
    assert report.flagged == ()


def test_only_what_the_user_says_is_compared(benchmark):
    assert LONG in [message.content for message in _make_record("r", (UNRELATED, [])).messages]
    assert _compare(benchmark, (UNRELATED, [])).exact_questions == ()


def test_shared_ngrams_give_the_share_of_the_turn_and_the_shared_words(benchmark):
    shared = "water the tall fern beside the kitchen window and"
    (overlap,) = _compare(benchmark, (f"Could you {shared} go?", [])).ngram_questions
    assert overlap.share == 2 / 5
    assert overlap.question_share == 2 / 8
    assert overlap.example == shared
    assert overlap.benchmark_id == "multi_turn_base_0/0"


def test_fewer_shared_words_than_n_are_no_overlap(benchmark):
    text = "water the tall fern beside the kitchen"
    assert _compare(benchmark, (f"{text} sink", [])).ngram_questions == ()
    assert len(_compare(benchmark, (f"{text} sink", []), n=7).ngram_questions) == 1


@pytest.mark.parametrize(("extra", "flagged"), [(3, True), (4, False)])
def test_a_record_is_flagged_from_half_of_the_ngrams_on(benchmark, extra, flagged):
    quoted = LONG.split()[:10]
    text = " ".join([*quoted, *(f"w{number}" for number in range(extra))])
    report = _compare(benchmark, (text, []))
    assert report.exact_questions == ()
    assert len(report.ngram_questions) == 1
    assert bool(report.flagged) is flagged


def test_a_record_that_quotes_a_whole_question_is_flagged_however_long(benchmark):
    text = " ".join([LONG, *(f"w{number}" for number in range(40))])
    assert _compare(benchmark, (text, [])).flagged


def test_overlaps_are_sorted_by_share(benchmark):
    turns = [(f"{LONG} {UNRELATED}", []), (f"{LONG} Go.", []), (LONG, [])]
    overlaps = _compare(benchmark, *turns).ngram_questions
    assert [overlap.turn for overlap in overlaps] == [2, 1, 0]


def test_share_counts_text_stitched_from_several_questions(benchmark):
    questions = {"a/0": LONG, "b/0": UNRELATED}
    stitched = Benchmark(name="b", questions=questions, calls={})
    (overlap,) = _compare(stitched, (f"{LONG} {UNRELATED}", [])).ngram_questions
    assert overlap.share == 15 / 22
    assert overlap.question_share == 1


def test_an_n_below_one_is_refused(benchmark):
    with pytest.raises(ConfigurationError, match="at least 1"):
        _compare(benchmark, n=0)


# --- Calls.

GOLD = [("water", {"litres": 2.0, "plant": "fern"}), ("dim", {"lamp": "hall"})]


def test_the_whole_call_list_of_a_gold_turn_is_flagged(benchmark):
    report = _compare(benchmark, (UNRELATED, []), (UNRELATED, GOLD))
    (match,) = report.exact_calls
    assert (match.turn, match.benchmark_id) == (1, "multi_turn_base_0/0")
    assert report.flagged == ("r",)


@pytest.mark.parametrize("calls", [GOLD[:1], GOLD[::-1], [*GOLD, GOLD[0]], []])
def test_part_of_a_call_list_or_another_order_is_not_equal(benchmark, calls):
    report = _compare(benchmark, (UNRELATED, calls))
    assert report.exact_calls == ()
    assert report.exact_single_calls == len(calls)
    assert report.flagged == ()


def test_calls_of_different_turns_do_not_make_one_list(benchmark):
    report = _compare(benchmark, (UNRELATED, GOLD[:1]), (UNRELATED, GOLD[1:]))
    assert report.exact_calls == ()


def test_an_equal_list_of_one_call_is_reported_but_not_flagged(benchmark):
    report = _compare(benchmark, (UNRELATED, [("list_lamps", {})]))
    assert len(report.exact_calls) == 1
    assert report.flagged == ()


def test_a_gold_list_with_an_unreadable_call_equals_nothing(tmp_path):
    benchmark = _load_calls(tmp_path, "water('fern', 2)", "dim('hall')", MALICIOUS)
    report = _compare(benchmark, (UNRELATED, GOLD))
    assert report.exact_calls == ()
    assert report.exact_single_calls == 2


def test_single_calls_count_only_calls_with_arguments(benchmark):
    calls = [("list_lamps", {}), ("dim", {"lamp": "hall"}), ("dim", {"lamp": "attic"})]
    report = _compare(benchmark, (UNRELATED, calls))
    assert (report.exact_single_calls, report.calls_with_arguments) == (1, 2)
    assert report.exact_single_call_share == 0.5


# --- The report.


def test_the_report_counts_everything_and_keeps_the_order_of_the_records(benchmark):
    records = [
        _make_record("z", (LONG, [])),
        _make_record("m", (UNRELATED, []), (UNRELATED, [])),
        _make_record("a", (UNRELATED, GOLD)),
    ]
    report = find_overlaps(iter(records), benchmark)
    assert (report.records, report.user_turns, report.questions) == (3, 4, 3)
    assert report.flagged == ("z", "a")
    assert DecontaminationReport.model_validate(report.to_json()) == report


def test_no_records_give_an_empty_report(benchmark):
    report = find_overlaps([], benchmark)
    assert (report.records, report.flagged, report.exact_single_call_share) == (0, (), 0)


def test_the_rendered_report_holds_counts_matches_and_flagged_records(benchmark):
    text = render_report(_compare(benchmark, (f"{LONG} |", GOLD), (LONG, [])), top=1)
    assert "| user turns equal to a question | 2 |" in text
    assert "## Equal questions: 1 of 2" in text
    assert "| r | 0 | multi_turn_base_0/0 | 100% | 100% | please water" in text
    assert "## Equal call lists: 1 of 1" in text
    assert text.endswith("## Flagged records\n\n- r\n")


def test_cells_of_the_rendered_report_stay_on_one_line(tmp_path):
    benchmark = Benchmark(name="b", questions={"q/0": "a b"}, calls={})
    assert "| r | 0 | q/0 | a \\| b |" in render_report(_compare(benchmark, ("a |\nb", [])))


def test_the_rendered_report_without_overlap_is_one_table(benchmark):
    assert "##" not in render_report(_compare(benchmark, (UNRELATED, [])))


# --- The real data.


@pytest.mark.bfcl
def test_all_of_bfcl_is_loaded():
    default = Path(__file__).resolve().parents[2] / ".venv-bfcl"
    venv = Path(os.environ.get("FUNREASON_BFCL_VENV", default))
    data = next(venv.glob("lib/python3*/site-packages/bfcl_eval/data"), None)
    if data is None:
        pytest.skip(f"BFCL is not set up in {venv}; run `python tools/bfcl.py setup`")
    benchmark = load_bfcl(data)
    assert len({turn.rpartition("/")[0] for turn in benchmark.questions}) == 800
    assert len({turn.rpartition("/")[0] for turn in benchmark.calls}) == 800
    assert benchmark.unparsed == {}
    text = benchmark.questions["multi_turn_base_0/2"]
    calls = benchmark.calls["multi_turn_base_0/3"]
    made = [(name, json.loads(arguments)) for name, arguments in calls]
    report = find_overlaps([_make_record("r", (text, made))], benchmark)
    assert report.exact_questions[0].benchmark_id == "multi_turn_base_0/2"
    assert report.exact_calls[0].benchmark_id == "multi_turn_base_0/3"
