"""A closing reply passes where it is true, however it is written, and fails where it is not."""

# ruff: noqa: E501
from __future__ import annotations

import pytest

from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.grounding import find_ungrounded

FACTS = (
    Facts()
    .add_text('Please reserve 3 copies of "The Quiet Ledger" in Oslo for March 3, 2031.')
    .add_arguments({"quantity": 3, "city": "Oslo", "arrives_on": "2031-03-03"})
    .add_result(
        {
            "reservation_id": "RSV-4F7K2",
            "total": 45.5,
            "currency": "USD",
            "arrives_on": "2031-03-03",
            "status": "confirmed",
            "discount": 0.12,
            "balance": -12.25,
            "paid": True,
        }
    )
    .add_result(
        {
            "hotels": [
                {"hotel_name": "Old Mill Inn", "nightly_rate": 70, "stars": 2},
                {"hotel_name": "Grand Meridian", "nightly_rate": 1105, "stars": 5},
            ]
        }
    )
)

TRUE = [
    "Your order RSV-4F7K2 for 3 copies is confirmed, total 45.50 USD, arriving March 3.",
    "Your order **RSV-4F7K2** for three copies is confirmed, total $45.50, arriving 3rd of March, 2031.",
    "- **Reservation ID**: RSV-4F7K2\n- **Total:** 45.50 USD\n- *Arrives on*: 3 March 2031\n- Status: Confirmed",
    "1. Reservation RSV\u20114F7K2\n2. Total: \u20ac45,50",
    "| Hotel name | Nightly rate |\n|---|---|\n| Old Mill Inn | 70 |\n| Grand Meridian | $1,105 |",
    "| Field | Value |\n|---|---|\n| Total | 45.50 |\n| Currency | USD |",
    "You get a 12% discount; your balance is \u221212.25 USD.",
    "The balance is -$12.25.",
    "There are 2 hotels: Old Mill Inn (2 stars, 70 a night) and Grand Meridian (5 stars, 1,105 a night).",
    "The Grand Meridian is $1,035 more expensive per night than Old Mill Inn.",
    "Together the two hotels cost $1,175.",
    "For 3 nights at 70 each that is 210.",
    "I've reserved \u201cThe Quiet Ledger\u201d in Oslo. The currency is USD.",
    "Paid: yes. Status: confirmed!",
    "Your reservation id is RSV-4F7K2 and the total is 45.5.",
    "That's about 46 dollars in total.",
    "The order arrives on 2031-03-03 (3/3/2031).",
    "Done! The total is now USD 45.50.",
    "Total=45.50USD; 45.5USD",
    "RSV-4F7K2: 3 copies, $45.50",
    "Cheapest: Old Mill Inn at 70/night.",
    "It is 70\u20131105 per night.",
    "You owe 12.25.",
]

FALSE = [
    "Your order RSV-4F7K3 for 3 copies is confirmed.",
    "for 4 copies RSV-4F7K2",
    "for four copies",
    "total 46.50 USD",
    "arriving March 4",
    "arriving April 3, 2031",
    "arriving March 3, 2032",
    "**Total:** 54.50",
    "Total: 2",
    "Status: Cancelled",
    "| Hotel name | Nightly rate |\n|---|---|\n| Old Mill Inn | 1105 |\n| Grand Meridian | 70 |",
    "| Field | Value |\n|---|---|\n| Total | 70 |",
    "- Hotel name: Old Mill Inn\n- Nightly rate: 1105",
    "You get a 13% discount",
    "balance is 12.25",
    "The balance is +12.25",
    "Old Mill Inn (3 stars)",
    "There are 7 hotels.",
    "The currency is EUR.",
    "The currency is Norwegian Kroner",
    "Paid: no",
    "$1,106 a night",
    "$1,036 more expensive",
    "Together $1,176",
    "total 1.105,50",
    "\u201cThe Loud Ledger\u201d",
    "'The Loud Ledger' is yours",
    "arriving 2031-03-30",
    "at 2:30pm",
    "\u20ac45,60",
    "city: Paris",
    "RSV-4F7K2-X",
    "arrives on: 03.04.2031",
    "Reservation id: RSV-ABCDE",
    "seventeen books",
    "It costs 46 dollars.",
    "Arrives on: March 4",
]


@pytest.mark.parametrize("reply", TRUE)
def test_a_true_reply_is_grounded(reply: str) -> None:
    assert find_ungrounded(reply, FACTS) == []


@pytest.mark.parametrize("reply", FALSE)
def test_a_reply_with_one_wrong_value_is_not_grounded(reply: str) -> None:
    assert find_ungrounded(reply, FACTS) != []


def test_a_total_over_several_results_may_be_stated_under_its_own_field() -> None:
    facts = Facts().add_text("?").add_result({"total": 39.5}).add_result({"total": 20.0})
    assert find_ungrounded("Total: 59.5 USD for both.", facts) == []
    assert find_ungrounded("Total: 60.5 USD for both.", facts) != []


def test_a_computed_number_needs_a_sentence_that_computes() -> None:
    facts = Facts().add_text("?").add_result({"price": 39.5, "fee": 20.5})
    assert find_ungrounded("Together that is 60 dollars.", facts) == []
    assert find_ungrounded("It costs 60 dollars.", facts) != []


def test_values_of_two_rows_do_not_mix() -> None:
    facts = Facts().add_result({"code": "AA-11", "country": "Peru"})
    facts = facts.add_result({"code": "BB-22", "country": "Chile"})
    assert find_ungrounded("Code: AA-11; country: Peru. Code: BB-22; country: Chile.", facts) == []
    assert find_ungrounded("Code: BB-22; country: Peru. Code: AA-11; country: Chile.", facts) != []
