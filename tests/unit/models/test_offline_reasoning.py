"""Turns that are hard for the offline reasoner: what it does, written out message by message."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from funreason_agents.models.offline.model import answer_messages


def tool(name, description, required=(), **parameters):
    parameters = {key: {"type": "string", **schema} for key, schema in parameters.items()}
    schema = {"type": "object", "properties": parameters, "required": list(required)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


HARBOUR = tool(
    "find_harbour",
    "Look up the harbour office of a coastal town. Returns: The harbour code.",
    ["town"],
    town={"description": "Name of the town."},
)
SHIPS = tool(
    "list_ships",
    "List the ships that lie in a harbour. Returns: The ships, each with hull number and flag.",
    ["harbour_code"],
    harbour_code={"description": "Code of the harbour."},
)
TOW = tool(
    "order_tug",
    "Order a tug for one ship. Returns: The tug number.",
    ["hull_number", "hour"],
    hull_number={"description": "Hull number of the ship."},
    hour={"type": "integer", "description": "Hour of the day."},
)
TIDE = tool(
    "read_tide",
    "Tell the height of the tide at a given hour.",
    ["hour"],
    hour={"type": "integer", "description": "Hour of the day."},
)
TOOLS = [HARBOUR, SHIPS, TOW, TIDE]


def answer(messages, composition=(), critiques=(), parallel=False, tools=TOOLS, old_notes=False):
    notes = {"composition": list(composition), "critiques": list(critiques)}
    if not old_notes:
        notes = {"description": None, **notes, "parallel": parallel}
    prompt = SystemMessage(f"<role>reasoning</role>\n```json\n{json.dumps(notes)}\n```")
    return answer_messages([prompt, *messages], tools)


def calls(message):
    return [(call["name"], call["args"]) for call in message.tool_calls]


def exchange(name, args, result, number=0, failed=False):
    """Return a call and its result as two messages."""
    status = "error" if failed else "success"
    identity = f"call_{number}"
    return [
        AIMessage("", tool_calls=[{"name": name, "args": args, "id": identity}]),
        ToolMessage(json.dumps(result), tool_call_id=identity, name=name, status=status),
    ]


REFUSED = {"error": "There is no such town."}
HARBOUR_7 = {"harbour_code": "H-7"}
FLEET = {"ships": [{"hull_number": f"HN-{n}", "flag": flag} for n, flag in ((1, "NO"), (2, "IS"))]}
TWO_TOWNS = 'Look up the harbour office of a coastal town (town: "Bodo"; town: "Vardo").'


@pytest.mark.parametrize("old_notes", [True, False])
def test_composition_is_followed_in_either_form_of_the_notes(old_notes):
    chat = [HumanMessage('Please list the ships with town "Bodo".')]
    first = answer(chat, ["find_harbour", "list_ships"], old_notes=old_notes)
    assert calls(first) == [("find_harbour", {"town": "Bodo"})]
    chat += exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7)
    second = answer(chat, ["find_harbour", "list_ships"], old_notes=old_notes)
    assert calls(second) == [("list_ships", {"harbour_code": "H-7"})]


def test_planned_step_is_taken_after_a_failed_call_of_another_kind():
    chat = [HumanMessage('Please list the ships with town "Bodo".')]
    chat += exchange("list_ships", {"harbour_code": "H-0"}, REFUSED, failed=True)
    assert calls(answer(chat, ["find_harbour", "list_ships"])) == [
        ("find_harbour", {"town": "Bodo"})
    ]


def test_failed_call_is_not_made_again_with_the_same_arguments():
    chat = [HumanMessage(TWO_TOWNS), *exchange("find_harbour", {"town": "Bodo"}, REFUSED, 0, True)]
    assert calls(answer(chat, ["find_harbour"])) == [("find_harbour", {"town": "Vardo"})]


def test_what_an_error_names_is_changed_first():
    chat = [HumanMessage('Order a tug (hull number: "A"; hull number: "B"; hour: 5; hour: 6).')]
    error = {"error": "Nothing sails at 5."}
    chat += exchange("order_tug", {"hull_number": "A", "hour": 5}, error, failed=True)
    assert calls(answer(chat, ["order_tug"])) == [("order_tug", {"hull_number": "A", "hour": 6})]


def test_call_that_failed_too_early_is_made_again_after_another_succeeded():
    chat = [HumanMessage('Look up the harbour office, then tell the tide (hour: 5; town: "Bodo").')]
    chat += exchange("read_tide", {"hour": 5}, {"error": "Find a harbour first."}, 0, True)
    chat += exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7, 1)
    assert calls(answer(chat, ["find_harbour", "read_tide"])) == [("read_tide", {"hour": 5})]


def test_step_is_given_up_when_it_failed_twice_or_nothing_is_left_to_try():
    towns = 'Look up the harbour office (town: "Bodo"; town: "Vardo"; town: "Moss").'
    chat = [HumanMessage(towns), *exchange("find_harbour", {"town": "Bodo"}, REFUSED, 0, True)]
    assert calls(answer(chat, ["find_harbour"]))
    chat += exchange("find_harbour", {"town": "Vardo"}, REFUSED, 1, True)
    given_up = answer(chat, ["find_harbour"])
    assert not given_up.tool_calls
    assert given_up.content.startswith("That did not work.")

    one = 'Look up the harbour office (town: "Bodo").'
    chat = [HumanMessage(one), *exchange("find_harbour", {"town": "Bodo"}, REFUSED, 0, True)]
    assert answer(chat, ["find_harbour"]).content.startswith("That did not work.")


def test_closing_reply_after_recovery_tells_the_good_result_only():
    chat = [HumanMessage(TWO_TOWNS), *exchange("find_harbour", {"town": "Bodo"}, REFUSED, 0, True)]
    chat += exchange("find_harbour", {"town": "Vardo"}, HARBOUR_7, 1)
    assert answer(chat, ["find_harbour"]).content == 'Done. harbour code: "H-7".'


TOGETHER = 'Look up the harbour offices, and the tide (town: "Bodo"; town: "Vardo"; hour: 4).'
THREE = ["find_harbour", "find_harbour", "read_tide"]


def test_independent_steps_stand_in_one_message_if_asked_for():
    message = answer([HumanMessage(TOGETHER)], THREE, parallel=True)
    assert calls(message) == [
        ("find_harbour", {"town": "Bodo"}),
        ("find_harbour", {"town": "Vardo"}),
        ("read_tide", {"hour": 4}),
    ]
    assert len({call["id"] for call in message.tool_calls}) == 3
    assert len(answer([HumanMessage(TOGETHER)], THREE).tool_calls) == 1


def test_step_that_needs_a_result_of_the_batch_waits_for_it():
    chat = [HumanMessage('List the ships (town: "Bodo").')]
    plan = ["find_harbour", "list_ships"]
    assert calls(answer(chat, plan, parallel=True)) == [("find_harbour", {"town": "Bodo"})]
    # An old value would do, but the batch is about to give a new one.
    old = exchange("find_harbour", {"town": "Moss"}, {"harbour_code": "H-1"})
    chat = [HumanMessage("Find Moss."), *old, AIMessage("Done."), *chat]
    assert calls(answer(chat, plan, parallel=True)) == [("find_harbour", {"town": "Bodo"})]


def test_only_what_failed_in_a_batch_is_made_again():
    batch = [{"name": n, "args": a, "id": f"c{i}"} for i, (n, a) in enumerate(
        [("find_harbour", {"town": "Bodo"}), ("find_harbour", {"town": "Vardo"})]
    )]  # fmt: skip
    chat = [
        HumanMessage(TOGETHER.replace("hour: 4", 'town: "Moss"')),
        AIMessage("", tool_calls=batch),
        ToolMessage(json.dumps(HARBOUR_7), tool_call_id="c0", name="find_harbour"),
        ToolMessage(
            json.dumps(REFUSED), tool_call_id="c1", name="find_harbour", status="error"
        ),
    ]  # fmt: skip
    assert calls(answer(chat, THREE[:2], parallel=True)) == [("find_harbour", {"town": "Moss"})]


@pytest.mark.parametrize("kind", ["wrong_source", "wrong_tool"])
def test_criticised_step_leaves_the_batch(kind):
    critique = {"kind": kind, "step": 1, "tool": "find_harbour", "parameter": None}
    message = answer([HumanMessage(TOGETHER)], THREE, [critique], parallel=True)
    assert calls(message) == [("find_harbour", {"town": "Bodo"})]


def test_wrongly_batched_calls_begin_with_one_alone():
    critique = {"kind": "separate_calls", "step": None, "tool": None, "parameter": None}
    chat = [HumanMessage(TOGETHER)]
    assert len(answer(chat, THREE, [critique], parallel=True).tool_calls) == 1
    chat += exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7)
    assert len(answer(chat, THREE, [critique], parallel=True).tool_calls) == 2


def test_value_refused_within_a_batch_is_looked_for_in_the_results_first():
    # The old code was all there was when the batch was made; now the new one is known.
    old = exchange("find_harbour", {"town": "Moss"}, {"harbour_code": "H-1"})
    chat = [HumanMessage("Find Moss."), *old, AIMessage("Done.")]
    chat += [HumanMessage('List the ships (town: "Bodo").')]
    chat += exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7, 1)
    critique = {"kind": "wrong_source", "step": 1, "tool": None, "parameter": "harbour_code"}
    plan = ["find_harbour", "list_ships"]
    for parallel, code in ((True, "H-7"), (False, "H-1")):
        message = answer(chat, plan, [critique], parallel=parallel)
        assert calls(message) == [("list_ships", {"harbour_code": code})]


def test_critique_moves_its_parameter_on_to_the_next_candidate():
    critique = {"kind": "wrong_source", "step": 0, "tool": "find_harbour", "parameter": "town"}
    chat = [HumanMessage(TWO_TOWNS)]
    assert calls(answer(chat, ["find_harbour"])) == [("find_harbour", {"town": "Bodo"})]
    assert calls(answer(chat, ["find_harbour"], [critique])) == [
        ("find_harbour", {"town": "Vardo"})
    ]


def test_missing_value_is_asked_for_and_nothing_called():
    message = answer([HumanMessage('Please order a tug for one ship with hull number "HN-1".')])
    assert not message.tool_calls
    assert message.content == "What is the hour? I need it to order a tug for one ship."


def test_value_that_another_tool_finds_is_not_asked_for():
    # Ships are listed by harbour code, the harbour code is found by town: the user knows the town.
    message = answer([HumanMessage("Please show me the ships that lie in a harbour.")])
    assert not message.tool_calls
    assert message.content.startswith("What is the town?")


@pytest.mark.parametrize("hint", [[], ["read_tide"]])
def test_value_is_asked_for_only_without_a_composition(hint):
    message = answer([HumanMessage("Tell me the height of the tide at a given hour.")], hint)
    assert bool(message.tool_calls) is bool(hint)


def test_critic_says_which_value_is_missing():
    critique = {"kind": "bad_reply", "step": None, "tool": None, "parameter": "hull_number"}
    message = answer([HumanMessage("Please order a tug for one ship.")], critiques=[critique])
    assert not message.tool_calls
    assert message.content.startswith("What is the hull number?")


def test_request_that_no_tool_serves_is_declined_without_a_value():
    message = answer([HumanMessage('Please book a table for dinner with town "Bodo". Thanks!')])
    assert not message.tool_calls
    assert message.content == "I cannot do that: none of my tools can book a table for dinner."


def test_request_whose_tool_is_withheld_is_declined():
    request = HumanMessage("Please tell me the height of the tide at a given hour with hour 4.")
    assert calls(answer([request])) == [("read_tide", {"hour": 4})]
    withheld = answer([request], tools=TOOLS[:3])
    assert not withheld.tool_calls
    assert withheld.content.startswith("I cannot do that")
    assert "4" not in withheld.content


TWO_REQUESTS = (
    'Please look up the harbour office of a coastal town with town "Bodo". '
    "Then tell me the height of the tide at a given hour."
)


def test_each_of_several_requests_needs_a_tool_and_its_values():
    asked = answer([HumanMessage(TWO_REQUESTS)])
    assert not asked.tool_calls
    assert asked.content.startswith("What is the hour?")
    declined = answer([HumanMessage(TWO_REQUESTS)], tools=TOOLS[:3])
    assert not declined.tool_calls
    assert declined.content == (
        "I cannot do that: none of my tools can tell me the height of the tide at a given hour."
    )


def test_question_that_is_no_good_becomes_a_refusal():
    critique = {"kind": "bad_reply", "step": None, "tool": None, "parameter": None}
    declined = answer([HumanMessage(TWO_REQUESTS)], critiques=[critique])
    assert declined.content.startswith("I cannot do that")


def test_refused_call_after_an_earlier_failure_is_found_by_its_place_among_all_calls():
    critique = {"kind": "wrong_source", "step": 1, "tool": "find_harbour", "parameter": "town"}
    chat = [HumanMessage(TWO_TOWNS), *exchange("read_tide", {"hour": 1}, REFUSED, 0, True)]
    message = answer(chat, ["find_harbour"], [critique])
    assert calls(message) == [("find_harbour", {"town": "Vardo"})]


def test_critique_of_an_extra_call_ends_calling():
    critique = {"kind": "extra_call", "step": 0, "tool": "read_tide", "parameter": None}
    request = [HumanMessage("Tell me the height of the tide at a given hour with hour 4.")]
    assert answer(request).tool_calls
    declined = answer(request, critiques=[critique])
    assert not declined.tool_calls
    assert declined.content.startswith("I cannot do that")
    # The hour is known from before only: the user may have meant another one.
    before = [HumanMessage("Hello."), *exchange("clock", {}, {"hour": 9}), AIMessage("Done.")]
    again = [*before, HumanMessage("Tell me the height of the tide at a given hour.")]
    assert calls(answer(again)) == [("read_tide", {"hour": 9})]
    asked = answer(again, critiques=[critique])
    assert not asked.tool_calls
    assert asked.content.startswith("What is the hour?")


ORDER = 'Please order a tug for one ship with hull number "HN-1".'


def test_answer_to_a_question_completes_the_request():
    chat = [
        HumanMessage(ORDER),
        AIMessage("What is the hour? I need it to order a tug for one ship."),
        HumanMessage("The hour is 6."),
    ]
    wanted = [("order_tug", {"hull_number": "HN-1", "hour": 6})]
    assert calls(answer(chat, ["order_tug"])) == wanted
    assert calls(answer(chat)) == wanted


def test_tool_that_arrives_completes_the_request():
    chat = [HumanMessage('Please look up the harbour office of a coastal town with town "Bodo".')]
    declined = answer(chat, tools=TOOLS[1:])
    assert not declined.tool_calls
    chat += [declined, HumanMessage("The tool that you need is available now, please go on.")]
    assert calls(answer(chat, ["find_harbour"])) == [("find_harbour", {"town": "Bodo"})]
    assert calls(answer(chat)) == [("find_harbour", {"town": "Bodo"})]


def test_what_is_said_last_goes_before_what_was_said_first():
    chat = [
        HumanMessage('Please order a tug for one ship with hull number "HN-1" and hour 3.'),
        AIMessage("I cannot do that: none of my tools can order a tug for one ship."),
        HumanMessage("The hour is 6. Please go on."),
    ]
    assert calls(answer(chat, ["order_tug"])) == [("order_tug", {"hull_number": "HN-1", "hour": 6})]


@pytest.mark.parametrize(
    "turn",
    [
        [AIMessage("Done.")],
        [*exchange("read_tide", {"hour": 3}, {"height": 2}), AIMessage("Anything else?")],
    ],
    ids=["not asked", "acted"],
)
def test_request_that_was_answered_is_not_taken_up_again(turn):
    chat = [HumanMessage(ORDER), *turn, HumanMessage("The hour is 6.")]
    message = answer(chat, ["order_tug"])
    assert "hull_number" not in message.tool_calls[0]["args"]


def test_next_request_without_a_tool_is_declined_in_its_own_words():
    chat = [
        HumanMessage('Please book a table for dinner with town "Moss".'),
        AIMessage("I cannot do that: none of my tools can book a table for dinner."),
        HumanMessage("Please write a song about the sea."),
    ]
    assert "write a song about the sea" in answer(chat).content


def test_request_of_its_own_does_not_take_up_the_declined_one():
    chat = [
        HumanMessage('Please book a table for dinner with town "Moss".'),
        AIMessage("I cannot do that: none of my tools can book a table for dinner."),
        HumanMessage('Please look up the harbour office of a coastal town with town "Bodo".'),
        *exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7),
    ]
    assert calls(answer(chat, ["find_harbour", "find_harbour"])) == [
        ("find_harbour", {"town": "Bodo"})
    ]


EARLIER = [
    HumanMessage("Hello."),
    *exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7, 0),
    *exchange("find_harbour", {"town": "Nowhere"}, REFUSED, 1, failed=True),
    *exchange("list_ships", {"harbour_code": "H-7"}, FLEET, 2),
    AIMessage("Done."),
]


@pytest.mark.parametrize("words", ["the same town as before", "the same town"])
def test_same_as_before_is_the_latest_value_that_worked(words):
    chat = [*EARLIER, HumanMessage(f"Look up the harbour office with {words}.")]
    assert calls(answer(chat, ["find_harbour"])) == [("find_harbour", {"town": "Bodo"})]


def test_labelled_value_goes_before_a_reference():
    chat = [*EARLIER, HumanMessage('Look up the harbour office of the same town (town: "Moss").')]
    assert calls(answer(chat, ["find_harbour"])) == [("find_harbour", {"town": "Moss"})]


@pytest.mark.parametrize(
    ("words", "hull"),
    [
        ("the second one you listed", "HN-2"),
        ("the first ship that you showed me", "HN-1"),
        ("the last hull number you listed", "HN-2"),
    ],
)
def test_item_of_an_earlier_list_is_found_by_its_place(words, hull):
    chat = [*EARLIER, HumanMessage(f"Order a tug for one ship with {words} and hour 5.")]
    assert calls(answer(chat, ["order_tug"])) == [("order_tug", {"hull_number": hull, "hour": 5})]


def test_list_of_the_kind_that_is_named_goes_before_a_later_one():
    docks = exchange("list_docks", {}, {"docks": ["D-1", "D-2"], "count": 2}, 3)
    chat = [*EARLIER[:-1], *docks, AIMessage("Done.")]
    chat += [HumanMessage("Order a tug with the second ship you listed and hour 5.")]
    assert calls(answer(chat, ["order_tug"]))[0][1]["hull_number"] == "HN-2"


def test_two_places_are_two_values():
    compare = tool(
        "compare_ships",
        "Compare two ships.",
        ["hull_number", "other_hull_number"],
        hull_number={},
        other_hull_number={},
    )
    request = "Compare the second one you listed and the first one you listed."
    chat = [*EARLIER, HumanMessage(request)]
    assert calls(answer(chat, ["compare_ships"], tools=[compare])) == [
        ("compare_ships", {"hull_number": "HN-2", "other_hull_number": "HN-1"})
    ]


PROSE = "\n\n".join(
    f'In chapter {n} the town "Elsewhere" had a fair, and the hour 23 was late. ' * 6
    for n in range(40)
)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("hint", [["order_tug"], []])
def test_request_is_found_in_a_long_text(place, hint):
    request = 'Please order a tug for one ship with hull number "HN-1" and hour 5.'
    parts = [PROSE, request] if place == "before" else [request, PROSE]
    message = answer([HumanMessage("\n\n".join(parts))], hint)
    assert calls(message) == [("order_tug", {"hull_number": "HN-1", "hour": 5})]


def test_value_of_the_text_around_is_no_second_value_of_the_request():
    request = 'Look up the harbour office of a coastal town with town "Bodo".'
    chat = [HumanMessage(f"{PROSE}\n\n{request}")]
    chat += exchange("find_harbour", {"town": "Bodo"}, HARBOUR_7)
    assert calls(answer(chat, ["find_harbour", "find_harbour"])) == [
        ("find_harbour", {"town": "Bodo"})
    ]


def test_irrelevant_text_serves_no_tool_by_its_length():
    words = ("order", "ship", "tug", "height", "tide", "hour", "harbour", "office", "coastal")
    prose = "\n\n".join(f"A {word} is a thing. " * 10 for word in words * 3)
    message = answer([HumanMessage(f"{prose}\n\nPlease book a table for dinner.")])
    assert not message.tool_calls
    assert message.content.startswith("I cannot do that")


def test_meaningless_tool_names_change_nothing():
    names = {each["function"]["name"]: f"t{n}" for n, each in enumerate(TOOLS)}
    renamed = [
        {**each, "function": {**each["function"], "name": names[each["function"]["name"]]}}
        for each in TOOLS
    ]
    for request in (ORDER, 'Please order a tug for one ship with hull number "HN-1" and hour 5.'):
        plain, other = (answer([HumanMessage(request)], tools=t) for t in (TOOLS, renamed))
        assert [(names[name], args) for name, args in calls(plain)] == calls(other)
        assert plain.content == other.content
