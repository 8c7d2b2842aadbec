"""Settings of fine-tuning. Imports no training library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from funreason_agents.schemas.base import Frozen

WEIGHTS, ADAPTER = "weights", "adapter"
"""In a run's directory: the whole tuned model, and the adapter of a LoRA run."""
Loss = Literal["standard", "srml", "ssb"]
"""`standard`: mean over all trained tokens; `srml`: reasoning and result averaged apart, mixed by
fixed weights; `ssb`: mixed by a weight that is learnt."""
Precision = Literal["auto", "float32", "mixed", "bfloat16"]
"""`mixed`: float32 weights, bfloat16 arithmetic; `bfloat16`: weights too; `auto`: `mixed` where
the accelerator can do it, else `float32`."""


class CommonSettings(Frozen):
    """What every training is told, whatever it learns from."""

    model: str = Field(description="Directory or hub name of the model to tune.")
    output_dir: Path = Field(description="Where checkpoints, weights and the run record go.")
    lora_rank: int | None = Field(None, ge=1, description="None tunes all weights.")
    dtype: Precision = Field("auto", description="auto, float32, mixed or bfloat16.")
    gradient_checkpointing: bool = Field(
        False, description="Less memory for activations, about a third more time."
    )
    max_grad_norm: float = Field(1.0, ge=0, description="Clipping; 0 clips nothing.")
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints that are kept.")
    seed: int = Field(0, ge=0, description="Same seed, same weights (on one CPU, to the bit).")
    template: str = Field(
        "auto", description="Chat template: auto takes the model's own if it is fit, or a file."
    )


class FineTuneConfig(CommonSettings):
    """Settings of one supervised run. Defaults: BalanceSFT (arXiv 2505.20192) where it gives any.

    Raises:
        pydantic.ValidationError: a setting is unknown, out of bounds, or without effect here.
    """

    loss: Loss = Field("ssb", description="standard, srml or ssb.")
    alpha: float = Field(0.7, gt=0, lt=1, description="Weight of reasoning; under ssb the first.")
    beta: float | None = Field(
        None, ge=0, description="srml: weight of the result; None means 1 - alpha."
    )
    alpha_lr: float = Field(1e-3, gt=0, description="ssb: learning rate of alpha.")
    alpha_form: Literal["sigmoid", "free"] = Field(
        "sigmoid", description="ssb: alpha = sigmoid(a), or a itself, which may leave [0, 1]."
    )
    learning_rate: float = Field(4e-5, gt=0, description="Peak learning rate of the model.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of steps with a rising rate.")
    schedule: Literal["constant_with_warmup", "linear", "cosine"] = Field(
        "cosine", description="How the learning rate goes on after that."
    )
    weight_decay: float = Field(0.0, ge=0, description="Of the model; alpha never decays.")
    batch_size: int = Field(4, ge=1, description="Rows in a forward pass, per device.")
    gradient_accumulation: int = Field(
        4, ge=1, description="Forward passes per optimizer step; the loss is that of all of them."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the rows.")
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps, instead of epochs.")
    max_length: int = Field(2048, ge=8, description="Most tokens of a row. Never cut silently.")
    long_rows: Literal["drop", "refuse"] = Field(
        "drop", description="What happens to longer rows; dropped ones are counted."
    )
    heldout_duplicates: Literal["refuse", "drop"] = Field(
        "refuse", description="What happens to rows that are also held out."
    )
    packing: bool = Field(False, description="Put several rows into one sequence.")
    lora_alpha: int | None = Field(None, ge=1, description="LoRA scale; None means 2 * rank.")
    compile: bool = Field(False, description="Compile the model with torch.compile.")
    save_steps: int = Field(100, ge=1, description="Optimizer steps between checkpoints.")
    log_steps: int = Field(1, ge=1, description="Optimizer steps between points of the curves.")

    @field_validator("beta")
    @classmethod
    def _check_beta(cls, beta: float | None, info: ValidationInfo) -> float | None:
        loss = info.data.get("loss")
        if beta is not None and loss != "srml":
            msg = f"beta is a weight of srml, and the loss is {loss!r}"
            raise ValueError(msg)
        return beta

    @field_validator("lora_alpha")
    @classmethod
    def _check_lora_alpha(cls, alpha: int | None, info: ValidationInfo) -> int | None:
        if alpha is not None and info.data.get("lora_rank") is None:
            msg = "lora_alpha needs a lora_rank"
            raise ValueError(msg)
        return alpha

    def result_weight(self) -> float:
        """Return beta of the SRML loss."""
        return 1 - self.alpha if self.beta is None else self.beta
