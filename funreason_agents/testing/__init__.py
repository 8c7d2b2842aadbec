"""Helpers for the tests of your own environments and graphs."""

from funreason_agents.testing.check_environment import (
    CheckResult,
    EnvironmentReport,
    check_environment,
)

__all__ = ["CheckResult", "EnvironmentReport", "check_environment"]
