"""Run knobs (`SynthesisContext`) and process settings (`Settings`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from funreason_agents.schemas.review import ReviewPoint
from funreason_agents.schemas.tasks import HardTurnKind
from funreason_agents.schemas.trajectory import MatchMode


class SynthesisContext(BaseModel):
    """Run knobs of all four graphs, passed as `context=`. Studio draws a form from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: int = Field(3, ge=1, le=64, description="Turns per trajectory.")
    max_calls: int = Field(6, ge=1, le=32, description="Most tool calls in one gold trace.")
    turn_attempts: int = Field(
        3, ge=1, le=10, description="Targets drawn for a turn before its trajectory is rejected."
    )
    critic_rounds: int = Field(
        3, ge=1, le=10, description="Attempts of the reasoner per turn, the first included."
    )
    samples_per_round: int = Field(
        1, ge=1, le=32, description="Independent attempts of the reasoner per round, in parallel."
    )
    query_rounds: int = Field(
        3, ge=1, le=10, description="Queries written per turn until the query gate lets one pass."
    )
    judge_queries: bool = Field(
        False, description="Ask a model whether a query is natural; it can only reject."
    )
    hard_turns: dict[HardTurnKind, float] = Field(
        default_factory=dict,
        description="Share of turns of each hard kind, such as 0.1; the rest is plain.",
    )
    target_weights: dict[str, float] = Field(
        default_factory=dict,
        description="How often each tool is a target, relative to the others; empty is equally. "
        "A tool that is not named gets the mean. `funreason probe` finds them.",
    )
    filler_chars: int = Field(
        6000, ge=500, le=400_000, description="Long context: characters of unrelated text."
    )
    distractors: int = Field(
        12, ge=0, le=64, description="Long context: tools offered that nothing needs."
    )
    reference_rate: float = Field(
        0.2, ge=0, le=1, description="How often a value said before is only referred to."
    )
    languages: tuple[str, ...] = Field(
        ("English",), min_length=1, description="Languages that queries are written in, by draw."
    )
    lookup_rate: float = Field(
        0.7, ge=0, le=1, description="How often a value is fetched by a call, if one can fetch it."
    )
    extra_rate: float = Field(
        0.25, ge=0, le=1, description="How often a request is added after the target was called."
    )
    match_mode: MatchMode = Field(
        "exact", description="How calls are compared: call by call, or by outcome (BFCL's rule)."
    )
    review: tuple[ReviewPoint, ...] = Field(
        (), description="Where a person is asked: at each written query, at each verified turn."
    )
    read_only: bool = Field(False, description="Walk only over tools that do not change the state.")

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        shares = self.hard_turns.values()
        if any(share < 0 for share in shares) or sum(shares) > 1 + 1e-9:
            msg = (
                f"the shares of hard_turns must be positive and sum to 1 at most: {self.hard_turns}"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        weights = self.target_weights.values()
        wrong = [weight for weight in weights if weight < 0 or not math.isfinite(weight)]
        if wrong or (weights and not any(weights)):
            msg = f"target_weights must be 0 or more, and not all 0: {self.target_weights}"
            raise ValueError(msg)
        return self

    @classmethod
    def resolve(cls, value: object) -> Self:
        """Return the context to use, whatever a parent graph passed down.

        A subgraph receives its parent's context object, of any type. So: our own type and a
        mapping are used, a foreign object is asked for its `synthesis` attribute, and
        everything else means defaults.

        Raises:
            pydantic.ValidationError: a knob is unknown or out of bounds.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            nested = value.get("synthesis", value if set(value) & set(cls.model_fields) else {})
            return nested if isinstance(nested, cls) else cls.model_validate(nested)
        nested = getattr(value, "synthesis", None)
        return cls() if nested is None else cls.resolve(nested)


class Settings(BaseSettings):
    """Process settings from `FUNREASON_*` variables; read only by the CLI and by Studio."""

    model_config = SettingsConfigDict(env_prefix="FUNREASON_", extra="ignore")

    environment: str = "tools/bookstore.py:Bookstore"
    model: str = "offline"
    base_url: str | None = None
    tool_timeout: float = Field(30.0, gt=0)

    def model_options(self) -> dict[str, Any]:
        """Return the keyword arguments for the model factory."""
        return {"base_url": self.base_url} if self.base_url else {}
