import pytest

from funreason_agents.training.rewards import judge_answer, same_calls

THOUGHT = "<think>\nShe wants two tickets.\n</think>\n\n"
EMPTY = "<think>\n\n</think>\n\n"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "seats": {"type": "integer", "default": 1},
                    "rows": {"type": "array", "items": {"type": "integer"}},
                    "window": {"type": "boolean"},
                },
            },
        },
    }
]


def call(name="book", **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def message(*calls, content=""):
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def written(*bodies):
    blocks = "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)
    return THOUGHT + blocks


PORTO = '{"name": "book", "arguments": {"city": "Porto"}}'
GRAZ = '{"name": "book", "arguments": {"city": "Graz"}}'
ONE = message(call(city="Porto"))
TWO = message(call(city="Porto"), call(city="Graz"))
TEXT = message(content="Which city?")

TABLE = [
    # what the model wrote, the reference, the outcome
    (written(PORTO), ONE, "right"),
    (written('{"name": "book", "arguments": {"city": " porto"}}'), ONE, "right"),
    (written('{"name": "book", "arguments": {"city": "Porto", "seats": 1}}'), ONE, "right"),
    (written('{"name": "book", "arguments": {"city": "Porto", "seats": 2}}'), ONE, "wrong_calls"),
    (written('{"name": "book", "arguments": {"city": "Graz"}}'), ONE, "wrong_calls"),
    (written('{"name": "Book", "arguments": {"city": "Porto"}}'), ONE, "wrong_calls"),
    (written('{"name": "book", "arguments": {}}'), ONE, "wrong_calls"),
    (written(PORTO, GRAZ), ONE, "wrong_calls"),
    (written(PORTO, GRAZ), TWO, "right"),
    (written(GRAZ, PORTO), TWO, "right"),
    (written(PORTO), TWO, "wrong_calls"),
    (written(PORTO, PORTO), TWO, "wrong_calls"),
    (THOUGHT + "I book it.", ONE, "not_a_call"),
    (THOUGHT + '[book(city="Porto")]', ONE, "not_a_call"),
    (THOUGHT + "Where to?", TEXT, "right"),
    (written(PORTO), TEXT, "not_a_text"),
    (THOUGHT + '[book(city="Porto")]', TEXT, "not_a_text"),
    (THOUGHT + 'book(city="Porto")', TEXT, "not_a_text"),
    (THOUGHT + PORTO, TEXT, "not_a_text"),
    (THOUGHT + f"```json\n[{PORTO}]\n```", TEXT, "not_a_text"),
    (THOUGHT + 'Sure: [book(city="Porto")]', TEXT, "not_a_text"),
    (THOUGHT + 'fly(city="Porto")', TEXT, "not_a_text"),
    (THOUGHT + "I cannot use book for a flight to Porto.", TEXT, "right"),
    (THOUGHT + "The tool book(city, seats) needs a city. Where to?", TEXT, "right"),
    (THOUGHT + "To book (a city will do), tell me more.", TEXT, "right"),
    (THOUGHT + '{"name": "Ann", "age": 3}', TEXT, "right"),
    (EMPTY + f"<tool_call>\n{PORTO}\n</tool_call>", ONE, "no_reasoning"),
    (EMPTY + "Where to?", TEXT, "no_reasoning"),
    (THOUGHT, TEXT, "template"),
    ("", TEXT, "template"),
    ("Where to?", TEXT, "no_reasoning"),
    ("<think>\nWhere to?", TEXT, "template"),
    ("Hm.</think>\n\nWhere to?", TEXT, "template"),
    (THOUGHT + THOUGHT + "Where to?", TEXT, "template"),
    (THOUGHT + "<tool_call>\n{'name': 'book'}\n</tool_call>", TEXT, "template"),
    (THOUGHT + f"<tool_call>\n{PORTO}", ONE, "template"),
    (written(PORTO) + "\nDone.", ONE, "template"),
    (THOUGHT.replace("\n\n", "") + f"<tool_call>\n{PORTO}\n</tool_call>", ONE, "template"),
]


@pytest.mark.parametrize(("text", "reference", "outcome"), TABLE)
def test_reward_table(text, reference, outcome):
    judged = judge_answer(text, reference, TOOLS)
    assert judged.outcome == outcome
    assert judged.reward == (1.0 if outcome == "right" else 0.0)


def test_an_answer_that_was_cut_off_is_wrong_even_if_it_is_a_text():
    judged = judge_answer(THOUGHT + "Where to?", TEXT, finished=False)
    assert (judged.reward, judged.outcome) == (0.0, "cut_off")


def test_reasoning_can_be_made_optional():
    assert judge_answer("Where to?", TEXT, require_reasoning=False).reward == 1.0


def test_an_empty_think_block_is_no_reasoning():
    """The templates of Qwen3 write one for a message without reasoning."""
    called = f"{EMPTY}<tool_call>\n{PORTO}\n</tool_call>"
    assert judge_answer(called, ONE, require_reasoning=False).reward == 1.0
    assert judge_answer(EMPTY + "Where to?", TEXT, require_reasoning=False).reward == 1.0


def test_defaults_are_compared_as_other_values():
    defaults = {"pay": {"limit": 10, "currency": "USD", "fast": True, "note": None}}
    gold = [("pay", {"to": "Ann"})]
    for left_out in ({"limit": 10.0}, {"currency": "usd"}, {"fast": True}, {"note": None}):
        assert same_calls([("pay", {"to": "Ann", **left_out})], gold, defaults)
    for said in ({"limit": 11}, {"limit": "10"}, {"currency": "EUR"}, {"fast": 1}, {"note": ""}):
        assert not same_calls([("pay", {"to": "Ann", **said})], gold, defaults)


def test_ids_that_differ_in_the_last_digit_are_others():
    assert not same_calls([("call", {"id": 4155550101})], [("call", {"id": 4155550102})])
    assert same_calls([("call", {"id": 4155550102.0})], [("call", {"id": 4155550102})])


def test_booleans_are_literal_and_lists_are_ordered():
    assert not same_calls([("book", {"window": 1})], [("book", {"window": True})])
    assert not same_calls([("book", {"window": "true"})], [("book", {"window": True})])
    assert not same_calls([("book", {"rows": [2, 1]})], [("book", {"rows": [1, 2]})])
    assert same_calls([("book", {"rows": [1, 2.0]})], [("book", {"rows": [1, 2]})])


def test_arguments_of_the_reference_may_be_json_text():
    reference = message({"function": {"name": "book", "arguments": '{"city": "Porto"}'}})
    assert judge_answer(written(PORTO), reference).reward == 1.0
