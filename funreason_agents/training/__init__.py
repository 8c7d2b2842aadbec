"""Fine-tuning: SFT with balanced losses, reinforcement learning, and what both need.

Importing this package imports no training library: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from funreason_agents.extras import TRAIN, require_extra

if TYPE_CHECKING:
    from funreason_agents.training.checks import CheckReport, check_rows
    from funreason_agents.training.config import FineTuneConfig
    from funreason_agents.training.reinforce_config import ReinforceConfig
    from funreason_agents.training.rl import ReinforceResult, reinforce
    from funreason_agents.training.rows import load_rows
    from funreason_agents.training.sft import FineTuneResult, check_fine_tuning, fine_tune
    from funreason_agents.training.template import prepare_tokenizer
    from funreason_agents.training.viewer import show_loss_mask

__all__ = [
    "CheckReport",
    "FineTuneConfig",
    "FineTuneResult",
    "ReinforceConfig",
    "ReinforceResult",
    "check_fine_tuning",
    "check_rows",
    "fine_tune",
    "load_rows",
    "prepare_tokenizer",
    "reinforce",
    "show_loss_mask",
]

_HOMES = {
    "CheckReport": "checks",
    "FineTuneConfig": "config",
    "FineTuneResult": "sft",
    "ReinforceConfig": "reinforce_config",
    "ReinforceResult": "rl",
    "check_fine_tuning": "sft",
    "check_rows": "checks",
    "fine_tune": "sft",
    "load_rows": "rows",
    "prepare_tokenizer": "template",
    "reinforce": "rl",
    "show_loss_mask": "viewer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError:
        require_extra("train", *TRAIN)
        raise
    return getattr(home, name)
