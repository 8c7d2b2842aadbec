"""What a training's settings mean on this machine: precision, adapter, processes, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from peft import LoraConfig
from transformers import TrainingArguments

from funreason_agents.errors import TrainingError
from funreason_agents.training.config import CommonSettings

MEMORY_SIGNS = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
"""In what PyTorch says when an accelerator or the machine has no memory left."""
Arguments = TypeVar("Arguments", bound=TrainingArguments)


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


def is_cpu_only() -> bool:
    """Return whether there is no accelerator.

    The training libraries must be told so: else several processes would train apart.
    """
    return not torch.accelerator.is_available()


def share_work() -> PartialState:
    """Return which of how many processes this is; one process unless a launcher made more."""
    return PartialState(cpu=is_cpu_only())


def make_arguments(kind: type[Arguments], config: CommonSettings, **more: Any) -> Arguments:
    """Return the arguments of a trainer: what all trainings share, and `more`."""
    args = kind(
        output_dir=str(config.output_dir),
        max_grad_norm=config.max_grad_norm,
        bf16=find_precision(config) == "mixed",
        gradient_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
        data_seed=config.seed,
        save_strategy="steps",
        save_total_limit=config.keep_checkpoints,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=is_cpu_only(),
        **more,
    )
    # With several accelerators and no launcher, the libraries would split each batch by threads,
    # which TRL refuses.
    args._n_gpu = min(args.n_gpu, 1)
    return args


@contextmanager
def explain_trouble(config: CommonSettings, advice: str) -> Iterator[None]:
    """Say in our own words what went wrong with the machine, and what to do.

    Args:
        config: Settings of the run.
        advice: What to lower first when memory runs out; what helps every training is added.

    Raises:
        TrainingError: memory ran out, or a file cannot be read or written.
    """
    folder = str(config.output_dir)
    try:
        yield
    except OSError as exc:
        msg = f"cannot load {config.model!r} or write to {folder!r}: {exc}"
        raise TrainingError(msg) from exc
    except (RuntimeError, MemoryError) as exc:
        text = str(exc).lower()
        known = isinstance(exc, MemoryError | torch.OutOfMemoryError)
        if not known and not any(sign in text for sign in MEMORY_SIGNS):
            raise
        msg = (
            f"out of memory. {advice}, or set gradient_checkpointing, dtype='bfloat16' or "
            f"lora_rank; in a new output directory, if {folder!r} has a checkpoint already: "
            "checkpoints are kept, and go on with the settings they were made with"
        )
        raise TrainingError(msg) from exc
