"""`python -m funreason_agents.cli`, the same as `funreason`."""

from funreason_agents.cli.app import main

main()
