"""TRL's SFT trainer with the losses of FunReason, from the same single forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from funreason_agents.errors import TrainingError
from funreason_agents.training.house_trainer import HouseTrainer, LogAtCheckpoints
from funreason_agents.training.losses import Balance, Counts, mix_sums, segment_sums
from funreason_agents.training.segments import REASONING, RESULT, SegmentCollator, ThinkMarks

BALANCE = "balance.pt"
"""File in a checkpoint with alpha and the state of its optimizer."""


class GuardedTrainer(HouseTrainer, SFTTrainer):
    """TRL's trainer and TRL's loss, which stops before a non-finite loss reaches the weights."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._all_finite: Tensor | None = None
        self.add_callback(LogAtCheckpoints())

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        """Run a forward and a backward pass.

        Raises:
            TrainingError: a loss of this optimizer step, on any rank, is not finite.
        """
        loss: Tensor = super().training_step(*args, **options)  # type: ignore[no-untyped-call]
        finite = torch.isfinite(loss).float()
        self._all_finite = finite if self._all_finite is None else self._all_finite * finite
        # Once a step: to look at the value waits for the accelerator.
        if self.accelerator.sync_gradients:
            ranks = self.accelerator.reduce(self._all_finite, "sum").item()
            self._all_finite = None
            if ranks < self.accelerator.num_processes:
                raise self._diverged(f"the loss of step {self.state.global_step + 1}")
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log values.

        Raises:
            TrainingError: the norm of the gradient is not finite. Nothing was saved since.
        """
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            raise self._diverged(f"the gradient of step {self.state.global_step}")
        super().log(logs, start_time)

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} is not finite. Earlier checkpoints in {str(self.args.output_dir)!r} are kept. "
            "Lower learning_rate, raise warmup, or use dtype='float32', in a new output directory"
        )


class SegmentTrainer(GuardedTrainer):
    """Trains with `alpha * L_think + beta * L_result` (FunReason, arXiv 2505.20192).

    Each L is the mean over the tokens of its kind in the whole optimizer step: all forward passes
    of the accumulation, all ranks.

    Args:
        marks: How reasoning begins and ends.
        alpha: Weight of reasoning, or the `Balance` that learns it; beta is then `1 - alpha`.
        beta: Weight of the result, if alpha is a number.
        alpha_lr: Constant learning rate of a learnt alpha.
        options: Of `trl.SFTTrainer`; the rows must hold `input_ids` and `labels`.

    Raises:
        TrainingError: the sequence is spread over devices, which splits completions.
    """

    def __init__(
        self,
        *,
        marks: ThinkMarks,
        alpha: Balance | float,
        beta: float | None = None,
        alpha_lr: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        parallel = getattr(self.accelerator, "parallelism_config", None)
        if parallel is not None and (parallel.cp_enabled or parallel.sp_enabled):
            msg = "srml and ssb cannot train with context or sequence parallelism; use standard"
            raise TrainingError(msg)
        # The count of tokens that we divide by is that of the step, so no one may divide again.
        self.model_accepts_loss_kwargs = True
        collator = self.data_collator
        names = [field.name for field in fields(DataCollatorForLanguageModeling)]
        self.data_collator = SegmentCollator(
            **{name: getattr(collator, name) for name in names}, marks=marks
        )
        self._sums = torch.zeros(2, device=self.args.device)
        self._counts = [0, 0]
        self.balance: Balance | None = None
        if not isinstance(alpha, Balance):
            self._fixed = (alpha, 1 - alpha if beta is None else beta)
        else:
            dtype = torch.float32 if self.args.device.type == "mps" else torch.float64
            self.balance = alpha.to(device=self.args.device, dtype=dtype)
            # Apart from the model's optimizer, which knows parameters of the model only (FSDP).
            group = {"params": [self.balance.raw], "lr": alpha_lr, "weight_decay": 0.0}
            self.alpha_optimizer = torch.optim.AdamW([group])
            self.add_callback(_AlphaSteps(self))

    @property
    def alpha(self) -> float:
        """Weight of reasoning, now."""
        return self._fixed[0] if self.balance is None else self.balance().item()

    def get_batch_samples(  # type: ignore[override]  # what it counts is handed to compute_loss
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Counts]:
        """Return the batches of an optimizer step, and their tokens of each kind on all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = self._count(batches).to(device)
        shared = self.get_tp_size()  # ranks that are given the same batch
        reasoning, result = (self.accelerator.reduce(counts, "sum") // shared).tolist()
        self._counts = [self._counts[0] + reasoning, self._counts[1] + result]
        return batches, (reasoning, result)

    def _count(self, batches: list[Any]) -> Tensor:
        """Return how many labels are reasoning and result, (2,); the first token is no label."""
        kinds = (REASONING, RESULT)
        counts = [
            [(batch["segments"][:, 1:] == kind).sum().item() for kind in kinds] for batch in batches
        ]
        return torch.tensor(counts, dtype=torch.int64).reshape(-1, 2).sum(0)

    def compute_loss(  # type: ignore[override]
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Counts | None = None,
    ) -> Any:
        """Return the part of a batch in the loss of its step, as `losses.segment_loss` says.

        TRL's own method runs the model, scales for the ranks and keeps its metrics; it is given
        our loss in place of log-probabilities, and 1 to divide by.
        """
        inputs = dict(inputs)
        segments = inputs.pop("segments")[:, 1:]
        counts: Any = num_items_in_batch or self._count([{"segments": segments}]).tolist()
        alpha, beta = self._weights()

        def run(**given: Any) -> Any:
            outputs = model(**given)
            if given.get("fused_lm_head"):
                sums = segment_sums(outputs.log_probs, segments)
                if model.training:
                    self._sums += torch.stack(sums).detach()
                outputs.log_probs = -mix_sums(sums, counts, alpha, beta)
            return outputs

        one = torch.ones((), device=segments.device)
        return super().compute_loss(  # type: ignore[no-untyped-call]
            run, inputs, return_outputs, num_items_in_batch=one
        )

    def _weights(self) -> tuple[Tensor | float, Tensor | float]:
        if self.balance is None:
            return self._fixed
        alpha = self.balance()
        return alpha.float(), (1 - alpha).float()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log values; with the loss, alpha after the step and the mean loss of each segment."""
        if "loss" in logs:
            sums = self.accelerator.reduce(self._sums, "sum").tolist()
            names = ("reasoning_loss", "result_loss")
            for name, total, count in zip(names, sums, self._counts, strict=True):
                if count:
                    logs[name] = total / count
            logs["alpha"] = self.alpha
            self._sums, self._counts = torch.zeros_like(self._sums), [0, 0]
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model and, in a checkpoint, alpha with the state of its optimizer."""
        super().save_model(output_dir, _internal_call)
        if _internal_call and output_dir and self.balance is not None and self.args.should_save:
            state = {
                "balance": self.balance.state_dict(),
                "optimizer": self.alpha_optimizer.state_dict(),
            }
            Path(output_dir).mkdir(parents=True, exist_ok=True)  # sharded weights come later
            torch.save(state, Path(output_dir) / BALANCE)

    def load_balance(self, checkpoint: str | Path) -> None:
        """Take alpha and the state of its optimizer from a checkpoint.

        Raises:
            TrainingError: they are not there.
        """
        if self.balance is None:
            return
        try:
            state = torch.load(
                Path(checkpoint) / BALANCE, map_location=self.args.device, weights_only=True
            )
        except OSError as exc:
            msg = f"{str(checkpoint)!r} holds no {BALANCE}: it is no checkpoint of an ssb run"
            raise TrainingError(msg) from exc
        self.balance.load_state_dict(state["balance"])
        self.alpha_optimizer.load_state_dict(state["optimizer"])

    def average_alpha_gradient(self) -> None:
        """Average alpha's gradient over the ranks, as DDP does for the model, and clip it."""
        assert self.balance is not None
        grad = self.balance.raw.grad
        if grad is None:
            return
        if self.accelerator.num_processes > 1:
            grad.copy_(self.accelerator.reduce(grad, "mean"))
        if self.args.max_grad_norm > 0:
            nn.utils.clip_grad_norm_([self.balance.raw], self.args.max_grad_norm)


class _AlphaSteps(TrainerCallback):
    """Steps alpha whenever the model's optimizer steps."""

    def __init__(self, trainer: SegmentTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.trainer.average_alpha_gradient()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.trainer.alpha_optimizer.step()
        # The trainer clears the gradients of its model only.
        self.trainer.alpha_optimizer.zero_grad(set_to_none=True)
