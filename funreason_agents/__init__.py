"""Verified multi-turn tool-use training data from executable tools, as LangGraph graphs.

The names below are imported when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funreason_agents.config import SynthesisContext
    from funreason_agents.curriculum.probe import probe_student
    from funreason_agents.curriculum.profile import StudentProfile
    from funreason_agents.environments.base import Environment, EnvSession
    from funreason_agents.environments.langchain import ToolSession
    from funreason_agents.environments.loader import load_environment
    from funreason_agents.errors import FunReasonError
    from funreason_agents.export.checkpoints import export_thread
    from funreason_agents.export.writer import read_records, write_records
    from funreason_agents.graphs.compose import as_node
    from funreason_agents.graphs.data_refiner import create_data_refiner
    from funreason_agents.graphs.environment_explorer import create_environment_explorer
    from funreason_agents.graphs.query_writer import create_query_writer
    from funreason_agents.graphs.reasoner_critic import create_reasoner_critic
    from funreason_agents.graphs.supervisor import create_supervisor
    from funreason_agents.models.client import Retries
    from funreason_agents.models.ledger import Limits
    from funreason_agents.schemas.record import TrainingRecord
    from funreason_agents.schemas.review import ReviewDecision, ReviewRequest
    from funreason_agents.schemas.tasks import TurnTask
    from funreason_agents.schemas.tools import ToolCall, ToolGraph, ToolResult, ToolSpec
    from funreason_agents.schemas.trajectory import Trajectory, Verdict
    from funreason_agents.synthesis import synthesize

__version__ = "0.1.0"

__all__ = [
    "EnvSession",
    "Environment",
    "FunReasonError",
    "Limits",
    "Retries",
    "ReviewDecision",
    "ReviewRequest",
    "StudentProfile",
    "SynthesisContext",
    "ToolCall",
    "ToolGraph",
    "ToolResult",
    "ToolSession",
    "ToolSpec",
    "TrainingRecord",
    "Trajectory",
    "TurnTask",
    "Verdict",
    "as_node",
    "create_data_refiner",
    "create_environment_explorer",
    "create_query_writer",
    "create_reasoner_critic",
    "create_supervisor",
    "export_thread",
    "load_environment",
    "probe_student",
    "read_records",
    "synthesize",
    "write_records",
]

_HOMES = {
    "EnvSession": "environments.base",
    "Environment": "environments.base",
    "FunReasonError": "errors",
    "Limits": "models.ledger",
    "Retries": "models.client",
    "ReviewDecision": "schemas.review",
    "ReviewRequest": "schemas.review",
    "StudentProfile": "curriculum.profile",
    "SynthesisContext": "config",
    "ToolCall": "schemas.tools",
    "ToolGraph": "schemas.tools",
    "ToolResult": "schemas.tools",
    "ToolSession": "environments.langchain",
    "ToolSpec": "schemas.tools",
    "TrainingRecord": "schemas.record",
    "Trajectory": "schemas.trajectory",
    "TurnTask": "schemas.tasks",
    "Verdict": "schemas.trajectory",
    "as_node": "graphs.compose",
    "create_data_refiner": "graphs.data_refiner",
    "create_environment_explorer": "graphs.environment_explorer",
    "create_query_writer": "graphs.query_writer",
    "create_reasoner_critic": "graphs.reasoner_critic",
    "create_supervisor": "graphs.supervisor",
    "export_thread": "export.checkpoints",
    "load_environment": "environments.loader",
    "probe_student": "curriculum.probe",
    "read_records": "export.writer",
    "synthesize": "synthesis",
    "write_records": "export.writer",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
