"""A tiny world for tests of runs, and versions of it with a tool that breaks."""

import os
import random
import threading
import time
from typing import Any

OWNERS = ("Mira Oduya", "Tomas Feld", "Ines Kato", "Raj Benali", "Hanne Vik", "Leo Amato")
ITEMS = ("umbrella", "lantern", "kettle", "compass", "ladder", "blanket")


class Kiosk:
    """Lockers, found by their owner's name."""

    def reset(self, seed: int) -> None:
        draw = random.Random(seed)
        self._lockers = {
            f"L-{number}": {"owner": owner, "items": [draw.choice(ITEMS)]}
            for number, owner in zip(
                draw.sample(range(1000, 9999), 4), draw.sample(OWNERS, 4), strict=True
            )
        }

    def dump_state(self) -> dict[str, Any]:
        owners = sorted(each["owner"] for each in self._lockers.values())
        return {"owners": owners, "_lockers": self._lockers}

    def load_state(self, state: dict[str, Any]) -> None:
        self._lockers = state["_lockers"]

    def find_locker(self, owner: str) -> dict[str, Any]:
        """Find the number of a person's locker.

        Args:
            owner: Full name of the person.
        """
        for number, locker in self._lockers.items():
            if locker["owner"] == owner:
                return {"locker_number": number}
        raise LookupError(f"Nobody called {owner!r} has a locker.")

    def open_locker(self, locker_number: str) -> dict[str, Any]:
        """Open a locker and list what is in it.

        Args:
            locker_number: Number of the locker.
        """
        return {"items": self._locker(locker_number)["items"]}

    def empty_locker(self, locker_number: str) -> dict[str, Any]:
        """Throw away everything that is in a locker.

        Args:
            locker_number: Number of the locker.
        """
        locker = self._locker(locker_number)
        thrown, locker["items"] = locker["items"], []
        if not thrown:
            raise LookupError("The locker is empty already.")
        return {"thrown_away": len(thrown)}

    def _locker(self, number: str) -> dict[str, Any]:
        if number not in self._lockers:
            raise LookupError(f"There is no locker {number!r}.")
        return self._lockers[number]


class Breaking(Kiosk):
    """A world in which a tool breaks for half of the owners."""

    def greet_owner(self, owner: str) -> dict[str, Any]:
        """Say good morning to a person.

        Args:
            owner: Full name of the person.
        """
        if owner in OWNERS[::2]:
            return self._break()
        return {"greeting": f"Good morning, {owner}"}

    def _break(self) -> Any:
        raise NotImplementedError


class Hangs(Breaking):
    def _break(self) -> Any:
        time.sleep(60)


class Crashes(Breaking):
    def _break(self) -> Any:
        os._exit(3)


class ReturnsNoJson(Breaking):
    def _break(self) -> Any:
        return {"greeting": object()}


class Raises(Breaking):
    def _break(self) -> Any:
        raise RuntimeError("out of order")


class Undumpable:
    """State that nobody can dump."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def flip(self, coin: str) -> dict[str, Any]:
        """Flip a coin onto its other side.

        Args:
            coin: The side that is up, such as heads.
        """
        return {"side": "tails" if coin == "heads" else "heads"}


class NoTools:
    def _hidden(self) -> None: ...


class NoHints:
    def guess(self, what) -> None:
        """Guess."""
