"""Helpers for the tests of your own environments and graphs."""

from funreason_agents.doctor import (
    CheckResult,
    EnvironmentReport,
    check_environment,
)
from funreason_agents.testing.scripted import ModelCall, ScriptedChatModel

__all__ = [
    "CheckResult",
    "EnvironmentReport",
    "ModelCall",
    "ScriptedChatModel",
    "check_environment",
]
