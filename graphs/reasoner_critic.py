"""LangGraph Studio entry point for the reasoner/critic. No logic here."""

from funreason_agents.studio import build_graph

graph = build_graph("reasoner_critic")
