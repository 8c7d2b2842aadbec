"""Held-out loss by segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from funreason_agents.training.losses import segment_sums
from funreason_agents.training.segments import (
    REASONING,
    RESULT,
    ThinkMarks,
    TokenRow,
    find_segments,
)


def measure_heldout(
    trainer: SFTTrainer, rows: Sequence[TokenRow], marks: ThinkMarks, *, autocast: bool
) -> dict[str, float | int | None]:
    """Return the mean negative log-likelihood, in nats per token, of held-out rows.

    The rows are shared out over the ranks. Draws no random numbers, so that it does not change
    what training does.

    Args:
        trainer: Its model is measured, as it is now.
        rows: What to measure on.
        marks: How reasoning begins and ends.
        autocast: Compute in bfloat16, as training does.

    Returns:
        `reasoning`, `result` and `all`, None where there is no such token, and their counts.
    """
    model: Any = trainer.model
    device = trainer.args.device
    size = trainer.args.per_device_train_batch_size
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    rank, ranks = trainer.accelerator.process_index, trainer.accelerator.num_processes
    padding: Any = trainer.data_collator
    collate = DataCollatorForLanguageModeling(pad_token_id=padding.pad_token_id)
    totals = torch.zeros(4, dtype=torch.float64)
    was_training = model.training
    model.eval()
    # Each rank makes as many passes as the others, or sharded models would wait for ever.
    for start in range(0, len(batches), ranks):
        number = start + rank
        batch = collate([vars(row) for row in batches[min(number, len(batches) - 1)]])
        counted = _measure(model, batch, marks, device, autocast=autocast)
        totals += counted if number < len(batches) else 0 * counted
    model.train(was_training)
    if ranks > 1:
        totals = trainer.accelerator.reduce(totals.to(device), "sum")
    reasoning, result, reasoning_tokens, result_tokens = totals.tolist()
    return {
        "rows": len(rows),
        "reasoning": _divide(reasoning, reasoning_tokens),
        "result": _divide(result, result_tokens),
        "all": _divide(reasoning + result, reasoning_tokens + result_tokens),
        "reasoning_tokens": int(reasoning_tokens),
        "result_tokens": int(result_tokens),
    }


def _measure(
    model: Any,
    batch: dict[str, Any],
    marks: ThinkMarks,
    device: torch.device,
    *,
    autocast: bool,
) -> torch.Tensor:
    """Return summed losses and counts of a batch: of reasoning, of result; (4,)."""
    segments = find_segments(batch["input_ids"], batch["labels"], marks)[:, 1:]
    inputs = {name: value.to(device) for name, value in batch.items()}
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        outputs = model(**inputs, fused_lm_head=True)
    sums = segment_sums(outputs.log_probs.cpu(), segments)
    counts = ((segments == REASONING).sum(), (segments == RESULT).sum())
    return torch.stack([value.double() for value in (*sums, *counts)])


def _divide(total: float, count: float) -> float | None:
    return total / count if count else None
