"""What a command line sets, read into the form that checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from funreason_agents.errors import ConfigurationError

Options = TypeVar("Options", bound=BaseModel)


def read_options(form: type[Options], given: Mapping[str, Any], *, knobs: bool = False) -> Options:
    """Return options as their form has them.

    Args:
        form: The form.
        given: By field.
        knobs: Most of them have no option of their own and are given by `--set`.

    Raises:
        ConfigurationError: some are unknown, out of bounds, or do not go with others.
    """
    unknown = sorted(set(given) - set(form.model_fields))
    if unknown:
        msg = (
            f"--set: unknown knob {unknown[0]!r}; there are {', '.join(sorted(form.model_fields))}"
        )
        raise ConfigurationError(msg)
    try:
        return form(**given)
    except ValidationError as exc:
        raise ConfigurationError("; ".join(_tell(each, knobs) for each in exc.errors())) from exc


def _tell(error: Mapping[str, Any], knobs: bool) -> str:
    # What concerns several options stands under none of them.
    path = [str(each) for each in error["loc"]]
    if path and not knobs:
        path = [f"--{path[0].replace('_', '-')}"]
    return ": ".join([*path, error["msg"]])
