"""LangGraph Studio entry point for the data refiner. No logic here."""

from funreason_agents.config import Settings
from funreason_agents.graphs.data_refiner import create_data_refiner

graph = create_data_refiner(model=lambda: Settings().model)
