"""A small chain of bookshops: catalogue, branches, customer accounts, orders and wishlists.

Customers sign in, put copies on hold at a branch, pay for them, and have them shipped or refunded.
Browsing needs no account. Prices are in US dollars. Keys of the state that start with an underscore
hold what no customer knows by heart, such as ISBNs and branch codes: it takes a look-up.

Load it with ``funreason explore tools/bookstore.py:Bookstore``.
"""

import hashlib
import itertools
import json
import random
from typing import Annotated, Any, Literal

from pydantic import Field

Record = dict[str, Any]

_ID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CUSTOMERS = ("Mira Oduya", "Tomas Feld", "Ines Kato", "Raj Benali", "Hanne Vik", "Leo Amato")
_WORDS = ("maple", "cobalt", "ferry", "lantern", "pepper", "quartz", "saddle", "thicket")
_FIRST_NAMES = ("Adaeze", "Bruno", "Clara", "Dmitri", "Esther", "Farid", "Greta", "Hugo")
_LAST_NAMES = ("Lindqvist", "Castellan", "Ishimori", "Hale", "Quill", "Montrose", "Sandoval")
_ADJECTIVES = ("Salt", "Borrowed", "Quiet", "Copper", "Northern", "Paper", "Drowned", "Second")
_NOUNS = ("Ledger", "Orchard", "Harbour", "Cartographer", "Winter", "Embassy", "Lighthouse")
_CITIES = ("Ghent", "Porto", "Leeds", "Graz", "Turku", "Lyon", "Bergen", "Krakow", "Cork", "Basel")
_CURRENCIES = (("EUR", 0.92), ("GBP", 0.79), ("JPY", 151.0), ("CHF", 0.88))


def _pick(records: list[Record], key: str, value: str, what: str) -> Record:
    """Return the record whose key equals the value, ignoring letter case, or raise."""
    wanted = value.strip().casefold()
    for record in records:
        if str(record[key]).casefold() == wanted:
            return record
    raise LookupError(f"There is no {what} {value!r} in this shop.")


def _show(record: Record, *keys: str) -> Record:
    """Return the named fields of a record, the private ones without their underscore."""
    return {key.lstrip("_"): record[key] for key in keys}


class Bookstore:
    """The bookshop world; one instance serves one customer conversation."""

    def __init__(self) -> None:
        self._state: Record = {}
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start again from the shop, its customers, stock and rates, that a seed stands for."""
        rng = random.Random(seed)
        first_names, last_names = rng.sample(_FIRST_NAMES, 5), rng.sample(_LAST_NAMES, 5)
        authors = [f"{first} {last}" for first, last in zip(first_names, last_names, strict=True)]
        titles = rng.sample([f"The {a} {n}" for a in _ADJECTIVES for n in _NOUNS], 13)
        isbns = [f"978-{number}" for number in rng.sample(range(10**8, 10**9), len(titles))]
        cities, words = rng.sample(_CITIES, 7), rng.sample(_WORDS, 6)
        self._state = {"_seed": seed, "signed_in_as": None, "reservations": [], "wishlists": []}
        self._state["branches"] = [
            {"_branch_code": self._opaque("BR", city), "city": city} for city in cities[:4]
        ]
        self._state["books"] = [
            {
                "_isbn": isbn,
                "title": title,
                "author": authors[i % len(authors)],
                "pages": rng.randint(120, 780),
                "price": rng.randint(8, 39) + 0.5 * rng.randint(0, 1),
                "_stock": {b["_branch_code"]: rng.randint(3, 8) for b in self._state["branches"]},
            }
            for i, (isbn, title) in enumerate(zip(isbns, titles, strict=True))
        ]
        self._state["exchange_rates"] = [
            {"currency": code, "_rate": round(rate * rng.uniform(0.9, 1.1), 4)}
            for code, rate in _CURRENCIES
        ]
        self._state["gift_cards"] = [
            {"gift_code": self._opaque("GIFT", str(i)), "value": float(value), "redeemed": False}
            for i, value in enumerate(rng.sample(range(15, 80, 5), 3))
        ]
        self._state["delivery_zones"] = [
            {"delivery_city": city, "fee": float(rng.randint(3, 12))} for city in cities[3:]
        ]
        self._state["accounts"] = [
            {
                "username": customer.lower().replace(" ", rng.choice("._-")),
                "password": f"{words[i]}-{words[i + 3]}-{rng.randint(10, 99)}",
                "gift_balance": float(rng.randint(20, 60)),
            }
            for i, customer in enumerate(rng.sample(_CUSTOMERS, 3))
        ]
        for account, book in zip(self._state["accounts"], self._state["books"], strict=False):
            branch = rng.choice(self._state["branches"])
            order = self._hold(account, book, branch, 1)
            receipt = self._opaque("RCP", order["reservation_id"])
            order.update(status="paid", receipt_number=receipt, payment_method="card")

    def dump_state(self) -> Record:
        """Return the whole world; whoever opens the session copies what it keeps."""
        return self._state

    def load_state(self, state: Record) -> None:
        """Replace the whole world by a state that was dumped earlier."""
        self._state = state

    def sign_in(self, username: str, password: str) -> Record:
        """Open a customer session in the shop with the customer's login details.

        Args:
            username: Login handle of the customer's account.
            password: Secret that belongs to that account.

        Returns:
            The login handle and the gift balance in dollars.
        """
        if (current := self._state["signed_in_as"]) is not None:
            raise PermissionError(f"{current} is still signed in and has to sign out first.")
        account = _pick(self._state["accounts"], "username", username, "account")
        if account["password"] != password:
            raise PermissionError(f"The password for {username} is wrong.")
        self._state["signed_in_as"] = account["username"]
        return _show(account, "username", "gift_balance")

    def sign_out(self) -> Record:
        """End the current customer session, so that orders can no longer be touched.

        Returns:
            The login handle of the customer whose session ended.
        """
        username = self._customer()["username"]
        self._state["signed_in_as"] = None
        return {"signed_out": username}

    def search_books(self, author: str, sort_by: Literal["price", "pages"] = "price") -> Record:
        """List what the shop sells by one writer, the cheapest or the shortest work first.

        Args:
            author: Full name of the writer.
            sort_by: What to order the list by.

        Returns:
            The writer's books, each with ISBN, title, price in dollars and page count.
        """
        wanted = author.strip().casefold()
        books = [book for book in self._state["books"] if book["author"].casefold() == wanted]
        if not books:
            raise LookupError(f"The shop sells no book by {author!r}.")
        books.sort(key=lambda book: book[sort_by])
        return {"books": [_show(book, "_isbn", "title", "price", "pages") for book in books]}

    def find_book(self, title: str) -> Record:
        """Look up the ISBN of the one work that carries exactly a given name.

        Args:
            title: Full title printed on the cover.

        Returns:
            The ISBN, the title and the author.
        """
        book = _pick(self._state["books"], "title", title, "book titled")
        return _show(book, "_isbn", "title", "author")

    def compare_books(self, isbn: str, other_isbn: str) -> Record:
        """Compare two different works by price and by length.

        Args:
            isbn: ISBN of the first book.
            other_isbn: ISBN of the second book, different from the first.

        Returns:
            The ISBNs of the cheaper and of the longer book, and the difference in price.
        """
        first, second = self._book(isbn), self._book(other_isbn)
        if first is second:
            raise ValueError("A book cannot be compared with itself; give two different ISBNs.")
        return {
            "cheaper_isbn": min(first, second, key=lambda b: b["price"])["_isbn"],
            "longer_isbn": max(first, second, key=lambda b: b["pages"])["_isbn"],
            "price_difference": round(abs(first["price"] - second["price"]), 2),
        }

    def find_branch(self, city: str) -> Record:
        """Look up the internal code of the chain's shop in a given town.

        Args:
            city: City in which the branch lies.

        Returns:
            The branch code.
        """
        return _show(_pick(self._state["branches"], "city", city, "branch in"), "_branch_code")

    def convert_price(self, price: float, currency: Literal["EUR", "GBP", "JPY", "CHF"]) -> Record:
        """Express a sum of US dollars in foreign money at the shop's own rate of today.

        Args:
            price: Sum in US dollars.
            currency: Code of the currency to express it in.

        Returns:
            The converted sum and its currency.
        """
        quote = _pick(self._state["exchange_rates"], "currency", currency, "exchange rate for")
        return {"converted_price": round(price * quote["_rate"], 2), "currency": currency}

    def redeem_gift_card(self, gift_code: str) -> Record:
        """Cash in a gift voucher, adding its value to the signed-in customer's gift balance.

        Args:
            gift_code: Code printed on the gift card.

        Returns:
            The value that was added and the new gift balance, in dollars.
        """
        account = self._customer()
        card = _pick(self._state["gift_cards"], "gift_code", gift_code, "gift card")
        if card["redeemed"]:
            raise ValueError(f"Gift card {card['gift_code']} has been redeemed before.")
        card["redeemed"] = True
        account["gift_balance"] += card["value"]
        return {"added_value": card["value"], "gift_balance": account["gift_balance"]}

    def reserve_book(
        self, isbn: str, branch_code: str, quantity: Annotated[int, Field(ge=1, le=4)]
    ) -> Record:
        """Put copies of one work on hold in one shop for the signed-in customer, unpaid as yet.

        Args:
            isbn: ISBN of the book to hold.
            branch_code: Code of the branch that sets the copies aside.
            quantity: Number of copies.

        Returns:
            The reservation number and the amount due in dollars.
        """
        account, book = self._customer(), self._book(isbn)
        branch = _pick(self._state["branches"], "_branch_code", branch_code, "branch with code")
        left = book["_stock"][branch["_branch_code"]]
        if not 1 <= quantity <= left:
            raise ValueError(f"{quantity} copies cannot be held; {branch['city']} has {left} left.")
        return _show(self._hold(account, book, branch, quantity), "reservation_id", "amount_due")

    def cancel_reservation(self, reservation_id: str) -> Record:
        """Give up a hold that has not been paid; the copies go back on the shelf.

        Args:
            reservation_id: Number of the customer's own unpaid reservation.

        Returns:
            The number of the cancellation.
        """
        order = self._own_order("reservation_id", reservation_id, "held")
        self._book(order["_isbn"])["_stock"][order["_branch_code"]] += order["quantity"]
        order["status"] = "cancelled"
        return {"cancellation_number": self._opaque("CXL", order["reservation_id"])}

    def pay_reservation(
        self, reservation_id: str, payment_method: Literal["card", "gift_balance"]
    ) -> Record:
        """Settle a held order with money, which turns it into a purchase with a receipt.

        Args:
            reservation_id: Number of the customer's own unpaid reservation.
            payment_method: Whether the stored card or the gift balance is charged.

        Returns:
            The receipt number and the amount paid in dollars.
        """
        account, order = self._customer(), self._own_order("reservation_id", reservation_id, "held")
        due = order["amount_due"]
        if payment_method == "gift_balance":
            if account["gift_balance"] < due:
                raise ValueError(f"The gift balance does not cover {due} dollars; top it up first.")
            account["gift_balance"] -= due
        elif payment_method != "card":
            raise ValueError(f"The shop does not accept {payment_method!r} as payment.")
        receipt = self._opaque("RCP", order["reservation_id"])
        order.update(status="paid", receipt_number=receipt, payment_method=payment_method)
        return {"receipt_number": receipt, "amount_paid": due}

    def ship_order(self, receipt_number: str, delivery_city: str) -> Record:
        """Send a purchase that has been paid to a town the shop delivers to, as a parcel.

        Args:
            receipt_number: Receipt of the customer's own paid order.
            delivery_city: City the parcel goes to.

        Returns:
            The tracking code and the shipping fee in dollars.
        """
        order = self._own_order("receipt_number", receipt_number, "paid")
        zone = _pick(self._state["delivery_zones"], "delivery_city", delivery_city, "delivery to")
        code = self._opaque("TRK", order["receipt_number"], zone["delivery_city"])
        order.update(status="shipped", tracking_code=code, shipped_to=zone["delivery_city"])
        return {"tracking_code": code, "shipping_fee": zone["fee"]}

    def request_refund(
        self, receipt_number: str, refund_reason: Literal["changed mind", "duplicate", "damaged"]
    ) -> Record:
        """Return a purchase that was paid but not shipped and get the money back.

        Args:
            receipt_number: Receipt of the customer's own paid order.
            refund_reason: Why the customer gives the books back; damaged copies are not resold.

        Returns:
            The refund number and the refunded sum in dollars.
        """
        order = self._own_order("receipt_number", receipt_number, "paid")
        if refund_reason in ("changed mind", "duplicate"):
            self._book(order["_isbn"])["_stock"][order["_branch_code"]] += order["quantity"]
        elif refund_reason != "damaged":
            raise ValueError(f"{refund_reason!r} is not a reason for a refund here.")
        if order["payment_method"] == "gift_balance":
            self._customer()["gift_balance"] += order["amount_due"]
        refund = self._opaque("RFD", order["receipt_number"])
        order.update(status="refunded", refund_number=refund, refund_reason=refund_reason)
        return {"refund_number": refund, "refunded_amount": order["amount_due"]}

    def save_wishlist(
        self, wishlist_title: str, titles: Annotated[list[str], Field(min_length=1, max_length=5)]
    ) -> Record:
        """Save several works as a named list of wishes of the signed-in customer.

        Args:
            wishlist_title: Heading the customer gives the list.
            titles: Full titles of one to five different books.

        Returns:
            The number of the new list and what its books cost together in dollars.
        """
        owner = self._customer()["username"]
        books = [_pick(self._state["books"], "title", title, "book titled") for title in titles]
        isbns = sorted({book["_isbn"] for book in books})
        if not isbns or len(isbns) < len(books):
            raise ValueError("A wishlist needs at least one book and may not hold a book twice.")
        wishlist = {"owner": owner, "wishlist_title": wishlist_title, "_isbns": isbns}
        saved = self._insert("wishlists", "wishlist_id", "WSH", wishlist)
        return _show(saved, "wishlist_id") | {"total_price": sum(book["price"] for book in books)}

    def _opaque(self, prefix: str, *content: str) -> str:
        """Derive a code from the content, so that it does not depend on the order of calls."""
        text = "/".join((str(self._state["_seed"]), prefix, *content))
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"{prefix}-" + "".join(_ID_ALPHABET[byte % 32] for byte in digest[:5])

    def _insert(self, table: str, key: str, prefix: str, record: Record) -> Record:
        """File a record under a fresh code, in code order so that equal worlds dump equally."""
        records, content = self._state[table], json.dumps(record, sort_keys=True)
        codes = (self._opaque(prefix, content, str(attempt)) for attempt in itertools.count())
        code = next(each for each in codes if all(each != existing[key] for existing in records))
        filed = {key: code, **record}
        records.append(filed)
        records.sort(key=lambda existing: existing[key])
        return filed

    def _hold(self, account: Record, book: Record, branch: Record, quantity: int) -> Record:
        """Set copies aside for a customer and return the unpaid order."""
        order = {
            "held_for": account["username"],
            "_isbn": book["_isbn"],
            "_branch_code": branch["_branch_code"],
            "quantity": quantity,
            "amount_due": book["price"] * quantity,
            "status": "held",
        }
        book["_stock"][branch["_branch_code"]] -= quantity
        return self._insert("reservations", "reservation_id", "RSV", order)

    def _customer(self) -> Record:
        if (username := self._state["signed_in_as"]) is None:
            raise PermissionError("Nobody is signed in; the customer has to sign in first.")
        return _pick(self._state["accounts"], "username", username, "account")

    def _book(self, isbn: str) -> Record:
        return _pick(self._state["books"], "_isbn", isbn, "book with ISBN")

    def _own_order(self, key: str, code: str, status: str) -> Record:
        """Return the signed-in customer's order with this code if it has the needed status."""
        account = self._customer()
        order = _pick([o for o in self._state["reservations"] if key in o], key, code, "order")
        if order["held_for"] != account["username"]:
            raise PermissionError(f"{code} belongs to another customer.")
        if order["status"] != status:
            raise ValueError(f"{code} is {order['status']}, but it has to be {status} for this.")
        return order
