"""Supervised fine-tuning: from rows to weights, with a record, resumable at any checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from trl.trainer.sft_config import SFTConfig

from funreason_agents.errors import TrainingError, boundary
from funreason_agents.training.checks import CheckedRows, CheckReport, prepare_rows
from funreason_agents.training.config import WEIGHTS, FineTuneConfig
from funreason_agents.training.heldout import measure_heldout
from funreason_agents.training.losses import Balance
from funreason_agents.training.machine import (
    explain_trouble,
    find_precision,
    make_arguments,
    make_lora,
    share_work,
)
from funreason_agents.training.rows import Row, read_rows
from funreason_agents.training.run_folder import (
    Progress,
    Reporter,
    TrainingResult,
    find_last_checkpoint,
    is_done,
    open_run,
    save_weights,
)
from funreason_agents.training.run_record import (
    forget_peak_memory,
    hash_rows,
    measure_peak_memory,
    read_curves,
    to_curves,
    write_run_record,
)
from funreason_agents.training.segment_trainer import BALANCE, GuardedTrainer, SegmentTrainer
from funreason_agents.training.segments import ThinkMarks, TokenRow
from funreason_agents.training.template import prepare_tokenizer

CURVE_NAMES = (
    "loss", "reasoning_loss", "result_loss", "alpha", "learning_rate", "grad_norm", "entropy",
    "mean_token_accuracy",
)  # fmt: skip
Rows = str | Path | Sequence[Mapping[str, Any]]


class FineTuneResult(TrainingResult):
    """What a run gave; its metrics hold `checks`, `heldout` before and after, and `train_loss`."""


@dataclass(frozen=True)
class _Job:
    config: FineTuneConfig
    tokenizer: PreTrainedTokenizerBase
    checked: CheckedRows
    heldout_left_out: int
    data_hash: str

    @property
    def folder(self) -> Path:
        return self.config.output_dir


def fine_tune(
    rows_or_path: Rows,
    config: FineTuneConfig,
    *,
    heldout: Rows | None = None,
    on_progress: Progress | None = None,
) -> FineTuneResult:
    """Tune a model on rows; go on from the last checkpoint if `output_dir` holds one of this run.

    A run that is done is not run again: its result is returned.

    Args:
        rows_or_path: What to train on, as `load_rows` reads it.
        config: Settings.
        heldout: Rows to measure the loss on, by segment, before and after.
        on_progress: Called at each logged step with `step`, `max_steps` and the logged values.

    Raises:
        TrainingError: the rows or the template are unfit (see `check_rows`), `output_dir` holds
            another run, or one that other processes began, the model cannot be loaded, a loss is
            not finite, a file cannot be written, or memory ran out.
            Earlier checkpoints are kept.
    """
    job = _prepare(rows_or_path, config, heldout)
    record = open_run(config, job.data_hash)
    if is_done(record, job.folder):
        return FineTuneResult(
            job.folder / WEIGHTS, dict(record["metrics"]), read_curves(job.folder)
        )
    _require_same_processes(record, job.folder)
    set_seed(config.seed)
    forget_peak_memory()
    with explain_trouble(config, _advise(config)):
        trainer = make_trainer(job.config, job.tokenizer, job.checked.rows, job.checked.marks)
        if on_progress is not None:
            trainer.add_callback(Reporter(on_progress))
        begin = _Begin(job, trainer, record)
        trainer.add_callback(begin)
        return _run(job, trainer, begin)


def check_fine_tuning(
    rows_or_path: Rows, config: FineTuneConfig, *, heldout: Rows | None = None
) -> CheckReport:
    """Check all that `fine_tune` checks before it loads the model, and train nothing.

    Args:
        rows_or_path: As for `fine_tune`.
        config: Settings.
        heldout: As for `fine_tune`.

    Raises:
        TrainingError: as `check_rows`, the model's tokenizer cannot be loaded, or `output_dir`
            holds another run.
    """
    job = _prepare(rows_or_path, config, heldout)
    open_run(config, job.data_hash)
    return job.checked.report


def _prepare(rows_or_path: Rows, config: FineTuneConfig, heldout: Rows | None) -> _Job:
    rows = read_rows(rows_or_path)
    held: list[Row] = [] if heldout is None else read_rows(heldout)
    with boundary(TrainingError, f"read the model {config.model!r}"):
        known = AutoConfig.from_pretrained(config.model).get_text_config()
    tokenizer = prepare_tokenizer(config.model, template=config.template)
    context = getattr(known, "max_position_embeddings", None)
    checked = prepare_rows(rows, tokenizer, config, held, context)
    return _Job(
        config=config,
        tokenizer=tokenizer,
        checked=checked,
        heldout_left_out=len(held) - len(checked.heldout),
        data_hash=hash_rows([*rows, {"held_out": hash_rows(held)}]),
    )


def _require_same_processes(record: Mapping[str, Any] | None, folder: Path) -> None:
    """Check that a run goes on in as many processes: they share out the rows of a step.

    Raises:
        TrainingError: it does not.
    """
    here = share_work().num_processes
    there = here if record is None else record["metrics"].get("processes", here)
    if there != here:
        msg = (
            f"{str(folder)!r} holds a run of {there} processes, and there are {here} now. Start "
            "as many, or choose another output directory"
        )
        raise TrainingError(msg)


class _Begin(TrainerCallback):
    """Measures what can only be measured before training, and says whose directory this is.

    The trainer calls it once the model lies on its devices, in parts if it is sharded.
    """

    def __init__(
        self, job: _Job, trainer: GuardedTrainer, record: Mapping[str, Any] | None
    ) -> None:
        self.job, self.trainer = job, trainer
        self.metrics: dict[str, Any] = {} if record is None else dict(record["metrics"])
        self.started = time.perf_counter()
        """When the first step began."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self.metrics:
            self._measure()
        self.started = time.perf_counter()

    def _measure(self) -> None:
        job, trainer = self.job, self.trainer
        self.metrics["checks"] = job.checked.report.to_json()
        self.metrics["processes"] = trainer.accelerator.num_processes
        if job.checked.heldout:
            before = _measure(job, trainer)
            self.metrics["heldout"] = {"left_out": job.heldout_left_out, "before": before}
        if trainer.is_world_process_zero():
            write_run_record(
                job.folder, job.config, job.data_hash, self.metrics, {}, status="running"
            )
        trainer.accelerator.wait_for_everyone()


def _run(job: _Job, trainer: GuardedTrainer, begin: _Begin) -> FineTuneResult:
    last = find_last_checkpoint(job.folder, [BALANCE] if job.config.loss == "ssb" else [])
    if last is not None and isinstance(trainer, SegmentTrainer):
        trainer.load_balance(last)
    before = _read_token_count(last)
    trainer._total_train_tokens = before  # TRL counts from nothing in each process
    output = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = time.perf_counter() - begin.started
    curves = to_curves(trainer.state.log_history, CURVE_NAMES)
    tokens = trainer._total_train_tokens
    metrics = begin.metrics | {
        "steps": output.global_step,
        # Of the whole run; what the trainer returns is of this process alone.
        "train_loss": _mean(curves["loss"]),
        "resumed_from": None if last is None else last.name,
        "seconds": seconds,
        "tokens_seen": tokens,
        "tokens_per_second": (tokens - before) / seconds if tokens > before else None,
        "peak_memory_bytes": measure_peak_memory(),
        "trainable_parameters": trainer.get_num_trainable_parameters(),
        "device": str(trainer.args.device),
        "precision": find_precision(job.config),
    }
    if isinstance(trainer, SegmentTrainer):
        metrics["alpha"] = trainer.alpha
    if job.checked.heldout:
        metrics["heldout"] = {**metrics["heldout"], "after": _measure(job, trainer)}
    weights = save_weights(trainer, job.config, job.tokenizer)
    if trainer.is_world_process_zero():
        write_run_record(job.folder, job.config, job.data_hash, metrics, curves)
    trainer.accelerator.wait_for_everyone()
    return FineTuneResult(weights=weights, metrics=metrics, curves=curves)


def _measure(job: _Job, trainer: GuardedTrainer) -> dict[str, Any]:
    autocast = find_precision(job.config) == "mixed"
    return measure_heldout(trainer, job.checked.heldout, job.checked.marks, autocast=autocast)


def _mean(points: Sequence[tuple[int, float]]) -> float:
    """Return the mean over all steps of a curve whose points are means since the point before."""
    steps = [0, *(step for step, _ in points)]
    total = sum(
        value * (step - before) for before, (step, value) in zip(steps, points, strict=False)
    )
    return total / steps[-1]


def make_trainer(
    config: FineTuneConfig,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[TokenRow],
    marks: ThinkMarks,
) -> GuardedTrainer:
    """Return a trainer that is ready to train a freshly loaded model on rendered rows.

    Raises:
        TrainingError: the model cannot be loaded.
    """
    precision = find_precision(config)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    # First, since it says what this process is: if weights are sharded, the first one loads them.
    arguments = _to_arguments(config)
    with boundary(TrainingError, f"load the model {config.model!r}"):
        model = AutoModelForCausalLM.from_pretrained(config.model, dtype=dtype)
    options = {
        "model": model,
        "args": arguments,
        "train_dataset": Dataset.from_list([vars(row) for row in rows]),
        "processing_class": tokenizer,
        "peft_config": make_lora(config, config.lora_alpha),
    }
    if config.loss == "standard":
        trainer = GuardedTrainer(**options)
    elif config.loss == "srml":
        trainer = SegmentTrainer(
            marks=marks, alpha=config.alpha, beta=config.result_weight(), **options
        )
    else:
        balance = Balance(config.alpha, config.alpha_form)
        trainer = SegmentTrainer(marks=marks, alpha=balance, alpha_lr=config.alpha_lr, **options)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _to_arguments(config: FineTuneConfig) -> SFTConfig:
    return make_arguments(
        SFTConfig,
        config,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        lr_scheduler_type=config.schedule,
        weight_decay=config.weight_decay,
        max_length=config.max_length,
        packing=config.packing,
        torch_compile=config.compile,
        save_steps=config.save_steps,
        logging_steps=config.log_steps,
    )


def _read_token_count(checkpoint: Path | None) -> int:
    """Return how many tokens had been trained on when a checkpoint was saved."""
    if checkpoint is None:
        return 0
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return int(next((x["num_tokens"] for x in reversed(state.log_history) if "num_tokens" in x), 0))


def _advise(config: FineTuneConfig) -> str:
    """Return what to lower when memory runs out."""
    accumulation = config.gradient_accumulation * 2
    smaller = max(config.batch_size // 2, 1)
    return (
        f"Lower batch_size (now {config.batch_size}; with {smaller} and gradient_accumulation="
        f"{accumulation} the result is the same) or max_length (now {config.max_length})"
    )
