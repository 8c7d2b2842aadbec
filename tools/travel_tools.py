"""A travel agency: LangChain tools over an in-memory SQLite database, one database per session.

Travellers log in, look up airports, flights and hotels by city, hold seats and rooms, spend points,
pay by card, check in and cancel. Amounts are in US dollars. Columns that start with an underscore
hold what no traveller knows by heart, such as airport codes: it takes a look-up.

Load it with ``funreason explore tools/travel_tools.py:open_travel``.
"""

import hashlib
import random
import sqlite3
from typing import Annotated, Any, Literal, NoReturn

from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import Field

from funreason_agents import ToolSession

Record = dict[str, Any]
Names = Annotated[list[str], Field(min_length=1, max_length=4)]
Nights = Annotated[int, Field(ge=1, le=14)]
Points = Annotated[int, Field(ge=100, le=900)]
Reason = Literal["illness", "new plans", "too expensive"]

# The columns have no declared type, so SQLite hands every value back exactly as it was loaded.
_TABLES = {
    "world": "_seed",
    "accounts": "username, password, traveller_name, loyalty_points",
    "cards": "_card_id, card_owner, card_label, credit_left",
    "airports": "_airport_code, city, country, currency, _rate",
    "flights": "_flight_code, _origin_code, _destination_code, departs_on, fare, seats",
    "hotels": "_hotel_code, hotel_name, city, stars, nightly_rate",
    "sessions": "_access_token, session_user, is_open",
    "bookings": "booking_reference, booker, _item_code, units, guests, amount_due, status, _card",
}
_ID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PLACES = (
    ("Lisbon", "Portugal", "EUR", 0.92),
    ("Oslo", "Norway", "NOK", 10.6),
    ("Prague", "Czechia", "CZK", 23.1),
    ("Warsaw", "Poland", "PLN", 3.95),
    ("Zurich", "Switzerland", "CHF", 0.88),
    ("Budapest", "Hungary", "HUF", 358.0),
)
_TRAVELLERS = ("Nadia Brandt", "Oscar Pillai", "Yuki Larsen", "Amara Costa", "Felix Novak")
_HOTELS = ("Grand Meridian", "Harbour Lodge", "Old Mill Inn", "Station Rooms", "Villa Aurora")
_SECRETS = ("kestrel", "biscuit", "tundra", "velvet", "marble", "gondola")


def open_travel(seed: int) -> ToolSession:
    """Open the agency that a seed stands for, with a fresh database of its own."""
    agency = _Agency(seed)
    return ToolSession(
        tools=[*_account_tools(agency), *_offer_tools(agency), *_booking_tools(agency)],
        dump_state=agency.dump_state,
        load_state=agency.load_state,
        close=agency.database.close,
    )


def _opaque(prefix: str, *content: object) -> str:
    """Derive a code from its content, so that it does not depend on the order of calls."""
    digest = hashlib.sha256("/".join(map(str, content)).encode("utf-8")).digest()
    return f"{prefix}-" + "".join(_ID_ALPHABET[byte % 32] for byte in digest[:5])


def _refuse(reason: str) -> NoReturn:
    raise ToolException(reason)


def _make_rows(seed: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of the tables that a seed stands for."""
    rng = random.Random(seed)
    places, people = rng.sample(_PLACES, 5), rng.sample(_TRAVELLERS, 3)
    users = [person.lower().replace(" ", ".") for person in people]
    secrets = [f"{secret}{rng.randint(100, 999)}" for secret in rng.sample(_SECRETS, 3)]
    codes = [_opaque("AP", seed, place) for place in places]
    routes = [(start, goal) for start in codes for goal in codes if start != goal]
    flights: list[tuple[Any, ...]] = []
    for number, route in enumerate(routes + rng.sample(routes, 10)):
        day, fare = f"2031-{rng.randint(3, 9):02}-{rng.randint(1, 28):02}", rng.randint(60, 420)
        flights.append((_opaque("FL", seed, number), *route, day, fare, rng.randint(4, 9)))
    cards = [
        (_opaque("CARD", seed, user, label), user, label, rng.randint(3000, 9000))
        for user in users
        for label in ("personal", "company")
    ]
    return {
        "world": [(seed,)],
        "accounts": [
            (user, secret, person, rng.randint(2000, 6000))
            for user, secret, person in zip(users, secrets, people, strict=True)
        ],
        "cards": cards,
        "airports": [
            (code, city, country, currency, round(rate * rng.uniform(0.9, 1.1), 4))
            for code, (city, country, currency, rate) in zip(codes, places, strict=True)
        ],
        "flights": flights,
        "hotels": [
            (_opaque("HT", seed, city, hotel), f"{hotel} {city}", city, stars, stars * 35)
            for city, *_ in places
            for hotel, stars in zip(rng.sample(_HOTELS, 3), rng.sample(range(2, 6), 3), strict=True)
        ],
        "bookings": [
            (_opaque("BKG", seed, user), user, flight[0], 1, person, flight[4], "paid", card[0])
            for user, person, card, flight in zip(users, people, cards[::2], flights, strict=False)
        ],
    }


class _Agency:
    """The database of one session and what several tools do with it."""

    def __init__(self, seed: int) -> None:
        # Autocommit: tools check everything before their first write, so none stops half-way.
        self.database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.database.row_factory = sqlite3.Row
        self.write = self.database.execute
        for table, columns in _TABLES.items():
            self.write(f"CREATE TABLE {table} ({columns})")
        state = {}
        for table, rows in _make_rows(seed).items():
            state[table] = [dict(zip(_TABLES[table].split(", "), row, strict=True)) for row in rows]
        self.load_state(state)

    def dump_state(self) -> Record:
        """Return all rows, in the order of their keys so that equal worlds dump equally."""
        return {table: self.rows(f"SELECT * FROM {table} ORDER BY 1") for table in _TABLES}

    def load_state(self, state: Record) -> None:
        """Replace all rows by dumped ones."""
        for table, columns in _TABLES.items():
            self.write(f"DELETE FROM {table}")
            query = f"INSERT INTO {table} VALUES (:{columns.replace(', ', ', :')})"
            self.database.executemany(query, state.get(table, []))

    def rows(self, query: str, *values: object) -> list[Record]:
        """Return the rows a query gives."""
        return [dict(row) for row in self.database.execute(query, values)]

    def one(self, missing: str, query: str, *values: object) -> Record:
        """Return the first row a query gives, or refuse with the sentence `missing`."""
        found = self.rows(query, *values)
        return found[0] if found else _refuse(missing)

    def new_code(self, prefix: str, *content: object) -> str:
        """Return the code that some content has in this world."""
        return _opaque(prefix, self.one("No seed.", "SELECT _seed FROM world")["_seed"], *content)

    def user(self, access_token: str) -> str:
        """Return who the token stands for, or refuse."""
        query = "SELECT session_user FROM sessions WHERE _access_token = ? AND is_open"
        missing = "This access token is not valid; the traveller has to log in first."
        return str(self.one(missing, query, access_token)["session_user"])

    def book(self, user: str, item_code: str, units: int, guests: str, amount: int) -> Record:
        """Record an unpaid booking and return what the traveller gets to know of it."""
        same = "SELECT 1 FROM bookings WHERE booker = ? AND _item_code = ? AND guests = ?"
        number = len(self.rows(same, user, item_code, guests))
        reference = self.new_code("BKG", user, item_code, units, guests, number)
        row = (reference, user, item_code, units, guests, amount, "held", None)
        self.write("INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return {"booking_reference": reference, "amount_due": amount}

    def booking(self, access_token: str, booking_reference: str, *statuses: str) -> Record:
        """Return the traveller's own booking if it has one of the statuses, or refuse."""
        user, query = self.user(access_token), "SELECT * FROM bookings WHERE booking_reference = ?"
        found = self.one(f"There is no booking {booking_reference!r}.", query, booking_reference)
        if found["booker"] != user:
            _refuse(f"Booking {booking_reference} belongs to another traveller.")
        if found["status"] not in statuses:
            needed = " or ".join(statuses)
            _refuse(f"Booking {booking_reference} is {found['status']}; it has to be {needed}.")
        return found

    def change(self, booking_reference: str, column: str, value: object) -> None:
        """Set one column of a booking."""
        query = f"UPDATE bookings SET {column} = ? WHERE booking_reference = ?"
        self.write(query, (value, booking_reference))


def _account_tools(agency: _Agency) -> list[BaseTool]:
    @tool(parse_docstring=True)
    def log_in(username: str, password: str) -> Record:
        """Start a traveller's session with the login details; returns the key for private actions.

        Args:
            username: Login handle of the traveller's account.
            password: Secret that belongs to that account.
        """
        query = "SELECT * FROM accounts WHERE username = ? AND password = ?"
        account = agency.one("Username and password do not match.", query, username, password)
        sessions = agency.rows("SELECT is_open FROM sessions WHERE session_user = ?", username)
        if any(session["is_open"] for session in sessions):
            _refuse(f"{username} is logged in already and has to log out first.")
        access_token = agency.new_code("TOK", username, len(sessions))
        agency.write("INSERT INTO sessions VALUES (?, ?, 1)", (access_token, username))
        return {"access_token": access_token, "loyalty_points": account["loyalty_points"]}

    @tool(parse_docstring=True)
    def log_out(access_token: str) -> Record:
        """End a traveller's session, so that its key opens nothing any more, and say whose it was.

        Args:
            access_token: Access token of the session to end.
        """
        user = agency.user(access_token)
        agency.write("UPDATE sessions SET is_open = 0 WHERE _access_token = ?", (access_token,))
        return {"logged_out": user}

    @tool(parse_docstring=True)
    def find_card(access_token: str, card_label: Literal["personal", "company"]) -> Record:
        """Look up the internal id of one of the traveller's bank cards, and its credit in dollars.

        Args:
            access_token: Access token of the traveller's session.
            card_label: Which of the two stored cards.
        """
        query = "SELECT _card_id AS card_id, credit_left FROM cards WHERE card_owner = ?"
        owner, missing = agency.user(access_token), f"There is no {card_label!r} card."
        return agency.one(missing, f"{query} AND card_label = ?", owner, card_label)

    @tool(parse_docstring=True)
    def redeem_points(access_token: str, booking_reference: str, points: Points) -> Record:
        """Lower what is owed for a held trip by giving up loyalty rewards; tells what is left.

        Args:
            access_token: Access token of the traveller's session.
            booking_reference: Reference of the traveller's own unpaid booking.
            points: How many loyalty points to spend, each of them worth five cents.
        """
        booking = agency.booking(access_token, booking_reference, "held")
        user, due = booking["booker"], round(booking["amount_due"] - points / 20, 2)
        query = "SELECT loyalty_points FROM accounts WHERE username = ?"
        left = agency.one("There is no such account.", query, user)["loyalty_points"] - points
        if left < 0 or due < 0:
            _refuse(f"{points} points are more than the traveller has or than the booking costs.")
        agency.write("UPDATE accounts SET loyalty_points = ? WHERE username = ?", (left, user))
        agency.change(booking_reference, "amount_due", due)
        return {"amount_due": due, "points_left": left}

    return [log_in, log_out, find_card, redeem_points]


def _offer_tools(agency: _Agency) -> list[BaseTool]:
    @tool(parse_docstring=True)
    def find_airport(city: str) -> Record:
        """Look up the internal code of the airport that serves a town, and its country.

        Args:
            city: City whose airport is wanted.
        """
        query = "SELECT _airport_code AS airport_code, country FROM airports WHERE city = ?"
        return agency.one(f"No airport serves {city!r}.", f"{query} COLLATE NOCASE", city)

    @tool(parse_docstring=True)
    def search_flights(origin_code: str, destination_code: str) -> Record:
        """List the planes from one town to another by day, each with its code and fare per seat.

        Args:
            origin_code: Airport code of the start.
            destination_code: Airport code of the goal.
        """
        query = "SELECT _flight_code AS flight_code, departs_on, fare FROM flights "
        query += "WHERE _origin_code = ? AND _destination_code = ? ORDER BY departs_on, 1"
        flights = agency.rows(query, origin_code, destination_code)
        return {"flights": flights} if flights else _refuse("No flight links these airport codes.")

    @tool(parse_docstring=True)
    def search_hotels(city: str, min_stars: Annotated[int, Field(ge=1, le=4)] = 1) -> Record:
        """List places to stay in a town, the cheapest first, each with its code and rate per night.

        Args:
            city: City to stay in.
            min_stars: Least number of stars a listed hotel may have.
        """
        query = "SELECT _hotel_code AS hotel_code, hotel_name, stars, nightly_rate FROM hotels "
        query += "WHERE city = ? COLLATE NOCASE AND stars >= ? ORDER BY nightly_rate, 1"
        hotels = agency.rows(query, city, min_stars)
        return {"hotels": hotels} if hotels else _refuse(f"No such hotel in {city!r}.")

    @tool(parse_docstring=True)
    def convert_amount(amount_due: Annotated[float, Field(gt=0)], country: str) -> Record:
        """Express a sum of US dollars in the local money of another land, and name that money.

        Args:
            amount_due: Sum in US dollars.
            country: Country whose currency is wanted.
        """
        query = "SELECT currency, _rate FROM airports WHERE country = ? COLLATE NOCASE"
        found = agency.one(f"The agency has no rate for {country!r}.", query, country)
        amount = round(amount_due * found["_rate"], 2)
        return {"converted_amount": amount, "currency": found["currency"]}

    return [find_airport, search_flights, search_hotels, convert_amount]


def _booking_tools(agency: _Agency) -> list[BaseTool]:
    @tool(parse_docstring=True)
    def hold_seats(access_token: str, flight_code: str, traveller_names: Names) -> Record:
        """Hold one seat on a plane per listed person; returns the reference and the sum owed.

        Args:
            access_token: Access token of the traveller's session.
            flight_code: Code of the flight.
            traveller_names: Full names of the one to four people who fly.
        """
        user, query = agency.user(access_token), "SELECT * FROM flights WHERE _flight_code = ?"
        flight = agency.one(f"There is no flight {flight_code!r}.", query, flight_code)
        query = "SELECT units FROM bookings WHERE _item_code = ? AND status NOT LIKE 'cancelled%'"
        left = flight["seats"] - sum(row["units"] for row in agency.rows(query, flight_code))
        guests = sorted(set(traveller_names))
        if len(guests) > left:
            _refuse(f"Only {left} seats are left on flight {flight_code}.")
        amount = flight["fare"] * len(guests)
        return agency.book(user, flight_code, len(guests), ", ".join(guests), amount)

    @tool(parse_docstring=True)
    def hold_room(access_token: str, hotel_code: str, nights: Nights) -> Record:
        """Hold a double room for a stay, unpaid as yet; returns the reference and the sum owed.

        Args:
            access_token: Access token of the traveller's session.
            hotel_code: Code of the hotel.
            nights: Number of nights from 1 to 14.
        """
        user, query = agency.user(access_token), "SELECT * FROM hotels WHERE _hotel_code = ?"
        hotel = agency.one(f"There is no hotel {hotel_code!r}.", query, hotel_code)
        amount, stay = hotel["nightly_rate"] * nights, f"{nights} nights"
        return agency.book(user, hotel_code, 1, stay, amount)

    @tool(parse_docstring=True)
    def pay_booking(access_token: str, booking_reference: str, card_id: str) -> Record:
        """Settle what is owed for a held trip with a bank card; returns the payment number.

        Args:
            access_token: Access token of the traveller's session.
            booking_reference: Reference of the traveller's own unpaid booking.
            card_id: Internal id of the traveller's card.
        """
        booking = agency.booking(access_token, booking_reference, "held")
        query, due = "SELECT * FROM cards WHERE _card_id = ?", booking["amount_due"]
        card = agency.one(f"There is no card {card_id!r}.", query, card_id)
        if card["card_owner"] != booking["booker"] or card["credit_left"] < due:
            _refuse(f"Card {card_id} is not the traveller's, or lacks the {due} dollars of credit.")
        left = round(card["credit_left"] - due, 2)
        agency.write("UPDATE cards SET credit_left = ? WHERE _card_id = ?", (left, card_id))
        agency.change(booking_reference, "status", "paid")
        agency.change(booking_reference, "_card", card_id)
        payment_number = agency.new_code("PAY", booking_reference, card_id)
        return {"payment_number": payment_number, "amount_paid": due, "credit_left": left}

    @tool(parse_docstring=True)
    def check_in(
        access_token: str, booking_reference: str, seat_preference: Literal["window", "aisle"]
    ) -> Record:
        """Check the people of a paid flight in and return the number of their boarding pass.

        Args:
            access_token: Access token of the traveller's session.
            booking_reference: Reference of the traveller's own paid flight.
            seat_preference: Where in the row to sit.
        """
        booking = agency.booking(access_token, booking_reference, "paid")
        query, missing = "SELECT 1 FROM flights WHERE _flight_code = ?", "Hotels need no check-in."
        agency.one(missing, query, booking["_item_code"])
        agency.change(booking_reference, "status", f"checked in ({seat_preference})")
        return {"boarding_pass": agency.new_code("BP", booking_reference, seat_preference)}

    @tool(parse_docstring=True)
    def cancel_booking(access_token: str, booking_reference: str, cancel_reason: Reason) -> Record:
        """Call off a held or paid trip and return what was paid to its card; tells the sum.

        Args:
            access_token: Access token of the traveller's session.
            booking_reference: Reference of the traveller's own booking, not yet checked in.
            cancel_reason: Why the trip is called off.
        """
        booking = agency.booking(access_token, booking_reference, "held", "paid")
        refund = booking["amount_due"] if booking["status"] == "paid" else 0
        query = "UPDATE cards SET credit_left = credit_left + ? WHERE _card_id = ?"
        agency.write(query, (refund, booking["_card"]))
        agency.change(booking_reference, "status", f"cancelled ({cancel_reason})")
        number = agency.new_code("CXL", booking_reference)
        return {"cancellation_number": number, "refunded_amount": refund}

    return [hold_seats, hold_room, pay_booking, check_in, cancel_booking]
