"""A small world for the hard turns: a lending library with cards, loans and a queue."""

import random
from collections.abc import Sequence
from typing import Any

from funreason_agents import Environment
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.execution import PlannedCall, execute_plan
from funreason_agents.hard_turns.planning import Scene
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, OuterInput
from funreason_agents.schemas.tools import Origin
from funreason_agents.verification.derivations import Facts

MEMBERS = ("Mira Oduya", "Tomas Feld", "Ines Kato", "Raj Benali")


class Library:
    """A lending library."""

    def reset(self, seed: int) -> None:
        numbers = random.Random(seed).sample(range(1000, 9999), len(MEMBERS))
        self._cards = {n: f"C-{number}" for n, number in zip(MEMBERS, numbers, strict=True)}
        self._loans: list[list[str]] = []
        self._tickets = 0

    def dump_state(self) -> dict[str, Any]:
        return {
            "members": sorted(self._cards),
            "_cards": self._cards,
            "_loans": self._loans,
            "_tickets": self._tickets,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self._cards, self._loans = state["_cards"], state["_loans"]
        self._tickets = state["_tickets"]

    def find_card(self, name: str) -> dict[str, Any]:
        """Look up the library card of a member.

        Args:
            name: Full name of the member.
        """
        return {"card_number": self._cards[name]}

    def lend_book(self, card_number: str, title: str, shelf: str = "main") -> dict[str, Any]:
        """Hand a volume out for three weeks.

        Args:
            card_number: Number on the card.
            title: Title of the volume.
            shelf: Where it stands.
        """
        if card_number not in self._cards.values():
            raise LookupError(f"There is no card {card_number!r}.")
        self._loans.append([card_number, title])
        return {"loans": sum(card == card_number for card, _ in self._loans)}

    def draw_ticket(self, counter: str) -> dict[str, Any]:
        """Draw the next number of the queue.

        Args:
            counter: Which queue.
        """
        self._tickets += 1
        return {"ticket": 100 + self._tickets}


class Twins:
    """Two tools that say the same of themselves."""

    def reset(self, seed: int) -> None:
        self._seed = seed

    def dump_state(self) -> dict[str, Any]:
        return {"_seed": self._seed}

    def load_state(self, state: dict[str, Any]) -> None:
        self._seed = state["_seed"]

    def read_gauge(self, tank: str) -> dict[str, Any]:
        """Read the water level of a tank.

        Args:
            tank: Which tank.
        """
        return {"level": 7}

    def check_gauge(self, tank: str) -> dict[str, Any]:
        """Read the water level of one tank.

        Args:
            tank: Which tank.
        """
        return {"level": 7}


FROM_CARD = {"/card_number": Origin(kind="output", call=0, path="/card_number")}


def make_trace(
    environment: Environment, plan: Sequence[PlannedCall], requests: tuple[int, ...] = (0,)
) -> CallTrace:
    session = environment.open(3)
    start = session.state_hash()
    calls = execute_plan(session, plan)
    assert calls is not None
    session.close()
    return CallTrace(
        environment_id=environment.id,
        seed=3,
        target=calls[requests[-1]].call.name,
        state_before=start,
        calls=tuple(calls),
        requests=requests,
    )


def lend(name: str = "Mira Oduya", title: str = "Salt and Rope", **more: Any) -> list[PlannedCall]:
    return [
        PlannedCall("find_card", {"name": name}),
        PlannedCall("lend_book", {"card_number": "", "title": title, **more}, FROM_CARD),
    ]


def make_scene(environment: Environment, trace: CallTrace, **changes: Any) -> Scene:
    inputs = [
        OuterInput(label=name.replace("_", " "), description="request 1", value=value)
        for step in trace.calls
        for name, value in step.call.arguments.items()
        if f"/{name}" not in step.origins
    ]
    tool = AdvancedTool(
        name="composite",
        description="hand a volume out",
        inputs=tuple(inputs),
        composition=trace.tool_names,
    )
    values: dict[str, Any] = {
        "trace": trace,
        "tool": tool,
        "tools": environment.tools,
        "before": Facts(),
        "called": frozenset(),
        "context": SynthesisContext(filler_chars=2000, distractors=5),
        "generator": random.Random(1),
    }
    return Scene(**{**values, **changes})
