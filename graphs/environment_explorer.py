"""LangGraph Studio entry point for the environment explorer. No logic here."""

from funreason_agents.studio import build_graph

graph = build_graph("environment_explorer")
