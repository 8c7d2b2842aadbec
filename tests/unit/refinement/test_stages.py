"""What becomes of rows: refusals that stand, rows that break, equal calls, EGPO's second stage."""

import logging

import pytest

from funreason_agents.errors import ModelOutputError, TransientModelError
from funreason_agents.refinement.checks import find_first
from funreason_agents.refinement.counts import apply_outcomes, count_outcomes
from funreason_agents.refinement.rows import Step
from funreason_agents.refinement.stages import (
    attempt,
    find_mismatch,
    find_passing,
    prepare_row,
    refine_row,
    split_row,
)


def tool(name, description, required=(), **properties):
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
DIE = tool("roll_die", "Roll a die.", ["sides"], sides=NUMBER)
PASSWORD = tool("generate_password", "Make up a password.", ["length"], length=NUMBER)
LOCKER = tool("open_locker", "Open a locker.", ["number", "times"], number=TEXT, times=NUMBER)
PLAYLIST = tool("start_playlist", "Begin a list of songs.", ["genre"], genre=TEXT)
CONVERT = tool("convert_temperature", "Convert a reading.", value={"type": "number"}, to=TEXT)
CLOCK = tool("get_clock", "Tell the hour.")


def call(name, arguments):
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(*calls, content="", reasoning=""):
    message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    return {**message, "tool_calls": list(calls)} if calls else message


def row(asked, message, *tools):
    prompt = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    return {"prompt": prompt, "completion": [message], "tools": list(tools)}


def problem(given):
    found = find_first(Step(given, given["completion"][0]))
    return found and found.problem


def open_locker(**changes):
    return answer(call("open_locker", {"number": "L-7", "times": 5, **changes}))


OPEN = "Open locker L-7 5 times."


class Judge:
    """Refuses check 4 as often as it is told to, then lets everything pass."""

    def __init__(self, refusals=1):
        self.left, self.asked = refusals, []

    def __call__(self, stage, step):
        if stage != 4:
            return None
        self.asked.append(step.response.calls[0].arguments)
        self.left -= 1
        return "refused_by_judge" if self.left >= 0 else None


@pytest.mark.parametrize("refine", [refine_row, prepare_row])
def test_refusal_of_a_judge_stands_for_that_answer(refine):
    judge = Judge()
    outcome = refine(row(OPEN, open_locker(), LOCKER), judge=judge)
    assert (outcome["outcome"], outcome["problem"]) == ("dropped", "refused_by_judge")
    assert len(judge.asked) == 1


@pytest.mark.parametrize("refine", [refine_row, prepare_row])
def test_refused_answer_that_is_written_otherwise_stays_refused(refine):
    written = answer(content="[open_locker(number='L-7', times=5)]")
    judge = Judge()
    assert refine(row(OPEN, written, LOCKER), judge=judge)["outcome"] == "dropped"
    assert len(judge.asked) == 1
    saved = refine(row(OPEN, written, LOCKER), judge=Judge(0))
    assert (saved["outcome"], saved["repaired_by"]) == ("saved", "code")


def test_what_code_finds_wrong_is_still_repaired_under_a_judge():
    outcome = refine_row(row(OPEN, open_locker(times="5"), LOCKER), judge=Judge(0))
    assert (outcome["outcome"], outcome["repaired_by"]) == ("saved", "code")
    again = refine_row(row(OPEN, open_locker(times="5"), LOCKER), judge=Judge(1))
    assert again["outcome"] == "dropped"


def test_judge_is_not_asked_again_about_an_answer_that_a_model_repeats():
    judge = Judge()
    outcome = refine_row(
        row(OPEN, open_locker(), LOCKER), judge=judge, regenerate=lambda *_: open_locker()
    )
    assert (outcome["outcome"], outcome["regenerations"]) == ("dropped", 3)
    assert len(judge.asked) == 1
    # Another answer is another question.
    outcome = refine_row(
        row(f"{OPEN} Or 7 times.", open_locker(), LOCKER),
        judge=Judge(),
        regenerate=lambda *_: open_locker(times=7),
    )
    assert (outcome["outcome"], outcome["repaired_by"]) == ("saved", "model")


def test_student_does_not_recover_what_a_judge_refused():
    given = row(f"{OPEN} Or 7 times.", open_locker(), LOCKER)
    outcome = split_row(given, judge=Judge())
    assert (outcome["outcome"], outcome["judged"]) == ("hard", True)
    answers = [open_locker(), open_locker(times=7)]
    assert find_passing(given, answers, Judge(0), judged=True) == [answers[1]]
    assert find_passing(given, answers, Judge(0)) == answers
    assert "judged" not in split_row(row(OPEN, open_locker(times="5"), LOCKER))


def test_row_that_breaks_a_check_gives_what_is_said_for_it(caplog):
    def work(row, judge=None):
        return row["prompt"] + 1

    with caplog.at_level(logging.WARNING):
        assert attempt(work, {"prompt": "a secret"}, otherwise="broken", judge=None) == "broken"
    (logged,) = caplog.records
    assert "TypeError" in logged.getMessage()
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "error", [TransientModelError("away"), OSError("disk full"), KeyError("a bug of the client")]
)
def test_what_asking_a_model_raises_is_raised(error):
    def judge(stage, step):
        raise error

    with pytest.raises(type(error)):
        attempt(refine_row, row(OPEN, open_locker(), LOCKER), otherwise={}, judge=judge)


def test_answer_of_no_use_is_still_an_outcome():
    def regenerate(step, finding):
        raise ModelOutputError("sorry")

    broken = row(OPEN, open_locker(times=None), LOCKER)
    outcome = attempt(refine_row, broken, otherwise={}, regenerate=regenerate)
    assert (outcome["outcome"], outcome["failure"]) == ("dropped", "malformed")


def test_student_answer_that_cannot_be_read_does_not_pass():
    given = row(OPEN, open_locker(times="5"), LOCKER)
    assert find_passing(given, ["text", None, open_locker()]) == [open_locker()]


def twice(name, arguments):
    return answer(call(name, arguments), call(name, arguments))


ASKED_BACK = [
    {"role": "user", "content": "Roll a die twice."},
    {"role": "assistant", "content": "How many sides has it?"},
    {"role": "user", "content": "6"},
]


@pytest.mark.parametrize(
    ("asked", "given", "offered"),
    [
        ("Roll a 6-sided die twice.", twice("roll_die", {"sides": 6}), DIE),
        ("Roll two 6-sided dice.", twice("roll_die", {"sides": 6}), DIE),
        ("I need 2 rolls with 6 sides.", twice("roll_die", {"sides": 6}), DIE),
        ("Give me two rolls of a 2-sided die.", twice("roll_die", {"sides": 2}), DIE),
        ("Roll the 6-sided die, then do it again.", twice("roll_die", {"sides": 6}), DIE),
        ("Passwords of length 12 for Ann and Bob.", twice("generate_password", {"length": 12}),
         PASSWORD),
        (ASKED_BACK, twice("roll_die", {"sides": 6}), DIE),
    ],
)  # fmt: skip
def test_equal_calls_that_the_request_may_mean_are_kept(asked, given, offered):
    outcome = refine_row(row(asked, given, offered))
    assert (outcome["outcome"], "completion" in outcome) == ("saved", False)


@pytest.mark.parametrize(
    ("asked", "given", "offered"),
    [
        ("Roll a 6-sided die.", twice("roll_die", {"sides": 6}), DIE),
        ("Roll a 2-sided die.", twice("roll_die", {"sides": 2}), DIE),
        ("A password of length 12, please.", twice("generate_password", {"length": 12}), PASSWORD),
        (OPEN, twice("open_locker", {"number": "L-7", "times": 5}), LOCKER),
        ("One more thing: open locker L-7 5 times. Thanks!",
         twice("open_locker", {"number": "L-7", "times": 5}), LOCKER),
        ([*ASKED_BACK[:1], {"role": "assistant", "content": "Done."},
          {"role": "user", "content": "Roll a 6-sided die."}], twice("roll_die", {"sides": 6}),
         DIE),
    ],
)  # fmt: skip
def test_equal_calls_that_nothing_asks_for_are_a_fault_that_code_does_not_repair(
    asked, given, offered
):
    found = row(asked, given, offered)
    assert problem(found) == "repeated_call"
    assert refine_row(found)["outcome"] == "dropped"
    once = answer(given["tool_calls"][0])
    saved = refine_row(found, regenerate=lambda *_: once)
    assert (saved["outcome"], saved["repaired_by"]) == ("saved", "model")


NESTED = tool(
    "list_cases",
    "List cases.",
    filter={
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["open", "closed"]},
            "tags": {"type": "array", "items": {"anyOf": [{"enum": ["new"]}, {"type": "string"}]}},
            "page": {"$ref": "#/$defs/Page"},
        },
        "default": {"owner": "team-7"},
    },
)
NESTED["function"]["parameters"]["$defs"] = {
    "Page": {"type": "object", "properties": {"order": {"const": "newest"}}}
}


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"status": "open"}, None),
        ({"tags": ["new"]}, None),
        ({"page": {"order": "newest"}}, None),
        ({"owner": "team-7"}, None),
        ({"status": "pending"}, "underivable_value"),
        ({"tags": ["open"]}, "underivable_value"),
        ({"tags": ["old"]}, "underivable_value"),
        ({"page": {"order": "open"}}, "underivable_value"),
    ],
)
def test_value_inside_an_argument_may_be_an_option_of_its_own_place(chosen, found):
    given = row("Show me the cases.", answer(call("list_cases", {"filter": chosen})), NESTED)
    assert problem(given) == found


@pytest.mark.parametrize(
    ("asked", "name", "arguments", "offered"),
    [
        ("Play some jazz.", "start_playlist", {"genre": "jazz"}, PLAYLIST),
        ("What is 12 Celsius in Fahrenheit?", "convert_temperature",
         {"value": 12, "to": "Fahrenheit"}, CONVERT),
        ("Spiel bitte Jazz.", "start_playlist", {"genre": "jazz"}, PLAYLIST),
    ],
)  # fmt: skip
def test_egpo_keeps_a_call_whose_values_were_said(asked, name, arguments, offered):
    assert prepare_row(row(asked, answer(call(name, arguments)), offered))["outcome"] == "saved"


@pytest.mark.parametrize("arguments", [{}, {"flag": True}, {"count": 1}])
def test_egpo_drops_a_call_of_which_nothing_was_said(arguments):
    offered = tool("get_clock", "Tell the hour.", flag={"type": "boolean"}, count=NUMBER)
    given = row("Sing me something.", answer(call("get_clock", arguments)), offered)
    assert prepare_row(given)["problem"] == "call_without_tool"


FLIGHT = tool(
    "book_flight",
    "Book a flight.",
    travel_class={"type": "string", "enum": ["economy", "business"]},
    passport={"type": "string", "description": "Two letters and 7 digits."},
)


@pytest.mark.parametrize(
    "text",
    [
        'Which class, "economy" or "business"?',
        'The classes are "economy" and "business".',
        "Please send me your 16-digit card number.",
        "On which day? Please write it as YYYY-MM-DD, such as 2026-05-01.",
        "I need the date, e.g. 2026-05-01.",
        "Please tell me:\n- the 16-digit card number\n- the day, such as 2026-05-01",
        "The date should be in the format YYYY-MM-DD, such as 2026-05-01.",
    ],
)
def test_egpo_keeps_a_reply_that_asks(text):
    assert prepare_row(row("Book a flight.", answer(content=text), FLIGHT))["outcome"] == "saved"


@pytest.mark.parametrize(
    "text",
    [
        "Your flight is BX-4410.",
        "Your flight is BX-4410. Is there anything else?",
        "Please note that your flight is BX-4410.",
        "We provide the flight BX-4410.",
        "Do you want more? I have booked:\n- BX-4410 on 2026-05-01",
    ],
)
def test_egpo_drops_a_reply_that_states_what_nobody_has_said(text):
    given = row("Book a flight.", answer(content=text), FLIGHT)
    assert prepare_row(given)["problem"] == "text_without_call"


@pytest.mark.parametrize(
    ("reasoning", "found"),
    [
        ("open_locker: the usual times is 10, but the user wants 5, so I pass 5.", None),
        ("open_locker: the times is 10, no, I pass 5.", None),
        ("open_locker: the default times is 10.", None),
        ("open_locker: the user says 5, so the times is 10.", "another_value"),
        ("open_locker: the times is 10, so I pass 10.", "another_value"),
        ("open_locker: the default times is 10, the times is 7.", "another_value"),
    ],
)
def test_reasoning_may_come_to_the_value_after_another(reasoning, found):
    message = {**open_locker(), "reasoning_content": reasoning}
    assert problem(row(f"{OPEN} Or 10, or 7.", message, LOCKER)) == found


def test_reasoning_may_write_a_time_otherwise():
    meet = tool("plan_meeting", "Plan a meeting.", time=TEXT)
    said = "The time is 3 pm, so plan_meeting with 15:00."
    message = answer(call("plan_meeting", {"time": "15:00"}), reasoning=said)
    assert problem(row("Plan a meeting at 3 pm (15:00).", message, meet)) is None
    other = {**message, "reasoning_content": "The time is 3 pm, so plan_meeting with 16:00."}
    assert problem(row("At 3 pm, so 15:00 or 16:00.", other, meet)) == "another_value"


def test_egpo_row_that_is_repaired_and_then_dropped_has_its_own_answer():
    given = row(OPEN, open_locker(times="5"), LOCKER)
    outcome = prepare_row(given, needs_call=lambda _: False)
    assert (outcome["outcome"], outcome["stage"]) == ("dropped", "ast")
    assert "repaired_by" not in outcome
    keyed = [{"key": "0", **outcome}]
    assert count_outcomes(keyed)["repaired"] == {}
    assert apply_outcomes([given], keyed, ("dropped",)) == [given]
    kept = [{"key": "0", **prepare_row(given)}]
    assert count_outcomes(kept)["repaired"] == {"code": 1}


def test_mismatch_of_a_call_whose_tool_is_not_offered():
    given = row("What hour is it?", answer(call("get_clock", {})), DIE)
    assert find_mismatch(Step(given, given["completion"][0])) == "call_without_tool"
