"""Small worlds for the tool graph's tests."""

import random
from typing import Any


class Tickets:
    """The paper's example: two zip codes, then a ticket."""

    def reset(self, seed: int) -> None:
        draw = random.Random(seed)
        cities = ("Rivermist", "Stonebrook", "Oakendale", "Maplecrest")
        zips = draw.sample(range(10000, 99999), len(cities))
        self._zips = dict(zip(cities, map(str, zips), strict=True))
        self._sold: list[str] = []

    def dump_state(self) -> dict[str, Any]:
        return {
            "cities": [{"city": c} for c in self._zips],
            "_zips": self._zips,
            "sold": self._sold,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self._zips, self._sold = state["_zips"], state["sold"]

    def get_zipcode(self, city: str) -> dict[str, str]:
        """Look up a zip code.

        Args:
            city: Name of the city.
        """
        return {"zipcode": self._zips[city]}

    def buy_ticket(self, from_zipcode: str, to_zipcode: str) -> dict[str, str]:
        """Buy a ticket between two places.

        Args:
            from_zipcode: Zip code of the start.
            to_zipcode: Zip code of the end.
        """
        if from_zipcode == to_zipcode or not {from_zipcode, to_zipcode} <= set(self._zips.values()):
            raise ValueError("unknown route")
        self._sold.append(f"T{len(self._sold)}")
        return {"ticket": self._sold[-1]}


class Board:
    """Notes that only somebody who is logged in may post."""

    starts_logged_in = False

    def reset(self, seed: int) -> None:
        draw = random.Random(seed)
        names = ("mira", "tomas", "ines")
        self.accounts = [
            {"username": name, "password": f"{name[::-1]}-{draw.randint(10, 99)}"} for name in names
        ]
        self.user = "mira" if self.starts_logged_in else None
        self.notes: list[str] = []

    def dump_state(self) -> dict[str, Any]:
        return {"accounts": self.accounts, "user": self.user, "_notes": self.notes}

    def load_state(self, state: dict[str, Any]) -> None:
        self.accounts, self.user, self.notes = state["accounts"], state["user"], state["_notes"]

    def log_in(self, username: str, password: str) -> dict[str, str]:
        """Log in.

        Args:
            username: Name of the user.
            password: Password of the user.
        """
        if self.user is not None:
            raise ValueError("log out first")
        if {"username": username, "password": password} not in self.accounts:
            raise ValueError("wrong password")
        self.user = username
        return {"welcome": username}

    def log_out(self) -> dict[str, bool]:
        """Log out."""
        if self.user is None:
            raise ValueError("nobody is logged in")
        self.user = None
        return {"done": True}

    def post_note(self, text: str) -> dict[str, int]:
        """Post a note.

        Args:
            text: What it says.
        """
        if self.user is None:
            raise ValueError("log in first")
        self.notes.append(text)
        return {"notes": len(self.notes)}

    def count_notes(self) -> dict[str, int]:
        """Count the notes of the user."""
        if self.user is None:
            raise ValueError("log in first")
        return {"notes": len(self.notes)}


class OpenBoard(Board):
    """The same, but the session starts logged in."""

    starts_logged_in = True


class Depot:
    """Parcels with two interchangeable ways to their code, and a tool that nothing reaches."""

    def reset(self, seed: int) -> None:
        draw = random.Random(seed)
        self.parcels = {
            f"P-{code}": {"owner": owner, "shelf": shelf, "weight": draw.randint(1, 9)}
            for code, owner, shelf in zip(
                draw.sample(range(1000, 9999), 3),
                ("Ada Moor", "Lin Shaw", "Sam Field"),
                ("north", "south", "east"),
                strict=True,
            )
        }
        self.sent: list[str] = []

    def dump_state(self) -> dict[str, Any]:
        seen = [{k: v for k, v in each.items() if k != "weight"} for each in self.parcels.values()]
        return {"parcels": seen, "_parcels": self.parcels, "sent": self.sent}

    def load_state(self, state: dict[str, Any]) -> None:
        self.parcels, self.sent = state["_parcels"], state["sent"]

    def _find(self, key: str, value: str) -> dict[str, str]:
        return next({"parcel_code": c} for c, each in self.parcels.items() if each[key] == value)

    def find_by_owner(self, owner: str) -> dict[str, str]:
        """Find a parcel.

        Args:
            owner: Whose it is.
        """
        return self._find("owner", owner)

    def find_by_shelf(self, shelf: str) -> dict[str, str]:
        """Find a parcel.

        Args:
            shelf: Where it lies.
        """
        return self._find("shelf", shelf)

    def send_parcel(self, parcel_code: str, remark: str = "") -> dict[str, int]:
        """Send a parcel off.

        Args:
            parcel_code: Code of the parcel.
            remark: Anything to be noted.
        """
        if parcel_code not in self.parcels or parcel_code in self.sent:
            raise ValueError("no such parcel")
        self.sent.append(parcel_code)
        return {"sent": len(self.sent)}

    def weigh_parcel(self, parcel_code: str) -> dict[str, int]:
        """Weigh a parcel.

        Args:
            parcel_code: Code of the parcel.
        """
        return {"weight": self.parcels[parcel_code]["weight"]}

    def open_vault(self, combination: int) -> str:
        """Open the vault.

        Args:
            combination: Secret number.
        """
        raise PermissionError("the vault is sealed")
