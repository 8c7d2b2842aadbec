"""A world of which one tool never comes back; loaded by path, in a worker process."""

import time


class Slow:
    """Two zip codes in a row, and a tool that hangs."""

    def reset(self, seed: int) -> None:
        self._zips = {"Rivermist": str(83000 + seed), "Stonebrook": str(74000 + seed)}

    def dump_state(self) -> dict:
        return {"cities": [{"city": name} for name in self._zips], "_zips": self._zips}

    def load_state(self, state: dict) -> None:
        self._zips = state["_zips"]

    def get_zipcode(self, city: str) -> dict:
        """Look up a zip code.

        Args:
            city: Name of the city.
        """
        return {"zipcode": self._zips[city]}

    def buy_ticket(self, zipcode: str) -> dict:
        """Buy a ticket.

        Args:
            zipcode: Zip code of the place.
        """
        if zipcode not in self._zips.values():
            raise ValueError("unknown place")
        return {"ticket": "T1"}

    def hang_forever(self) -> str:
        """Hang."""
        time.sleep(30)
        return "never"
