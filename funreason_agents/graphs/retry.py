"""Which failures a node tries again."""

from __future__ import annotations

from langgraph.types import RetryPolicy

from funreason_agents.errors import ModelError, ModelOutputError


def _is_transient(error: Exception) -> bool:
    return isinstance(error, ModelError) and not isinstance(error, ModelOutputError)


MODEL_RETRY = RetryPolicy(retry_on=_is_transient, max_attempts=3)
"""Given explicitly, since LangGraph's default would retry every error type of ours."""
