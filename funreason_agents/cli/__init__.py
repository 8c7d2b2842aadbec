"""The `funreason` command. Everything heavy is imported inside the commands."""

from funreason_agents.cli.app import main

__all__ = ["main"]
