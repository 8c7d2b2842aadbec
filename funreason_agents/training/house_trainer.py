"""What all our trainers do otherwise than the library's they are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class HouseTrainer(Trainer):
    """Sends nothing, writes no file but checkpoints, and never trains beyond the last step."""

    def _send_telemetry(self) -> None:
        """Send nothing: TRL would tell its makers about the model and the machine."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write nothing: TRL would write over a README.md in the output directory."""

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the batches of an optimizer step; none once all steps have been taken.

        The library asks whether they have only after a step, so a run that is resumed from its
        last checkpoint would take one more.
        """
        if 0 < self.state.max_steps <= self.state.global_step:
            return [], None
        samples: tuple[list[Any], Any] = super().get_batch_samples(
            epoch_iterator, num_batches, device
        )
        return samples


class LogAtCheckpoints(TrainerCallback):
    """Logs whenever a checkpoint is due: what is logged is looked at before it is saved."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for both."""
        control.should_log = control.should_log or control.should_save
