"""The offline model: rule-based, deterministic, no key and no GPU. A baseline, not a stub."""

from funreason_agents.models.offline.model import OfflineChatModel

__all__ = ["OfflineChatModel"]
