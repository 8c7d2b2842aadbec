"""A world served by `environments.serve` inside our own Python environment."""

from __future__ import annotations

from typing import Any

from funreason_agents.environments.base import Backend
from funreason_agents.environments.loader import load_environment


class LocalWorld:
    """What `load_environment(target)` gives, in the shape that the worker protocol serves."""

    def __init__(self, target: str, *options: str) -> None:
        allow = "allow_side_effects" in options
        self._environment = load_environment(target, isolated=False, allow_side_effects=allow)

    def tools(self) -> list[dict[str, Any]]:
        """Return the tool specs as JSON."""
        return [tool.to_json() for tool in self._environment.tools]

    def open(self, seed: int) -> Backend:
        """Open one live copy."""
        return self._environment.open_backend(seed)
