"""What a training's settings mean on this machine: its precision, and its adapter."""

from __future__ import annotations

import torch
from peft import LoraConfig

from funreason_agents.training.config import CommonSettings


def find_precision(config: CommonSettings) -> str:
    """Return what `dtype="auto"` means on this machine."""
    if config.dtype != "auto":
        return config.dtype
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "mixed" if able else "float32"


def make_lora(config: CommonSettings, alpha: int | None = None) -> LoraConfig | None:
    """Return the adapter that is tuned, or None if all weights are.

    Args:
        config: Settings.
        alpha: LoRA scale; None means 2 * rank.
    """
    if config.lora_rank is None:
        return None
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=alpha or 2 * config.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
