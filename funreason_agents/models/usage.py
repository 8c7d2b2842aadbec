"""What model calls used: of one call, and of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4
"""By which tokens are estimated where a server does not count them."""


@dataclass(frozen=True)
class CallScope:
    """Which call this is: for the ledger and for limits per trajectory."""

    thread_id: str = ""
    """Thread of the trajectory; empty where there is none."""
    node: str = ""


@dataclass(frozen=True)
class Usage:
    """What one call came to."""

    input: int
    output: int
    total: int
    estimated: bool


@dataclass
class Totals:
    """What some calls came to."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    """Calls to models that the price table does not hold."""
    estimated: int = 0
    """Calls whose tokens the server did not count."""
    failed: int = 0
    """Calls that no answer came to."""
    requests: int = 0
    """Requests sent, those included that were sent again."""
    seconds: float = 0.0

    def add(self, line: Mapping[str, Any]) -> None:
        """Add one line of the ledger."""
        self.calls += 1
        self.input_tokens += line["input"]
        self.output_tokens += line["output"]
        self.tokens += line["total"]
        self.usd += line["usd"] or 0.0
        self.unpriced += line["usd"] is None
        self.estimated += line["estimated"]
        self.failed += not line["answered"]
        self.requests += line["attempts"]
        self.seconds += line["seconds"]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as they stand in the manifest; `usd` is null if it is not known."""
        return {
            "calls": self.calls,
            "requests": self.requests,
            "failed": self.failed,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "tokens": self.tokens,
            "estimated": self.estimated,
            "usd": None if self.unpriced else round(self.usd, 6),
            "seconds": round(self.seconds, 1),
        }
