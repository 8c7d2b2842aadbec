"""The knobs of the data refiner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class RefinementContext(BaseModel):
    """Knobs of the data refiner, passed as `context=`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(16, ge=1, le=4096, description="Rows per step; each step is stored.")
    regenerations: int = Field(3, ge=0, le=10, description="Most answers made anew per row.")
    samples: int = Field(3, ge=1, le=64, description="HDR: answers of the student per hard row.")
    tau: float = Field(0.5, ge=0, le=1, description="HDR: least score at which a judge agrees.")
    max_rounds: int = Field(10, ge=1, le=100, description="HDR: rounds at most (T_max).")

    @classmethod
    def resolve(cls, value: object) -> Self:
        """Return the context to use; one of another type, as a parent's, means defaults.

        Raises:
            pydantic.ValidationError: a knob is unknown or out of bounds.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            nested = value.get("refinement", value if set(value) & set(cls.model_fields) else {})
            return nested if isinstance(nested, cls) else cls.model_validate(nested)
        return cls()
