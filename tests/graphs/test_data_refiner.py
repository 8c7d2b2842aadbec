"""The data refiner: modes, rounds, models, and that it goes on where it was ended."""

import copy
import json

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from scripts import calls
from threads import THREAD, open_saver

from funreason_agents.cli.refine import refine_data
from funreason_agents.errors import ConfigurationError, ExportError, PermanentModelError
from funreason_agents.graphs.compose import as_node
from funreason_agents.graphs.data_refiner import create_data_refiner
from funreason_agents.refinement import stages
from funreason_agents.refinement.counts import apply_outcomes
from funreason_agents.refinement.options import RefinementContext
from funreason_agents.testing.scripted import ModelCall, ScriptedChatModel

TOOL = {
    "type": "function",
    "function": {
        "name": "open_locker",
        "description": "Open a locker and list what is in it.",
        "parameters": {
            "type": "object",
            "properties": {"locker_number": {"type": "string"}, "times": {"type": "integer"}},
            "required": ["locker_number", "times"],
        },
    },
}


def message(arguments, name="open_locker"):
    function = {"name": name, "arguments": arguments}
    made = {"id": "call_0", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [made]}


def make_row(number, **changes):
    """A row whose right call opens locker L-<number> 5 times."""
    query = {"role": "user", "content": f"Open locker L-{number} 5 times."}
    right = {"locker_number": f"L-{number}", "times": 5, **changes}
    kept = {name: value for name, value in right.items() if value is not None}
    return {"prompt": [query], "completion": [message(kept)], "tools": [TOOL]}


def right_answer(row):
    number = row["prompt"][0]["content"].split()[2]
    return message({"locker_number": number, "times": 5})


GOOD = [make_row(number) for number in range(100, 104)]
REPAIRABLE = [make_row(number, times="5") for number in range(200, 203)]
UNCLEAR = [make_row(number, times=None) for number in range(300, 303)]
BAD = [make_row(number, locker_number="L-999") for number in range(400, 402)]
ROWS = [*GOOD, *REPAIRABLE, *UNCLEAR, *BAD, {"prompt": "none"}]
SMALL = RefinementContext(batch=2)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def outcomes(state):
    return [each["outcome"] for each in state["outcomes"]]


def check_sums(counts):
    total = counts["rows"]
    assert sum(counts["outcomes"].values()) == total
    assert sum(counts["forms"].values()) == total
    assert sum(sum(each.values()) for each in counts["stages"].values()) == total
    caught = total - sum(counts["stages"].get("none", {}).values())
    assert sum(counts["problems"].values()) == caught


def test_fcdr_saves_repairs_and_drops(data):
    state = create_data_refiner().invoke({"data": str(data), "mode": "fcdr"}, context=SMALL)
    assert outcomes(state) == ["saved"] * 7 + ["dropped"] * 6
    assert [each["key"] for each in state["outcomes"]] == [str(n) for n in range(len(ROWS))]
    assert state["counts"]["stages"] == {
        "0": {"dropped": 1},
        "2": {"dropped": 2},
        "4": {"dropped": 3, "saved": 3},
        "none": {"saved": 4},
    }
    check_sums(state["counts"])
    kept = apply_outcomes(ROWS, state["outcomes"])
    assert kept == [*GOOD, *(make_row(number) for number in range(200, 203))]


def test_rows_in_the_state_give_the_same_as_rows_in_a_file(data):
    graph = create_data_refiner()
    here, there = graph.invoke({"rows": ROWS}), graph.invoke({"data": str(data)})
    assert here["outcomes"] == there["outcomes"]


def test_split_adds_up(data):
    state = create_data_refiner().invoke({"data": str(data), "mode": "split"})
    assert state["counts"]["outcomes"] == {"dropped": 3, "hard": 6, "qualified": 4}
    check_sums(state["counts"])


def test_egpo_counts_by_its_two_stages(data):
    state = create_data_refiner().invoke({"data": str(data), "mode": "egpo"})
    assert outcomes(state) == ["saved"] * 7 + ["dropped"] * 6
    assert set(state["counts"]["stages"]) == {"0", "answer", "none"}
    check_sums(state["counts"])


class Student:
    """Answers rightly whatever it was trained up to: one more locker number each round."""

    def __init__(self):
        self.trained, self.asked = [], []

    def answer(self, rows, samples):
        self.asked.append(len(rows))
        return [[self._answer_one(row)] * samples for row in rows]

    def _answer_one(self, row):
        assert set(row) == {"prompt", "tools"}
        able = 2 * (len(self.trained) + 1)
        number = int(row["prompt"][0]["content"].split()[2][2:]) % 100
        first = 200 <= int(row["prompt"][0]["content"].split()[2][2:]) < 300
        place = number if first else number + 3
        return right_answer(row) if place < able else message({"locker_number": "L-1", "times": 1})

    def train(self, rows, number):
        assert number == len(self.trained) + 1
        self.trained.append(rows)


def test_hdr_goes_round_until_the_pool_is_empty(data):
    student = Student()
    graph = create_data_refiner(answer=student.answer, train=student.train)
    state = graph.invoke({"data": str(data), "mode": "hdr"}, context=SMALL)
    counts = state["counts"]
    assert counts["outcomes"] == {"dropped": 3, "qualified": 4, "recovered": 6}
    assert [(each["asked"], each["kept"]) for each in counts["rounds"]] == [(6, 2), (4, 2), (2, 2)]
    assert [each["answers"] for each in counts["rounds"]] == [18, 12, 6]
    assert [len(rows) for rows in student.trained] == [2, 2, 2]
    assert student.trained[0][0]["completion"] == make_row(200)["completion"]
    check_sums(counts)


def test_hdr_ends_after_the_last_round_with_a_student_that_never_learns(data):
    student = Student()
    graph = create_data_refiner(answer=lambda rows, n: [[message({})]] * len(rows))
    state = graph.invoke(
        {"data": str(data), "mode": "hdr"}, context=RefinementContext(max_rounds=2)
    )
    assert len(state["counts"]["rounds"]) == 2
    assert state["counts"]["outcomes"]["hard"] == 6
    assert student.trained == []


def judge_of(score):
    return ScriptedChatModel(respond=lambda *_: {"score": score})


@pytest.mark.parametrize(("scores", "kept"), [((0.5, 0.8, 1), 6), ((1, 1, 0.4), 0)])
def test_hdr_keeps_what_all_judges_agree_on(data, scores, kept):
    graph = create_data_refiner(
        answer=lambda rows, n: [[right_answer(row)] for row in rows],
        judges=[judge_of(score) for score in scores],
    )
    state = graph.invoke(
        {"data": str(data), "mode": "hdr"}, context=RefinementContext(max_rounds=1)
    )
    assert state["counts"]["rounds"][0]["kept"] == kept
    assert state["counts"]["rounds"][0]["passed_gates"] == 6


def model_that(answer_call, refuse=()):
    """A model that passes every check but those in `refuse`, and answers anew by a function."""

    def respond(messages, tools):
        call = ModelCall(tuple(messages), tuple(tools))
        if call.role == "refine_answer":
            return answer_call(call)
        return {"passed": call.data["check"] not in refuse}

    return ScriptedChatModel(respond=respond)


def answer_right(call):
    function = right_answer({"prompt": call.data["conversation"]})["tool_calls"][0]["function"]
    return {"reasoning": "As asked.", "calls": [function]}


def test_model_answers_anew_what_code_cannot_repair(data):
    model = model_that(answer_right)
    state = create_data_refiner(model=model).invoke({"data": str(data)})
    assert outcomes(state) == ["saved"] * 10 + ["dropped"] * 3
    assert state["counts"]["repaired"] == {"code": 3, "model": 3}
    assert len(calls(model, "refine_answer")) == 3
    kept = apply_outcomes(ROWS, state["outcomes"])
    assert kept[7:] == [make_row(number) for number in range(300, 303)]


def test_answers_of_no_use_are_counted_by_their_kind_and_leave_no_text(data):
    state = create_data_refiner(model=model_that(lambda _: "sorry")).invoke({"data": str(data)})
    assert state["counts"]["failures"] == {"malformed": 3}
    assert state["counts"]["regenerations"] == 9
    assert "sorry" not in json.dumps(state["outcomes"])


def test_judge_only_lowers_what_is_accepted(data):
    state = create_data_refiner(model=model_that(answer_right, {"query"})).invoke(
        {"data": str(data)}
    )
    assert outcomes(state) == ["dropped"] * len(ROWS)
    assert state["counts"]["problems"]["2: refused_by_judge"] == 10


def test_run_that_broke_goes_on_and_ends_as_an_undisturbed_one(data, tmp_path):
    whole = Student()
    parts = {"answer": whole.answer, "train": whole.train}
    expected = create_data_refiner(**parts).invoke(
        {"data": str(data), "mode": "hdr"}, context=SMALL
    )
    student, left = Student(), [0]

    def answer(rows, samples):
        left[0] += 1
        if left[0] % 2 == 0:
            raise ConfigurationError("the machine went away")
        return student.answer(rows, samples)

    with open_saver(tmp_path / "threads.sqlite") as saver:
        asked, state, breaks = {"data": str(data), "mode": "hdr"}, None, 0
        while state is None:
            graph = create_data_refiner(answer=answer, train=student.train, checkpointer=saver)
            try:
                state = graph.invoke(asked, THREAD, context=SMALL)
            except ConfigurationError:
                breaks, asked = breaks + 1, None
        assert breaks > 2
        assert state == expected
        assert student.trained == whole.trained
        assert student.asked == whole.asked


def test_checkpoints_do_not_hold_the_rows(data, tmp_path):
    path = tmp_path / "threads.sqlite"
    with open_saver(path) as saver:
        create_data_refiner(checkpointer=saver).invoke({"data": str(data)}, THREAD, context=SMALL)
    assert b"Open locker" not in path.read_bytes()


def test_data_that_changed_meanwhile_are_refused(data):
    saver = InMemorySaver()
    graph = create_data_refiner(answer=_break, checkpointer=saver)
    with pytest.raises(ConfigurationError, match="went away"):
        graph.invoke({"data": str(data), "mode": "hdr"}, THREAD)
    data.write_text(json.dumps(GOOD[0]) + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="has changed"):
        graph.invoke(None, THREAD)


def _break(rows, samples):
    raise ConfigurationError("the machine went away")


def test_thread_can_be_used_again(data):
    graph = create_data_refiner(checkpointer=InMemorySaver())
    graph.invoke({"data": str(data)}, THREAD)
    again = graph.invoke({"data": str(data), "mode": "split"}, THREAD)
    assert again["counts"]["rows"] == len(ROWS)


def test_new_input_on_a_used_thread_wins(data):
    graph = create_data_refiner(checkpointer=InMemorySaver())
    graph.invoke({"data": str(data), "mode": "split"}, THREAD)
    rows = graph.invoke({"rows": BAD}, THREAD)["counts"]
    assert rows["outcomes"] == {"dropped": 2}  # fcdr, of the rows
    assert graph.invoke({"data": str(data)}, THREAD)["counts"]["rows"] == len(ROWS)
    with pytest.raises(ConfigurationError, match="no rows"):
        graph.invoke({"rows": []}, THREAD)
    with pytest.raises(ConfigurationError, match="cannot read rows"):
        graph.invoke({"data": "nowhere.jsonl", "mode": "split"}, THREAD)
    after = graph.invoke({"rows": GOOD}, THREAD)["counts"]  # what failed does not stick either
    assert after["outcomes"] == {"saved": 4}


def test_rows_and_mode_last_for_a_run_that_goes_on():
    saver, whole = InMemorySaver(), {"answer": lambda rows, n: [[right_answer(r)] for r in rows]}
    broken = create_data_refiner(answer=_break, checkpointer=saver)
    with pytest.raises(ConfigurationError, match="went away"):
        broken.invoke({"rows": ROWS, "mode": "hdr"}, THREAD, context=SMALL)
    state = create_data_refiner(**whole, checkpointer=saver).invoke(None, THREAD, context=SMALL)
    assert state["counts"]["outcomes"] == {"dropped": 3, "qualified": 4, "recovered": 6}


@pytest.mark.parametrize("mode", ["fcdr", "split", "egpo"])
def test_row_that_breaks_the_checks_is_dropped_and_counted(mode, monkeypatch, caplog):
    check = stages.find_first

    def find_first(step, *given):
        if "L-102" in str(step.row):
            raise KeyError("unforeseen")
        return check(step, *given)

    monkeypatch.setattr(stages, "find_first", find_first)
    state = create_data_refiner().invoke({"rows": GOOD, "mode": mode})
    assert outcomes(state).count("dropped") == 1
    assert state["counts"]["problems"] == {"0: unreadable_row": 1}
    assert [each.getMessage() for each in caplog.records].count(
        "could not check a row or an answer: KeyError"
    ) == 1
    check_sums(state["counts"])


def test_provider_trouble_still_ends_the_run():
    def respond(messages, tools):
        raise PermanentModelError("no such model", stops_run=True)

    with pytest.raises(PermanentModelError):
        create_data_refiner(model=ScriptedChatModel(respond=respond)).invoke({"rows": GOOD})


def test_offline_judge_is_refused_where_the_graph_is_built():
    with pytest.raises(ConfigurationError, match="offline model cannot be one of `judges`"):
        create_data_refiner(judges=[judge_of(1), "offline"])


def test_student_does_not_recover_the_answer_that_a_judge_refused():
    left = [1]

    def respond(messages, tools):
        call = ModelCall(tuple(messages), tuple(tools))
        if call.data["check"] != "answer":
            return {"passed": True}
        left[0] -= 1
        return {"passed": left[0] < 0}

    model = ScriptedChatModel(respond=respond)
    graph = create_data_refiner(model=model, answer=lambda rows, n: [GOOD[0]["completion"]])
    once = RefinementContext(max_rounds=1)
    state = graph.invoke({"rows": GOOD[:1], "mode": "hdr"}, context=once)
    assert outcomes(state) == ["hard"]


def test_student_is_shown_tools_that_a_row_has_as_text():
    hard = {**REPAIRABLE[0], "tools": json.dumps([TOOL])}
    asked = []

    def answer(rows, samples):
        asked.extend(rows)
        return [[right_answer(row)] for row in rows]

    state = create_data_refiner(answer=answer).invoke({"rows": [hard], "mode": "hdr"})
    assert outcomes(state) == ["recovered"]
    assert asked[0]["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rows": []}, "no rows"),
        ({}, "no rows"),
        ({"rows": GOOD, "mode": "best"}, "unknown mode"),
        ({"rows": GOOD, "mode": "hdr"}, "needs a student: --student, or create_data_refiner"),
        ({"data": "nowhere.jsonl"}, "cannot read rows"),
    ],
)
def test_bad_input_is_said_clearly(asked, said):
    with pytest.raises(ConfigurationError, match=said):
        create_data_refiner().invoke(asked)


def test_it_is_a_node_of_anybodys_graph():
    node = as_node(
        create_data_refiner(),
        read=lambda state: {"rows": state["mine"]},
        write=lambda out: {"saved": out["counts"]["outcomes"]["saved"]},
    )
    assert node.invoke({"mine": copy.deepcopy(ROWS)}) == {"saved": 7}


def test_command_writes_each_row_once_and_goes_on_where_it_stopped(data, tmp_path):
    out = tmp_path / "out"
    broken = {"answer": _break, "mode": "hdr", "out": out, "context": SMALL}
    with pytest.raises(ConfigurationError, match="went away"):
        refine_data(data, **broken)
    assert not (out / "kept.jsonl").exists()
    answer = {"answer": lambda rows, n: [[right_answer(row)] for row in rows]}
    report = refine_data(data, **{**broken, **answer})
    assert report["files"] == {"kept.jsonl": 10, "hard.jsonl": 0, "dropped.jsonl": 3}
    assert json.loads((out / "refinement.json").read_text()) == report
    assert len((out / "kept.jsonl").read_text().splitlines()) == 10
    before = (out / "kept.jsonl").read_bytes()
    assert refine_data(data, **broken) == report  # it has ended, so nobody is asked
    assert (out / "kept.jsonl").read_bytes() == before
    with pytest.raises(ConfigurationError, match="holds another run"):
        refine_data(data, out=out, mode="split")


def test_command_says_what_is_wrong_with_a_file(tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": []}\n{"prompt', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 2: not JSON"):
        refine_data(broken, out=tmp_path / "out")
    broken.write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no rows"):
        refine_data(broken, out=tmp_path / "out")
    broken.write_text('{"certificate": 1}\n', encoding="utf-8")
    with pytest.raises(ExportError, match="not a whole record"):
        refine_data(broken, out=tmp_path / "out")
