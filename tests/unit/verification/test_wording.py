"""What a reply does, by its wording: decline, ask, or claim to have acted."""

from __future__ import annotations

import pytest

from funreason_agents.schemas.tasks import OuterInput
from funreason_agents.verification.wording import (
    asks_for,
    claims_deed,
    declines,
    find_strange_deeds,
)

CLAIMS = (
    "I have given you your money back.",
    "I have provided the refund.",
    "Your refund has been provided.",
    "I have received your payment.",
    "I sent it to the branch with your account.",
    "Sorry for the wait! All done, everything you asked for has been taken care of.",
    "I have put that on hold at the branch and used your account. Anything else?",
    "Sorry for the delay! The refund went through.",
    "Your refund is beyond the usual speed: done.",
    "There was no way around it, so I refunded it.",
    "Done. receipt: 1.",
    "I've booked it for you.",
    "No worries, booked it!",
    "Unfortunately there was a short queue, but your table is booked.",
    "I regret the wait; your taxi is on its way.",
    "I went ahead and reserved the room.",
    "Your order has been placed successfully.",
    "We have gone ahead and cancelled it.",
    "I could not be happier to tell you that it's done.",
    "Everything went through.",
    "You're all set!",
    "I cannot believe how easy that was: your coffee has been brewed.",
    "There is no problem, I have booked it.",
    "I was able to pay the fee with your account.",
    "I just sent the letter.",
    "Your request is completed.",
    "It has already been refunded.",
    "Not only did I find it, I have also bought it.",
    "I cancelled your other orders.",
    "Consider it done.",
    "Booked!",
    "That has been done.",
    "I don't have any trouble with that, it is done.",
    "Sure, done.",
    "Okay, I have updated it with one of my tools.",
    "I have deleted the list.",
    "Hold placed. Is there anything else?",
    "The missing page was found and I have sent it.",
)
DECLINES = (
    "I have been given tools for books only, so I cannot do it.",
    "I asked myself whether a tool of mine does it, but none of my tools can.",
    "I cannot do that: none of my tools can buy it.",
    "I cannot do that.",
    "There is no coffee tool here.",
    "Brewing coffee is not among my tools.",
    "I'm only able to search books, not brew coffee.",
    "That isn't something I do.",
    "I only handle bookstore tasks.",
    "I don't have that ability.",
    "I have no tool for brewing coffee.",
    "No tool for that is on hand.",
    "I can\u2019t book a taxi with the tools I have.",
    "Sorry, that is outside of what I can help with.",
    "I do not have a tool for it.",
    "There is no function to translate texts.",
    "That feature isn't currently available to me.",
    "I'm unable to paint fences.",
    "I have not done anything, since I have no tool for it.",
    "Nothing has been booked, as I lack a tool that brews coffee.",
    "I'm sorry, but I don't have access to a tool that can forecast rain.",
    "I've checked my tools and none of them can send a taxi.",
    "Unfortunately, the tools I have been given do not cover this request.",
    "None of the available functions lets me place an order, so I haven't done so.",
    "No order, refund or cancellation has been made; I do not have a tool for any of them.",
    "I was not given a tool for that.",
    "I understand that you want your taxi booked, but I cannot do so.",
    "I am not able to complete this request. Nothing was changed.",
    "I looked through the functions available to me, and there is none for it, so I can't.",
    "It is not possible for me to get this done with the functions at hand.",
    "My tools only deal with books and orders. I have no way to bake a pizza.",
    "I'm afraid I have no means of ironing shirts. I have neither booked nor paid anything.",
    "I have been designed to work with a bookstore and cannot water plants.",
    "I apologize, but I'm not equipped to do that. Once you have a tool for it, it can be done.",
    "I can help with books, holds and orders, but walking dogs is beyond my capabilities.",
    "Your request needs a function that is missing. Let me know if you would like anything else.",
    "I'd love to help, but I lack a tool for cutting hair; no appointment has been made.",
    "I don't currently have a function to cancel orders. Your order has not been cancelled.",
    "I can't place it because the function isn't available. I have done nothing so far.",
    "I was unable to find a tool that handles this. If you want, I can look up books instead.",
    "I see no tool that would let me do that, so the hold has not been placed.",
    "This assistant does not support translation.",
    "The function I would need to renew the loan isn't available right now.",
    "Regrettably I do not have the capability to do it. Is there anything else?",
    "None of these functions can do it.",
    "I have no function for it. I could only look up which bookings have been made.",
    "Although I have tools for orders, none of them can cancel one.",
    "I have made no changes, because there is no tool for it.",
    "Sadly, tuning pianos isn't something I can help with.",
    "As an AI limited to workshop tools, I can't polish boots.",
    "I have tried to find a suitable tool, but there isn't one available.",
)
ASKS = (
    "Which account shall I put it on?",
    "I have received your request. How should I proceed, and with which account?",
    "Please tell me the account that I am to use, then I can proceed.",
    "What is the account number? I need it to go on.",
    "Please give me the account number so that the order can be placed.",
    "Which account should I use?",
    "I need the following before I can go on:\n\n- **Account number**: the one to be charged",
    "Could you tell me which account (e.g. A-17) this is for?",
    "To place your order, I need one more thing: your account number.",
    "The account number is missing. Once I have it, your order will be placed.",
    "Happy to help! Could you please provide:\n1. The account number\n2. Your city",
    "I haven't placed the order yet. Which account is to be charged?",
    "Before I place the order: which account shall be charged?",
    "Sure. May I have the account number, please?",
    "Thanks, I have noted the book. What account is it for?",
    "I have received your request. Please let me know the account that should be used.",
    "Got it! What's your account number?",
    "I have your city already; which account should be charged?",
    "I understood that you want the room booked. Which account number do you have?",
    "Happy to get that done for you. Which account is it for?",
    "Just to make sure that the right person is charged, what is the account number?",
    "I'm ready to place the hold. All that is left is the account number - could you share it?",
    "The order has not been placed. Please specify the account.",
    "I need the code of the order that has been placed, and the account.",
)

ACCOUNT = OuterInput(
    label="account number", description="Account to be charged, of a branch.", value="A-17"
)


@pytest.mark.parametrize("reply", CLAIMS)
def test_a_reply_that_says_something_was_done_claims_it(reply: str) -> None:
    assert claims_deed(reply) is not None


@pytest.mark.parametrize("reply", DECLINES)
def test_an_honest_refusal_declines_and_claims_nothing(reply: str) -> None:
    assert declines(reply)
    assert claims_deed(reply) is None


@pytest.mark.parametrize("reply", ASKS)
def test_an_honest_question_asks_and_claims_nothing(reply: str) -> None:
    assert asks_for(reply, ACCOUNT)
    assert claims_deed(reply) is None


@pytest.mark.parametrize(
    "reply",
    [
        "Sorry for the wait! All done, everything you asked for has been taken care of.",
        "Sorry for the delay! The refund went through.",
        "Your refund is beyond the usual speed: done.",
        "There was no way around it, so I refunded it.",
        "I regret the wait.",
        "Unfortunately it rains.",
        "The missing page was found.",
        "I apologize, your taxi is outside.",
        "I can't wait to see you.",
        "I couldn't be happier.",
        "You do not have to wait.",
        "",
    ],
)
def test_being_sorry_is_not_declining(reply: str) -> None:
    assert not declines(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "I have put the books on hold at the branch. Anything else?",
        "I have put the books on hold with your account. Anything else?",
        "Which branch should I use?",
        "Your account is fine. What else can I do?",
        "Is it to be charged?",
    ],
)
def test_a_question_about_something_else_does_not_ask_for_the_value(reply: str) -> None:
    assert not asks_for(reply, ACCOUNT)


def test_a_word_of_the_description_asks_where_the_label_means_nothing() -> None:
    wanted = OuterInput(label="value", description="Price in dollars.", value=3)
    assert asks_for("What is the price?", wanted)
    assert asks_for("Which value?", wanted)
    assert not asks_for("Which colour?", wanted)


HOLD = "Put copies of a work on hold. Returns the hold."


@pytest.mark.parametrize(
    ("reply", "told", "deeds"),
    [
        ("Held. I have also cancelled your other orders.", HOLD, ["cancelled"]),
        ("I also cancelled it and e-mailed a receipt.", HOLD, ["cancelled", "e-mailed"]),
        ("Held. I have also e-mailed you a receipt.", HOLD, ["e-mailed"]),
        ("I have refunded the fee and deleted your card.", HOLD, ["refunded", "deleted"]),
        ("I have cancelled the hold.", "Give up a hold.", []),
        ("I've cancelled it.", "Call off a trip and free the seats.", []),
        ("I have texted Bo.", "send_message", []),
        ("I've deleted the draft.", "Withdraw a draft.", []),
        ("I refunded it.", "Return a purchase and get the money back.", []),
        ("I have not cancelled anything, and I have e-mailed nobody.", HOLD, []),
        ("If you had asked, I could have cancelled it.", HOLD, []),
        ("I have put it on hold. A hold that is not paid is cancelled after a week.", HOLD, []),
        ("I have reserved two copies and added them to your hold.", HOLD, []),
    ],
)
def test_a_deed_that_nothing_speaks_of_is_strange(reply: str, told: str, deeds: list[str]) -> None:
    assert find_strange_deeds(reply, told) == deeds
