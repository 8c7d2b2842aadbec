"""Per kind: a turn that holds what the kind claims passes, and each mutation of it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from builders import executed
from pydantic import ValidationError

from funreason_agents import Environment
from funreason_agents.errors import VerificationError
from funreason_agents.schemas.tasks import CallTrace, HardTurn, OuterInput
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolSpec
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.checks import TurnCase
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.turn_kinds import (
    check_turn_kind,
    find_parallel_group,
    replay_reversed,
)


class Shop:
    """A shop that counts its sales."""

    def reset(self, seed: int) -> None:
        self.sold: list[str] = []

    def dump_state(self) -> dict[str, Any]:
        return {"sold": list(self.sold)}

    def load_state(self, state: dict[str, Any]) -> None:
        self.sold = list(state["sold"])

    def find_book(self, title: str, sort: str = "price") -> dict[str, Any]:
        """Look a volume up.

        Args:
            title: Words on the cover.
            sort: What to sort by.
        """
        return {"code": f"{title[:2].upper()}-1X", "pages": 431}

    def buy_book(self, code: str) -> dict[str, Any]:
        """Pay for an article and take it home.

        Args:
            code: Code of the article.
        """
        self.sold.append(code)
        return {"receipt": len(self.sold)}


class TwinShop(Shop):
    """A shop with two tools that nearly say the same."""

    def purchase(self, code: str) -> dict[str, Any]:
        """Pay for one article and take it home.

        Args:
            code: Code of the article.
        """
        return self.buy_book(code)


SHOP = Environment.from_class(Shop)
FIND = executed("find_book", {"title": "Dune Messiah"}, {"code": "DU-1X", "pages": 431})
BUY = executed(
    "buy_book", {"code": "DU-1X"}, {"receipt": 1}, states="ab", id="call_1",
    origins={"/code": Origin(kind="output", call=0, path="/code")},
)  # fmt: skip
BOUGHT = "Bought, receipt: 1."
LIE = "Sorry for the wait! All done, everything you asked for has been taken care of."
DECLINED = "I cannot do that: none of my tools can buy it."


def case(hard: HardTurn | None, *steps: ExecutedCall, **changes: Any) -> TurnCase:
    """Return a turn; `sizes` are the numbers of calls in its messages, `gold` its gold calls."""
    messages, left = [], list(steps)
    for size in changes.pop("sizes", (1,) * len(steps)):
        calls = tuple(step.call for step in left[:size])
        messages.append(Message(role="assistant", tool_calls=calls, trainable=True))
        left = left[size:]
    messages[:1] = changes.pop("first", messages[:1])
    gold = changes.pop("gold", steps)
    reply = Message(role="assistant", content=changes.pop("reply", BOUGHT), trainable=True)
    values: dict[str, Any] = {
        "environment": SHOP,
        "query": "Please buy the book Dune Messiah.",
        "trace": CallTrace(
            environment_id="s", seed=0, target="", state_before="a", calls=tuple(gold)
        ),
        "messages": (*messages, reply),
        "executed": steps,
        "before": Facts(),
        "hard": hard,
    }
    return TurnCase(**{**values, **changes})


def problems(turn: TurnCase) -> list[str]:
    check = check_turn_kind(turn)
    assert check.name == "turn_kind"
    assert check.passed is not bool(check.details["problems"])
    assert check.details["kind"] == (turn.hard.kind if turn.hard else "plain")
    found: list[str] = check.details["problems"]
    return found


def harder(turn: TurnCase, **changes: Any) -> TurnCase:
    assert turn.hard is not None
    return replace(turn, hard=turn.hard.model_copy(update=changes))


def test_a_plain_turn_claims_nothing() -> None:
    assert problems(case(None, FIND, BUY)) == []
    assert problems(case(None, FIND, BUY, reply="")) == []


def test_a_plain_turn_has_gold_calls() -> None:
    turn = case(None)
    idle = turn.trace.model_copy(update={"calls": ()})
    assert problems(replace(turn, trace=idle)) == ["a plain turn without gold calls"]


Mutation = Callable[[TurnCase], TurnCase]


def said(reply: str) -> Mutation:
    def change(turn: TurnCase) -> TurnCase:
        return replace(
            turn, messages=(*turn.messages[:-1], Message(role="assistant", content=reply))
        )

    return change


def acted(*steps: ExecutedCall) -> Mutation:
    def change(turn: TurnCase) -> TurnCase:
        made = case(turn.hard, *steps, reply=turn.messages[-1].content)
        return replace(turn, messages=made.messages, executed=steps)

    return change


def with_gold(*steps: ExecutedCall) -> Mutation:
    return lambda turn: replace(turn, trace=turn.trace.model_copy(update={"calls": steps}))


def asked(query: str) -> Mutation:
    return lambda turn: replace(turn, query=query)


def hardened(**changes: Any) -> Mutation:
    return lambda turn: harder(turn, **changes)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "missing_function"}, "'function' is not set in a turn of kind 'missing_fun"),
        ({"kind": "missing_parameter"}, "'omitted' is not set"),
        ({"kind": "long_context"}, "'filler' is not set"),
        ({"kind": "irrelevance"}, "'foreign' is not set"),
        ({"kind": "parallel_calls", "part": 2}, "has one part only"),
        ({"kind": "parallel_calls", "filler": "x"}, "'filler' is set"),
        ({"kind": "missing_function", "function": "f", "omitted": {"label": "x", "value": 1}},
         "'omitted' is set"),
        ({"kind": "error_recovery", "distractors": [{"name": "f", "description": "",
                                                     "parameters": {}}]}, "'distractors' is set"),
    ],
)  # fmt: skip
def test_a_hard_turn_has_the_fields_of_its_kind_and_no_others(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        HardTurn.model_validate(fields)


# --- Missing function.

WITHHELD = HardTurn(kind="missing_function", function="buy_book")
LACKS_FUNCTION = case(WITHHELD, reply=DECLINED)
HAS_FUNCTION = case(
    WITHHELD.model_copy(update={"part": 2}), FIND, BUY,
    query="The missing tool is there now.", pending="Please buy the book Dune Messiah.",
)  # fmt: skip


def test_a_missing_function_is_declined_and_then_used() -> None:
    assert problems(LACKS_FUNCTION) == []
    assert problems(HAS_FUNCTION) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (hardened(part=2), "is not called once it is offered"),
        (hardened(distractors=(SHOP.tool("buy_book"),)), "is offered"),
        (hardened(function="sell_book"), "no function 'sell_book' to withhold"),
        (hardened(function=None), "no function None to withhold"),
        (acted(FIND), "it calls 'find_book'"),
        (acted(FIND, BUY), "it calls 'buy_book'"),
        (with_gold(FIND, BUY), "the gold answer holds calls"),
        (said(BOUGHT), "does not decline"),
        (said(LIE), "does not decline"),
        (said(f"{DECLINED} But I have bought another one."), "nothing was done, but"),
        (hardened(omitted=OuterInput(label="x", value=1)), "'omitted' is set"),
        (hardened(filler="Minutes."), "'filler' is set in a turn of kind 'missing_function'"),
        (said(""), "does not decline"),
        (
            lambda t: replace(t, environment=Environment.from_class(TwinShop)),
            "nearly says the same",
        ),
    ],
)
def test_a_function_that_is_not_missing_is_found_out(mutate: Mutation, problem: str) -> None:
    assert any(problem in each for each in problems(mutate(LACKS_FUNCTION)))


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (acted(FIND), "is not called once it is offered"),
        (acted(FIND, executed("buy_book", {"code": "?"}, {}, is_error=True)), "is not called"),
        (with_gold(FIND), "is not called"),
        (lambda turn: replace(turn, pending=""), "no request that it completes"),
    ],
)
def test_a_function_that_is_not_used_in_the_end_is_found_out(
    mutate: Mutation, problem: str
) -> None:
    assert any(problem in each for each in problems(mutate(HAS_FUNCTION)))


# --- Missing parameter.

OMITTED = OuterInput(label="title", description="Words on the cover.", value="Dune Messiah")
LEFT_OUT = HardTurn(kind="missing_parameter", omitted=OMITTED)
ASKS = "What is the title? I need it to look it up."
LACKS_VALUE = case(LEFT_OUT, query="Please look a volume up.", reply=ASKS)
HAS_VALUE = case(
    LEFT_OUT.model_copy(update={"part": 2}), FIND, reply="Found, pages: 431.",
    query='The title is "Dune Messiah".', pending="Please look a volume up.",
)  # fmt: skip


def test_a_missing_parameter_is_asked_for_and_then_used() -> None:
    assert problems(LACKS_VALUE) == []
    assert problems(HAS_VALUE) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (asked("Please look the volume dune messiah up."), "the title is known"),
        (
            lambda turn: replace(turn, before=Facts().add_result({"books": ["Dune Messiah"]})),
            "the title is known",
        ),
        (
            lambda turn: replace(turn, before=Facts().add_text("I have read Dune Messiah.")),
            "the title is known",
        ),
        (acted(FIND), "it calls 'find_book'"),
        (with_gold(FIND), "the gold answer holds calls"),
        (said("Found: pages 431."), "does not ask for the title"),
        (said("I have put the title on hold. Anything else?"), "does not ask for the title"),
        (said("I have bought it. What is the title?"), "nothing was done, but the reply says"),
        (hardened(filler="Dune Messiah"), "'filler' is set in a turn of kind 'missing_parameter'"),
        (hardened(function="buy_book"), "'function' is set"),
        (said("What is the receipt?"), "does not ask for the title"),
        (said("I looked the title up."), "does not ask for the title"),
        (hardened(omitted=None), "nothing is omitted"),
        (hardened(omitted=OMITTED.model_copy(update={"value": 1})), "is known: 1"),
    ],
)
def test_a_parameter_that_is_not_missing_is_found_out(mutate: Mutation, problem: str) -> None:
    assert any(problem in each for each in problems(mutate(LACKS_VALUE)))


BY_PRICE = executed("find_book", {"title": "Dune Messiah", "sort": "weight of it"}, {"pages": 431})


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (asked("You know the title."), "the title is not supplied"),
        (lambda turn: replace(turn, pending=""), "no request that it completes"),
        (with_gold(executed("find_book", {"title": "Emma"}, {})), "no gold call takes the title"),
        (
            lambda turn: with_gold(BY_PRICE)(
                harder(turn, omitted=OuterInput(label="sort", value="weight of it"))
            ),
            "the parameter 'sort' of 'find_book' may be left out",
        ),
    ],
)
def test_a_parameter_that_is_not_supplied_in_the_end_is_found_out(
    mutate: Mutation, problem: str
) -> None:
    assert any(problem in each for each in problems(mutate(HAS_VALUE)))


def test_a_label_of_common_words_only_can_be_asked_for() -> None:
    omitted = OuterInput(label="number", value="Dune Messiah")
    assert problems(said("Which number?")(harder(LACKS_VALUE, omitted=omitted))) == []


# --- Long context.

FILLER = "The garden club met behind the shed, and nothing was decided for a long while. " * 8
FILLER = FILLER.strip()


def distractor(name: str, description: str) -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters={"type": "object"})


KNIT = distractor("knit_sweater", "Knit a woollen sweater after a pattern.")
AROUND = HardTurn(kind="long_context", filler=FILLER, distractors=(KNIT,))
LONG = case(AROUND, FIND, BUY, query=f"{FILLER}\n\nPlease buy the book Dune Messiah.")


def refill(filler: str) -> Mutation:
    return lambda turn: replace(harder(turn, filler=filler), query=f"Buy it.\n\n{filler}")


def test_a_long_context_stands_around_the_request() -> None:
    assert problems(LONG) == []
    assert problems(refill(FILLER)(LONG)) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (asked("Please buy the book Dune Messiah."), "does not stand around it"),
        (asked(f"Please {FILLER} buy Dune Messiah."), "does not stand around it"),
        (asked(f"{FILLER[:-9]}\n\nPlease buy Dune Messiah."), "does not stand around it"),
        (refill("The hedge was cut."), "18 characters only"),
        (refill(""), "0 characters only"),
        (refill(f"{FILLER} Somebody read Dune Messiah."), "holds 'Dune Messiah'"),
        (refill(f"{FILLER} The book has 431 pages."), "holds 431"),
        (acted(FIND, executed("knit_sweater", {}, {}, is_error=True), BUY), "calls the distractor"),
        (
            hardened(distractors=(distractor("findBook", "Knit a sweater."),)),
            "named like a tool",
        ),
        (
            hardened(distractors=(distractor("obtain", "Pay for an article at the till."),)),
            "is related to 'buy_book'",
        ),
    ],
)
def test_a_context_that_is_not_long_or_not_unrelated_is_found_out(
    mutate: Mutation, problem: str
) -> None:
    assert any(problem in each for each in problems(mutate(LONG)))


# --- Parallel calls.

OTHER = executed("find_book", {"title": "Emma"}, {"code": "EM-1X"}, id="call_1")
LATER = BUY.model_copy(update={"call": BUY.call.model_copy(update={"id": "call_2"})})
AT_ONCE = HardTurn(kind="parallel_calls")
PARALLEL = case(AT_ONCE, FIND, OTHER, LATER, sizes=(2, 1), reversed_group=(OTHER, FIND))


def sized(*sizes: int) -> Mutation:
    return lambda turn: replace(turn, messages=case(None, *turn.executed, sizes=sizes).messages)


def turned(*steps: ExecutedCall) -> Mutation:
    return lambda turn: replace(turn, reversed_group=steps)


def test_parallel_calls_stand_in_one_message() -> None:
    assert problems(PARALLEL) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (sized(1, 1, 1), "no message holds several calls"),
        (with_gold(FIND, LATER), "two gold calls that do not depend"),
        (
            lambda turn: turned(LATER, OTHER, FIND)(sized(3)(with_gold(FIND, LATER)(turn))),
            "two gold calls that do not depend",
        ),
        (turned(OTHER.model_copy(update={"state_after": "z"}), FIND), ""),
        (turned(OTHER, FIND.model_copy(update={"state_after": "z"})), "another end state"),
        (
            turned(executed("find_book", {"title": "Emma"}, {"code": "EM-2X"}), FIND),
            "'find_book' gives another result",
        ),
        (
            turned(executed("find_book", {}, {"code": "EM-1X"}, is_error=True), FIND),
            "'find_book' gives another result",
        ),
        (turned(FIND), "not all calls of the message"),
    ],
)
def test_calls_that_are_not_parallel_are_found_out(mutate: Mutation, problem: str) -> None:
    found = problems(mutate(PARALLEL))
    assert any(problem in each for each in found) if problem else found == []


def test_parallel_calls_that_were_not_tried_in_the_other_order_cannot_be_judged() -> None:
    with pytest.raises(VerificationError, match="other order"):
        check_turn_kind(replace(PARALLEL, reversed_group=None))


def test_the_largest_message_is_found() -> None:
    steps = (FIND, OTHER, LATER, FIND, OTHER)
    assert find_parallel_group(case(None, *steps, sizes=(1, 2, 2)).messages) == (1, 3)
    assert find_parallel_group(case(None, *steps, sizes=(2, 3)).messages) == (2, 5)
    assert find_parallel_group(case(None, *steps).messages) is None
    assert find_parallel_group(()) is None


def test_the_calls_of_a_message_are_executed_in_the_other_order() -> None:
    session = SHOP.open(0)
    start, history = session.state_hash(), session.calls
    first, second = (executed("buy_book", {"code": c}, {}, id=c) for c in ("AA-1X", "BB-1X"))
    steps = replay_reversed(session, [FIND, first, second], (1, 3))
    assert [(s.call.id, s.result.content) for s in steps] == [
        ("BB-1X", {"receipt": 1}),
        ("AA-1X", {"receipt": 2}),
    ]
    assert (session.state_hash(), session.calls) == (start, history)


# --- Irrelevance.

TAXI = ToolSpec(
    name="call_taxi",
    description="Send a taxi to pick somebody up at a street corner.",
    parameters={"type": "object", "properties": {"corner": {"description": "Where to wait."}}},
)
RIDE = "Please send a taxi to the corner Mill Lane."
FOREIGN = case(
    HardTurn(kind="irrelevance", foreign=TAXI), query=RIDE, reply="I cannot send a taxi."
)


def test_an_irrelevant_request_is_declined() -> None:
    assert problems(FOREIGN) == []
    assert problems(replace(FOREIGN, query=f"Hi! {RIDE} I want this off my list.")) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (hardened(foreign=None), "is not recorded"),
        (
            hardened(foreign=distractor("obtain", "Pay for an article at the till.")),
            "the tool 'buy_book' is related",
        ),
        (
            hardened(foreign=distractor("find_book", "Send a taxi to a corner.")),
            "the tool 'find_book' is related",
        ),
        (asked("Please pay for an article."), "the tool 'buy_book' covers the request as well"),
        (asked("Hello there."), "covers the request as well"),
        (acted(FIND), "it calls 'find_book'"),
        (acted(executed("call_taxi", {}, {}, is_error=True)), "it calls 'call_taxi'"),
        (with_gold(FIND), "the gold answer holds calls"),
        (said("The taxi is on its way."), "does not decline"),
        (said(LIE), "does not decline"),
        (said("I cannot call one, but your taxi is booked."), "nothing was done, but"),
        (asked(f"{RIDE} Also find a book with a blue cover."), "'find_book' could serve a part"),
        (asked(f"{RIDE[:-1]} and look up a book titled Emma."), "'find_book' could serve a part"),
        (hardened(part=2), "has one part only"),
    ],
)
def test_a_request_that_is_not_irrelevant_is_found_out(mutate: Mutation, problem: str) -> None:
    assert any(problem in each for each in problems(mutate(FOREIGN)))


# --- Error and recovery.

SLIP = executed("buy_book", {"code": "Dune Messiah"}, {"error": "no such code"}, is_error=True)
MISTAKEN = (Message(role="assistant", tool_calls=(SLIP.call,)),)
RECOVERY = HardTurn(kind="error_recovery")
RECOVERED = case(RECOVERY, SLIP, FIND, BUY, gold=(FIND, BUY), first=MISTAKEN)


def begun(step: ExecutedCall) -> Mutation:
    return lambda turn: replace(turn, executed=(step, *turn.executed[1:]))


def test_an_error_is_recovered_from() -> None:
    assert problems(RECOVERED) == []


@pytest.mark.parametrize(
    ("mutate", "problem"),
    [
        (begun(executed("buy_book", {"code": "x"}, {"receipt": 1})), "it succeeds"),
        (begun(SLIP.model_copy(update={"state_after": "z"})), "changes the state"),
        (
            lambda turn: replace(
                turn,
                messages=(
                    turn.messages[0].model_copy(update={"trainable": True}),
                    *turn.messages[1:],
                ),
            ),
            "may be trained on",
        ),
        (lambda turn: replace(turn, executed=turn.executed[:2]), "no later call of 'buy_book'"),
        (
            lambda turn: replace(turn, executed=(*turn.executed[:2], SLIP)),
            "no later call of 'buy_book'",
        ),
        (
            lambda turn: replace(turn, messages=turn.messages[-1:], executed=()),
            "does not begin with one call",
        ),
        (lambda turn: sized(3)(turn), "does not begin with one call"),
        (hardened(part=2), "a turn of kind 'error_recovery' has one part only"),
        (hardened(function="buy_book"), "'function' is set in a turn of kind 'error_recovery'"),
        (hardened(distractors=(KNIT,)), "'distractors' is set"),
    ],
)
def test_an_error_that_is_none_or_not_mended_is_found_out(mutate: Mutation, problem: str) -> None:
    assert any(problem in each for each in problems(mutate(RECOVERED)))
