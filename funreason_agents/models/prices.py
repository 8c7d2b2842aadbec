"""What tokens cost: a table that the user gives, since prices change more often than packages."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from funreason_agents.errors import ConfigurationError

EXAMPLE = '["gpt-x*"]\ninput = 1.25   # US dollars per million tokens\noutput = 10.0'
"""A price file: a table for each pattern of model ids; the first that fits is used."""


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return what these tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


_TABLE = TypeAdapter(dict[str, Price])
_FREE = {"offline": Price(input=0, output=0)}


@dataclass(frozen=True)
class Prices:
    """Price by pattern of model ids, such as `gpt-x*`.

    Only the offline model has a price of its own: nothing. No other price is shipped, because it
    would be wrong before long, and a limit in money would then silently not hold.
    """

    table: Mapping[str, Price]

    def find(self, model: str) -> Price | None:
        """Return the price of the model with id `model`, or None if the table has none."""
        for pattern, price in (*self.table.items(), *_FREE.items()):
            if fnmatchcase(model, pattern):
                return price
        return None


def load_prices(given: str | Path | Mapping[str, Any] | None) -> Prices:
    """Return a price table from a TOML file or from a mapping of the same form.

    Raises:
        ConfigurationError: the file cannot be read, or holds something else.
    """
    if given is None:
        return Prices({})
    try:
        if isinstance(given, Mapping):
            return Prices(_TABLE.validate_python(dict(given)))
        return Prices(_TABLE.validate_python(tomllib.loads(Path(given).read_text("utf-8"))))
    except OSError as exc:
        msg = f"cannot read the prices in {str(given)!r}: {exc.strerror}"
        raise ConfigurationError(msg) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        msg = f"{str(given)!r} is no TOML: {exc}. It should look like this:\n{EXAMPLE}"
        raise ConfigurationError(msg) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(map(str, first["loc"]))
        msg = f"prices: {place}: {first['msg']}. They should look like this:\n{EXAMPLE}"
        raise ConfigurationError(msg) from exc
