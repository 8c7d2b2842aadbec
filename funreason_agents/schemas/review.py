"""What a person is asked in a review, what they may answer, and what is kept of it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from funreason_agents.schemas.base import Frozen, canonical_json
from funreason_agents.schemas.tasks import TurnKind

ReviewPoint = Literal["query", "turn"]
"""After the query was written, before the reasoner sees it; or after a turn was verified."""
ReviewAction = Literal["accept", "edit_query", "edit_call", "edit_reply", "reject"]


class ReviewedCall(Frozen):
    """A call of the turn, as the reviewer sees it."""

    name: str
    arguments: dict[str, Any]
    result: Any
    is_error: bool = False


class Edit(Frozen):
    """What a person changed in a turn; the first edit of a part has the model's version before."""

    action: Literal["edit_query", "edit_call", "edit_reply"]
    call: int | None = None
    """For `edit_call`: position of the call in the turn, from 0."""
    before: Any
    after: Any


class ReviewRequest(Frozen):
    """The payload of the interrupt: what the reviewer is to judge."""

    point: ReviewPoint
    turn: int
    kind: TurnKind
    before: tuple[str, ...] = ()
    """What was said in the turns before, by user and assistant in turn."""
    query: str
    """In a long context, the request alone: `filler_chars` tells what stands around it."""
    filler_chars: int = 0
    """Characters of unrelated text around the query. It stays, whatever the query becomes."""
    then: str = ""
    """What the user says next, where the query lacks something: it completes the request."""
    calls: tuple[ReviewedCall, ...]
    """At a query, the gold calls that it must lead to; at a turn, the calls that were made."""
    reply: str = ""
    actions: tuple[ReviewAction, ...]
    """What may be answered at this point."""
    edits: tuple[Edit, ...] = ()
    """What was changed in this turn so far, by edits that passed; `query` and so on show it."""
    refused: tuple[str, ...] = ()
    """Why the decision before could not be taken: the checks that it failed, with details."""


class ReviewDecision(Frozen):
    """The reviewer's answer: resume the thread with it, as JSON.

    An edit that passes does not end the review: the turn is shown again as it then stands, with
    new results, so that several things can be changed, until it is accepted or rejected.
    """

    action: ReviewAction
    query: str | None = None
    """For `edit_query`: the new query."""
    call: int | None = Field(default=None, ge=0)
    """For `edit_call`: position of the call in the turn, from 0."""
    arguments: dict[str, Any] | None = None
    """For `edit_call`: its new arguments, all of them."""
    reply: str | None = None
    """For `edit_reply`: the new closing reply."""
    reason: str | None = None
    """For `reject`: why; it is kept with the rejected turn."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        needed = {
            "accept": (),
            "edit_query": ("query",),
            "edit_call": ("call", "arguments"),
            "edit_reply": ("reply",),
            "reject": ("reason",),
        }[self.action]
        for name in ("query", "call", "arguments", "reply", "reason"):
            part = getattr(self, name)
            given = bool(part.strip()) if isinstance(part, str) else part is not None
            if given != (name in needed):
                msg = f"{self.action!r} {'needs' if name in needed else 'takes no'} {name!r}"
                raise ValueError(msg)
        try:
            canonical_json(self.model_dump()).encode()
        except (TypeError, ValueError) as exc:
            msg = f"it holds what is no JSON: {exc}"
            raise ValueError(msg) from exc
        return self
