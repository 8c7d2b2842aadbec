"""Parallel calls and mistakes are found by execution, and the session is left as it was."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hard_worlds import lend, make_trace

from funreason_agents import Environment
from funreason_agents.environments.execution import PlannedCall
from funreason_agents.hard_turns.error_recovery import _replace_values
from funreason_agents.hard_turns.planning import are_parallel, find_mistake
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.derivations import Facts, find_derivation


def ask_parallel(environment: Environment, plan: Sequence[PlannedCall]) -> bool:
    trace = make_trace(environment, plan, requests=(len(plan) - 1,))
    session = environment.open(3)
    before, history = session.state_hash(), session.calls
    found = are_parallel(session, trace)
    assert (session.state_hash(), session.calls) == (before, history)
    return found


def find(name: str) -> PlannedCall:
    return PlannedCall("find_card", {"name": name})


def hand_out(call: int, title: str) -> PlannedCall:
    origin = Origin(kind="output", call=call, path="/card_number")
    return PlannedCall("lend_book", {"card_number": "", "title": title}, {"/card_number": origin})


def test_two_look_ups_can_be_made_at_once(environment: Environment) -> None:
    assert ask_parallel(environment, [find("Mira Oduya"), find("Tomas Feld")])


def test_calls_of_a_chain_cannot_be_made_at_once(environment: Environment) -> None:
    assert not ask_parallel(environment, lend())


def test_calls_whose_results_depend_on_the_order_cannot_be_made_at_once(
    environment: Environment,
) -> None:
    tickets = [PlannedCall("draw_ticket", {"counter": each}) for each in ("loans", "returns")]
    assert not ask_parallel(environment, tickets)


def test_calls_whose_order_shows_in_the_end_state_cannot_be_made_at_once(
    environment: Environment,
) -> None:
    chains = [find("Mira Oduya"), find("Ines Kato"), hand_out(0, "Salt"), hand_out(1, "Rope")]
    trace = make_trace(environment, chains, requests=(2, 3))
    # The two look-ups can, so the trace as a whole serves; the two loans alone do not.
    assert are_parallel(environment.open(3), trace)
    known = [step.call.arguments for step in trace.calls[2:]]
    assert not ask_parallel(environment, [PlannedCall("lend_book", each) for each in known])


def test_a_call_may_be_moved_up_with_what_it_needs(environment: Environment) -> None:
    chains = [find("Mira Oduya"), hand_out(0, "Salt"), find("Ines Kato"), hand_out(2, "Rope")]
    assert ask_parallel(environment, chains)


def mistake_in(
    environment: Environment,
    trace: CallTrace,
    conversation: Sequence[Message] = (),
    seed: int = 0,
) -> ExecutedCall | None:
    session = environment.open(3)
    before, history = session.state_hash(), session.calls
    found = find_mistake(session, trace, environment, conversation, random.Random(seed))
    assert (session.state_hash(), session.calls) == (before, history)
    return found


def test_a_mistake_is_refused_and_moves_nothing(environment: Environment, trace: CallTrace) -> None:
    for seed in range(6):
        found = mistake_in(environment, trace, seed=seed)
        assert found is not None
        assert found.result.is_error
        assert found.state_before == found.state_after == trace.state_before
        assert environment.find_problem(found.call) is None
        assert found.call.name in trace.tool_names


def test_a_mistake_says_only_what_the_user_will_say(
    environment: Environment, trace: CallTrace
) -> None:
    said = Facts().add_text("Mira Oduya, Salt and Rope")
    for seed in range(6):
        found = mistake_in(environment, trace, seed=seed)
        assert found is not None
        assert all(find_derivation(v, said) == "text" for v in found.call.arguments.values())


def test_a_mistake_may_cut_a_value_down(environment: Environment) -> None:
    trace = make_trace(environment, [find("Mira Oduya")])
    drawn = [mistake_in(environment, trace, seed=seed) for seed in range(12)]
    assert {f.call.arguments["name"] for f in drawn if f} == {"Mira", "mira oduya"}


def conversation(content: str, *, is_error: bool = False) -> list[Message]:
    call = ToolCall(id="call_0", name="find_card", arguments={"name": "Ines Kato"})
    return [
        Message(role="user", content="Look up the card of Ines Kato."),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=content, tool_call_id="call_0", is_error=is_error),
    ]


def test_a_mistake_may_take_a_value_that_a_result_showed() -> None:
    vault = Environment.from_class(Vault)
    trace = make_trace(vault, [PlannedCall("check_key", {"key": "K7"})])
    assert mistake_in(vault, trace) is None  # nothing else is known
    found = mistake_in(vault, trace, conversation('{"card": "C-1111"}'))
    assert found is not None and found.call.arguments == {"key": "C-1111"}


@pytest.mark.parametrize(
    ("content", "is_error"),
    [('{"card": "C-1111"}', True), ('{"told": "It has been closed."}', False), ('{"n": 1}', False)],
)
def test_no_mistake_takes_an_error_or_a_whole_message(content: str, is_error: bool) -> None:
    vault = Environment.from_class(Vault)
    trace = make_trace(vault, [PlannedCall("check_key", {"key": "K7"})])
    assert mistake_in(vault, trace, conversation(content, is_error=is_error)) is None


def test_what_no_call_refuses_has_no_mistake(environment: Environment) -> None:
    tickets = [PlannedCall("draw_ticket", {"counter": each}) for each in ("loans", "returns")]
    assert mistake_in(environment, make_trace(environment, tickets, requests=(0, 1))) is None


class Vault:
    """A vault that has to be opened first."""

    def reset(self, seed: int) -> None:
        self._open = False
        self._touched = 0

    def dump_state(self) -> dict[str, Any]:
        return {"_open": self._open, "_touched": self._touched}

    def load_state(self, state: dict[str, Any]) -> None:
        self._open, self._touched = state["_open"], state["_touched"]

    def open_vault(self, code_word: str) -> dict[str, Any]:
        """Open the vault.

        Args:
            code_word: The word.
        """
        self._open = True
        return {"open": True}

    def store_item(self, item: str) -> dict[str, Any]:
        """Put something into the vault.

        Args:
            item: What to put in.
        """
        if not self._open:
            self._touched += self.counts
            raise ValueError("The vault is shut.")
        return {"stored": item}

    def check_key(self, key: str) -> dict[str, Any]:
        """Tell whether a key fits.

        Args:
            key: The key.
        """
        if key.upper() != "K7":
            raise LookupError("There is no such key.")
        return {"fits": True}

    counts = 0


class CountingVault(Vault):
    """A vault on which each failure leaves its mark."""

    counts = 1


STORE = [
    PlannedCall("open_vault", {"code_word": "heron"}),
    PlannedCall("store_item", {"item": "a brass key"}),
]


def test_a_later_call_may_be_made_before_what_it_needs() -> None:
    vault = Environment.from_class(Vault)
    found = mistake_in(vault, make_trace(vault, STORE, requests=(1,)))
    assert found is not None
    assert (found.call.name, found.call.arguments) == ("store_item", {"item": "a brass key"})


@pytest.mark.parametrize("seed", range(3))
def test_a_refused_call_that_moves_the_state_is_no_mistake(seed: int) -> None:
    vault = Environment.from_class(CountingVault)
    assert mistake_in(vault, make_trace(vault, STORE, requests=(1,)), seed=seed) is None


def test_a_value_that_nobody_has_yet_is_replaced(trace: CallTrace) -> None:
    calls = [call for name, call in _replace_values(trace, ["Rope", 7]) if name == "lend_book"]
    assert calls == [{"card_number": "Rope", "title": "Salt and Rope"}]
