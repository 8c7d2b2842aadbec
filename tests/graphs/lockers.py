"""A tiny environment: lockers with numbers, found by their owner's name."""

import random
from typing import Any

OWNERS = ("Mira Oduya", "Tomas Feld", "Ines Kato", "Raj Benali")
ITEMS = ("umbrella", "lantern", "kettle", "compass")


class Lockers:
    """A corridor of lockers."""

    def reset(self, seed: int) -> None:
        draw = random.Random(seed)
        numbers = draw.sample(range(1000, 9999), len(OWNERS))
        self._lockers = {
            f"L-{number}": {"owner": owner, "items": [item]}
            for number, owner, item in zip(numbers, OWNERS, ITEMS, strict=True)
        }

    def dump_state(self) -> dict[str, Any]:
        return {
            "owners": sorted(each["owner"] for each in self._lockers.values()),
            "_lockers": self._lockers,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self._lockers = state["_lockers"]

    def find_locker(self, owner: str) -> dict[str, Any]:
        """Find a person's locker.

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
        if locker_number not in self._lockers:
            raise LookupError(f"There is no locker {locker_number!r}.")
        return {"items": self._lockers[locker_number]["items"]}

    def empty_locker(self, locker_number: str) -> dict[str, Any]:
        """Throw away everything that is in a locker.

        Args:
            locker_number: Number of the locker.
        """
        if locker_number not in self._lockers:
            raise LookupError(f"There is no locker {locker_number!r}.")
        thrown = self._lockers[locker_number]["items"]
        if not thrown:
            raise LookupError("The locker is empty already.")
        self._lockers[locker_number]["items"] = []
        return {"thrown_away": len(thrown)}
