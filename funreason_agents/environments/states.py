"""Dumped states: a state is looked at several times over, but parsed and hashed once."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel

from funreason_agents.schemas.base import content_hash

KEPT = 1024
"""States that are kept. A turn comes back to each of its own when it is walked, minimised, acted
and replayed, so this is enough for a few hundred trajectories at once."""
LONGEST = 16_384
"""Characters of a state that is kept."""


class DumpedState(dict[str, Any]):
    """A state as JSON, with its text and hash. Sessions share it: it must not be changed."""

    def __init__(self, text: str) -> None:
        super().__init__(json.loads(text))
        self.text = text

    @cached_property
    def hash(self) -> str:
        """The content hash of the state."""
        return content_hash(self)


def dump(state: Any) -> Any:
    """Return `state` as JSON gives it back, to be looked at only.

    Raises:
        TypeError: `state` holds something that is neither JSON nor a Pydantic model.
        ValueError: `state` holds NaN, an infinity, or itself.
    """
    text = _to_text(state)
    if not text.startswith("{"):
        return json.loads(text)
    return _keep(text) if len(text) <= LONGEST else DumpedState(text)


def hash_state(state: Any) -> str:
    """Return the content hash of a state.

    Raises:
        TypeError: it holds something that is not JSON.
        ValueError: it holds NaN or an infinity.
    """
    return state.hash if isinstance(state, DumpedState) else content_hash(state)


def copy_state(state: Any) -> Any:
    """Return a copy of a dumped state, to be changed at will."""
    return json.loads(state.text) if isinstance(state, DumpedState) else to_plain_json(state)


def to_plain_json(value: Any) -> Any:
    """Return a copy of `value` as JSON gives it back: tuples become lists, keys become strings.

    So a world is the same in this process and behind a worker.

    Raises:
        TypeError: `value` holds something that is neither JSON nor a Pydantic model.
        ValueError: `value` holds NaN, an infinity, or itself.
    """
    return json.loads(_to_text(value))


_keep = lru_cache(maxsize=KEPT)(DumpedState)


def _to_text(value: Any) -> str:
    return json.dumps(value, default=_encode, allow_nan=False)


def _encode(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    msg = f"{type(value).__name__} is not JSON"
    raise TypeError(msg)
