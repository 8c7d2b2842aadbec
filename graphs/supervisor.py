"""LangGraph Studio entry point for the full pipeline. No logic here."""

from funreason_agents.studio import build_graph

graph = build_graph("supervisor")
