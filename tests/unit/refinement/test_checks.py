"""Each check, each repair, on rows small enough to see what is wrong with them."""

import copy

import pytest

from funreason_agents.refinement.checks import Finding, find_first
from funreason_agents.refinement.notation import find_written_calls, looks_like_call
from funreason_agents.refinement.responses import read_response
from funreason_agents.refinement.rows import Step, find_row_problem, to_step_rows
from funreason_agents.refinement.stages import (
    find_mismatch,
    find_passing,
    prepare_row,
    refine_row,
    split_row,
)

BOOK = {
    "type": "function",
    "function": {
        "name": "reserve_book",
        "description": "Put copies of a book on hold in a shop.",
        "parameters": {
            "type": "object",
            "properties": {
                "isbn": {"type": "string"},
                "copies": {"type": "integer"},
                "cover": {"type": "string", "enum": ["Hardback", "Paperback"]},
                "notes": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["isbn", "copies"],
        },
    },
}
SHIP = {
    "type": "function",
    "function": {
        "name": "ship_order",
        "description": "Send an order to a customer's address.",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}, "branch_code": {"type": "string"}},
            "required": ["order_id"],
        },
    },
}
ASK = "Please hold 3 copies of 978-44 for me, hardback."
RIGHT = {"isbn": "978-44", "copies": 3, "cover": "Hardback"}
THOUGHT = "The user wants copies on hold, so reserve_book with the isbn 978-44."


def call(arguments=None, name="reserve_book", **more):
    function = {"name": name, "arguments": dict(RIGHT if arguments is None else arguments)}
    return {"id": "c", "type": "function", "function": function, **more}


def answer(*calls, content="", reasoning=THOUGHT):
    message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = list(calls)
    return message


def row(message, prompt=None, tools=(BOOK, SHIP)):
    said = prompt or [{"role": "user", "content": ASK}]
    return {"prompt": said, "completion": [message], "tools": list(tools)}


def first(message, **more):
    found = find_first(Step(row(message, **more), message))
    return found and (found.stage, found.problem)


def test_right_call_passes_and_text_is_saved():
    assert first(answer(call())) is None
    assert refine_row(row(answer(call())))["outcome"] == "saved"
    text = refine_row(row(answer(content="Which shop shall I ask?", reasoning="")))
    assert (text["outcome"], text["form"], text["stage"]) == ("saved", "text", None)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (answer(content="  "), (1, "empty")),
        (answer(content="?!"), (1, "no_words")),
        (answer(content="Done.<|im_end|>"), (1, "markup")),
        (answer(content="Let me call reserve_book."), (1, "announced_call")),
        (answer(content="One moment please."), (1, "announced_call")),
        (answer(content="Sure. Hold on, I'm checking the stock."), (1, "announced_call")),
        (answer(content="The first is on hold. Let me look up the other."), (1, "announced_call")),
        (answer(content="I'll check again once you tell me the shop."), None),
        (answer(content="Which shop is it? I will look there."), None),
        (answer(content="It is on hold. Let me know if you want more."), None),
        (answer(content="Okay, I\u2019ll check that for you."), (1, "announced_call")),
        (answer(content="Your books are ready. I'm looking forward to your visit."), None),
        (answer(content="I have reserved a second copy for you."), None),
        (answer(content="Both books are on hold on your account."), None),
        (answer(content="The wait is about a minute."), None),
        (answer(content="You can wait for the sale or buy it now."), None),
        (answer(content="I found no results for this name."), None),
        (answer(call(name="reserve_books")), (2, "unknown_tool")),
        (answer(call({**RIGHT, "isbn": "978-45"})), (2, "underivable_value")),
        (answer(call({**RIGHT, "copies": 4})), (2, "underivable_value")),
        (answer(call(), reasoning="Hm."), (3, "no_sentence")),
        (answer(call(), reasoning=f"{THOUGHT} </think>"), (3, "markup")),
        (
            answer(call(), reasoning=f"{THOUGHT} Let me look at it again, really. " * 5),
            (3, "loops"),
        ),
        (answer(call(), reasoning=f"{THOUGHT} Then the"), (3, "cut_off")),
        (answer(call(), reasoning=f"{THOUGHT} None of the tools fits."), (3, "declines")),
        (answer(call(), reasoning="The order is sent by ship_order."), (3, "another_tool")),
        (answer(call(), reasoning=f"{THOUGHT} The copies should be 5."), (3, "another_value")),
        (answer(call(), reasoning=f"{THOUGHT} Her card is CX-99812."), (3, "invented_value")),
        (answer(call({**RIGHT, "copies": "3"})), (4, "wrong_type")),
        (answer(call({"isbn": "978-44"})), (4, "missing_parameter")),
        (answer(call({**RIGHT, "gift": True})), (4, "unknown_parameter")),
        (answer(call({**RIGHT, "cover": "hardback"})), (4, "wrong_value")),
        (answer(call(), call()), (4, "repeated_call")),
        (answer(content="[reserve_book(isbn='978-44', copies=3)]"), (5, "written_as_text")),
        (answer({"name": "reserve_book", "arguments": RIGHT}), (5, "flat_call")),
        (answer(content='<tool_call>{"name": "reserve_b'), (5, "unreadable_call")),
    ],
)
def test_each_fault_is_found_by_its_check(message, found):
    assert first(message) == found


def test_reasoning_that_corrects_itself_ends_at_the_answer():
    said = f"{THOUGHT} The copies is 5. No, wait: the copies is 3."
    assert first(answer(call(), reasoning=said)) is None


def test_values_may_come_from_results_but_not_from_the_arguments_of_calls():
    message = answer(call({"order_id": "O-551"}, "ship_order"), reasoning="")
    ask = {"role": "user", "content": "Send it."}
    asked = answer(call({"order_id": "O-551"}, "ship_order"), reasoning="")
    tool = {"role": "tool", "tool_call_id": "c", "content": '{"order_id": "O-551"}'}
    assert first(message, prompt=[ask, asked, tool]) is None
    blank = {**tool, "content": '{"status": "ok"}'}
    assert first(message, prompt=[ask, asked, blank]) == (2, "underivable_value")


def test_values_that_changed_places_are_put_back_where_results_label_them():
    tool = {"role": "tool", "content": '{"order_id": "O-551", "branch_code": "B-17"}'}
    prompt = [{"role": "user", "content": "Send it."}, tool]
    swapped = answer(call({"order_id": "B-17", "branch_code": "O-551"}, "ship_order"), reasoning="")
    assert first(swapped, prompt=prompt) == (4, "swapped_values")
    fixed = refine_row(row(swapped, prompt=prompt))["completion"]["tool_calls"][0]["function"]
    assert fixed["arguments"] == {"order_id": "O-551", "branch_code": "B-17"}


@pytest.mark.parametrize(
    "arguments",
    [
        {**RIGHT, "copies": "3"},
        {**RIGHT, "copies": 3.0, "cover": "hard-back"},
        {"ISBN": "978-44", "copies": 3, "cover": "Hardback"},
        {"isbn": "978-44", "copie": 3, "cover": "Hardback"},
    ],
)
def test_repaired_arguments_equal_the_truth(arguments):
    message = answer(call(arguments))
    outcome = refine_row(row(message))
    assert (outcome["repaired_by"], outcome["stage"]) == ("code", 4)
    kept = outcome["completion"]
    assert kept["tool_calls"][0]["function"]["arguments"] == RIGHT
    assert kept["reasoning_content"] == THOUGHT


def test_what_is_in_doubt_is_dropped_and_not_guessed():
    for arguments in ({"isbn": "978-44"}, {**RIGHT, "gift": True}, {**RIGHT, "copies": "3 or so"}):
        outcome = refine_row(row(answer(call(arguments))))
        assert outcome["outcome"] == "dropped", arguments
        assert "completion" not in outcome


@pytest.mark.parametrize(
    "text",
    [
        "[reserve_book(isbn='978-44', copies=3, cover='Hardback')]",
        "reserve_book(isbn='978-44', copies=3, cover='Hardback')",
        "reserve_book(isbn=978-44, copies=3, cover=Hardback)",
        'Here you are: reserve_book(isbn="978-44", copies=3, cover="Hardback")',
        "```python\nreserve_book(isbn='978-44', copies=3, cover='Hardback')\n```",
        "{'name': 'reserve_book', 'arguments': {'isbn': '978-44', 'copies': 3, "
        "'cover': 'Hardback',}}",
        '{"reserve_book": {"isbn": "978-44", "copies": 3, "cover": "Hardback"}}',
        'Action: reserve_book\nAction Input: {"isbn": "978-44", "copies": 3, "cover": "Hardback"}',
        '<tool_call>{"name": "reserve_book", "arguments": '
        '{"isbn": "978-44", "copies": 3, "cover": "Hardback"}}</tool_call>',
        f"<think>\n{THOUGHT}\n</think>\n\n"
        "[reserve_book(isbn='978-44', copies=3, cover='Hardback')]",
    ],
)
def test_written_calls_become_tool_calls(text):
    outcome = refine_row(row(answer(content=text)))
    assert (outcome["outcome"], outcome["stage"], outcome["repaired_by"]) == ("saved", 5, "code")
    kept = outcome["completion"]
    assert kept["content"] == ""
    assert kept["reasoning_content"] == THOUGHT
    assert kept["tool_calls"][0]["function"] == {"name": "reserve_book", "arguments": RIGHT}
    assert find_first(Step(row(kept), kept)) is None


@pytest.mark.parametrize(
    "text",
    [
        "[reserve_book(isbn='978-44', copies=3",
        "[reserve_book('978-44', copies=3)]",
        "[reserve_book(isbn=open('x').read())]",
        '{"name": "reserve_book", "arguments": {"isbn": "978',
    ],
)
def test_what_is_cut_off_or_no_literal_is_not_completed(text):
    assert find_written_calls(text, {"reserve_book"}) == []
    assert looks_like_call(text)
    assert refine_row(row(answer(content=text)))["outcome"] == "dropped"


@pytest.mark.parametrize(
    "text", ["Done (see above).", "I hold 3 (three) copies.", '{"total": 3}', "[sic]", "f(x) = 2"]
)
def test_words_are_no_calls(text):
    assert read_response({"content": text}, {"reserve_book"}).form == "text"


def test_split_puts_answer_faults_in_the_hard_pool_and_repairs_nothing():
    good, hard = row(answer(call())), row(answer(call({**RIGHT, "copies": "3"})))
    bad = row(answer(call(name="nothing")))
    found = [split_row(each) for each in (good, hard, bad, {"prompt": []})]
    assert [each["outcome"] for each in found] == ["qualified", "hard", "dropped", "dropped"]
    assert not any("completion" in each for each in found)


def test_student_answers_must_be_calls_that_pass_both_gates():
    wrong = answer(call({**RIGHT, "copies": "3"}))
    text = answer(content="I cannot do that.")
    right = answer(call())
    assert find_passing(row(wrong), [wrong, text, right]) == [right]


def test_model_answers_anew_at_most_three_times_and_is_checked_again():
    asked = []

    def regenerate(step, finding):
        asked.append(finding)
        wrong = len(asked) < 3
        return answer(call({**RIGHT, "isbn": "made-up"} if wrong else RIGHT))

    broken = row(answer(call({"isbn": "978-44"})))
    outcome = refine_row(broken, regenerate=regenerate)
    assert (outcome["outcome"], outcome["regenerations"]) == ("saved", 3)
    assert asked == [
        Finding(4, "missing_parameter"),
        Finding(2, "underivable_value"),
        Finding(2, "underivable_value"),
    ]
    never = refine_row(broken, regenerate=lambda *_: answer(call({"isbn": "978-44"})))
    assert (never["outcome"], never["regenerations"]) == ("dropped", 3)


def test_judge_may_refuse_but_not_accept():
    good, bad = row(answer(call())), row(answer(call(name="nothing")))
    assert refine_row(good, judge=lambda stage, _: "no" if stage == 3 else None)["stage"] == 3
    assert refine_row(bad, judge=lambda *_: None)["outcome"] == "dropped"


def test_egpo_drops_calls_without_a_tool_and_text_that_should_be_a_call():
    text = answer(content="Order O-7781 holds them now.", reasoning="")
    dropped = prepare_row(row(text))
    assert (dropped["stage"], dropped["problem"]) == ("ast", "text_without_call")
    asks = answer(content="Which cover do you want?", reasoning="")
    assert prepare_row(row(asks))["outcome"] == "saved"
    assert prepare_row(row(asks), needs_call=lambda _: True)["problem"] == "text_without_call"
    fine = row(answer(call()))
    assert prepare_row(fine)["outcome"] == "saved"
    assert prepare_row(fine, needs_call=lambda _: False)["problem"] == "call_without_tool"
    odd = copy.deepcopy(fine)
    odd["tools"] = []
    assert find_mismatch(Step(odd, odd["completion"][0])) == "call_without_tool"


def test_egpo_does_not_look_at_reasoning():
    looping = answer(call(), reasoning="So I look at it again and again. " * 9)
    assert prepare_row(row(looping))["outcome"] == "saved"
    assert refine_row(row(looping))["problem"] == "loops"


def test_rows_of_other_shapes():
    messages = [
        {"role": "user", "content": ASK},
        {**answer(call()), "trainable": False},
        {"role": "tool", "content": "{}"},
        answer(content="Done."),
    ]
    (step,) = to_step_rows({"messages": messages, "tools": [BOOK]})
    assert len(step["prompt"]) == 3
    assert not any({"reasoning_content", "trainable"} & each.keys() for each in step["prompt"])
    assert find_row_problem(step) is None
    for broken in (None, {}, {**step, "completion": []}, {**step, "tools": [{"function": {}}]}):
        assert find_row_problem(broken) is not None
        assert refine_row(broken)["stage"] == 0


def test_types_of_other_benchmarks_are_understood():
    tool = copy.deepcopy(BOOK)
    tool["function"]["parameters"]["type"] = "dict"
    tool["function"]["parameters"]["properties"]["copies"]["type"] = "int"
    assert first(answer(call()), tools=[tool]) is None
    assert first(answer(call({**RIGHT, "copies": "3"})), tools=[tool]) == (4, "wrong_type")
