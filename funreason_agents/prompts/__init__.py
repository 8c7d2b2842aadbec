"""Prompt templates, one Markdown file per role, and their strict loader."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from funreason_agents.errors import ConfigurationError

ROLES = ("tooling", "querying", "reasoning", "critiquing", "judging")
_VARIABLE = re.compile(r"\{\{(\w+)\}\}")


@cache
def _read(role: str) -> str:
    return files(__name__).joinpath(f"{role}.md").read_text(encoding="utf-8")


def render_prompt(role: str, **variables: str) -> str:
    """Fill in the template of `role`.

    Raises:
        ConfigurationError: a variable of the template is missing, or one given is not used.
    """
    template = _read(role)
    wanted = set(_VARIABLE.findall(template))
    if wanted != set(variables):
        msg = f"prompt {role!r} takes {sorted(wanted)}, was given {sorted(variables)}"
        raise ConfigurationError(msg)
    return _VARIABLE.sub(lambda match: variables[match.group(1)], template)


def prompt_hash(role: str) -> str:
    """Return the hash of the template of `role`, as it stands in provenance."""
    return hashlib.sha256(_read(role).encode()).hexdigest()[:12]
