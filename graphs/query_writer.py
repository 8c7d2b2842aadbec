"""LangGraph Studio entry point for the query writer. No logic here."""

from funreason_agents.studio import build_graph

graph = build_graph("query_writer")
