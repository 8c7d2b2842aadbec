"""The environment that a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment


def load(target: str, timeout: float, allow_side_effects: bool) -> Environment:
    """Return the environment; see `load_environment`."""
    from funreason_agents.environments.loader import load_environment  # noqa: PLC0415

    return load_environment(target, timeout=timeout, allow_side_effects=allow_side_effects)
