"""Parts of the package that need more than its base install."""

from __future__ import annotations

from importlib.util import find_spec

from funreason_agents.errors import MissingExtraError

TRAIN = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "matplotlib")
"""Modules that the extra `train` installs."""


def require_extra(extra: str, *modules: str) -> None:
    """Check that `modules` can be imported, without importing them.

    Args:
        extra: The extra of this package that installs them.
        modules: Names of top-level modules.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        msg = (
            f"{' and '.join(missing)} must be installed for this: "
            f'pip install "funreason-agents[{extra}]"'
        )
        raise MissingExtraError(msg)
