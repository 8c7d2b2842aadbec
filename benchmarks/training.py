"""What the segment losses cost: step time and peak memory of SSB beside TRL's own SFT.

    python benchmarks/training.py --model DIR [--data ROWS] [--rounds 12] [--steps 4] [--out FILE]

Two trainers with the same model, rows and settings take turns in one process: a few optimizer
steps of one, then the same rows with the other, in changing order. The ratio is the median over
the rounds of the pairs' ratios, so that what disturbs the machine for a while disturbs both. Peak
memory is measured in a process of its own for each. `--clock cpu` counts the CPU seconds of the
process instead of the time that passes, for a machine that is busy with other things.

The data may be made with `funreason synthesize tools/bookstore.py:Bookstore --out DIR`.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from funreason_agents.export.writer import write_text
from funreason_agents.training.checks import CheckedRows, prepare_rows
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.rows import load_rows
from funreason_agents.training.run_record import find_versions, measure_peak_memory
from funreason_agents.training.sft import make_trainer
from funreason_agents.training.template import prepare_tokenizer

KINDS = ("trl", "ssb")
WARM_UP = 2
"""Optimizer steps before anything is measured."""


def build(kind: str, options: argparse.Namespace, folder: str) -> tuple[Any, CheckedRows]:
    """Return a trainer, with the same arguments for both kinds, and its rows."""
    config = FineTuneConfig(
        model=str(options.model),
        output_dir=Path(folder) / kind,
        batch_size=options.batch_size,
        gradient_accumulation=options.accumulation,
        max_length=options.max_length,
        dtype=options.dtype,
        loss="ssb",
    )
    tokenizer = prepare_tokenizer(config.model)
    checked = prepare_rows(load_rows(options.data), tokenizer, config)
    ours = make_trainer(config, tokenizer, checked.rows, checked.marks)
    if kind == "ssb":
        return ours, checked
    model = AutoModelForCausalLM.from_pretrained(config.model, dtype=ours.model.dtype)
    theirs = SFTTrainer(
        model=model,
        args=ours.args,
        train_dataset=ours.train_dataset,
        processing_class=tokenizer,
    )
    del ours
    gc.collect()
    return theirs, checked


def prepare(trainer: Any) -> Any:
    """Make a trainer ready to step by hand, and return its prepared model."""
    trainer.create_optimizer()
    model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    model.train()
    return model


def step(trainer: Any, model: Any, batches: list[Any]) -> None:
    """Take an optimizer step on `batches`, as the trainer's loop does."""
    samples, items = trainer.get_batch_samples(iter(batches), len(batches), trainer.args.device)
    trainer.current_gradient_accumulation_steps = len(samples)
    for number, batch in enumerate(samples):
        trainer.accelerator.gradient_state._set_sync_gradients(number == len(samples) - 1)
        trainer.training_step(model, batch, items)
    trainer.accelerator.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
    handler = trainer.callback_handler
    handler.on_pre_optimizer_step(trainer.args, trainer.state, trainer.control)
    trainer.optimizer.step()
    handler.on_optimizer_step(trainer.args, trainer.state, trainer.control)
    model.zero_grad()


def synchronize() -> None:
    """Wait for the accelerator."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def draw(trainer: Any, steps: int) -> list[list[Any]]:
    """Return the batches of `steps` optimizer steps, from the first rows on."""
    size = trainer.args.per_device_train_batch_size
    accumulation, rows = trainer.args.gradient_accumulation_steps, trainer.train_dataset
    found = []
    for number in range(steps):
        batches = []
        for part in range(accumulation):
            first = (number * accumulation + part) * size
            chosen = [rows[(first + n) % len(rows)] for n in range(size)]
            batches.append(trainer.data_collator(chosen))
        found.append(batches)
    return found


def measure_times(options: argparse.Namespace) -> dict[str, Any]:
    """Return seconds per step of both, by round."""
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        trainers = {kind: build(kind, options, folder)[0] for kind in KINDS}
        models = {kind: prepare(trainers[kind]) for kind in KINDS}
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(options.rounds + 1):
            for kind in KINDS if number % 2 else reversed(KINDS):
                trainer = trainers[kind]
                # Collating is part of a step: it is where segments are found.
                steps = WARM_UP if number == 0 else options.steps
                synchronize()
                started = clock()
                for batches in draw(trainer, steps):
                    step(trainer, models[kind], batches)
                synchronize()
                if number:
                    seconds[kind].append((clock() - started) / steps)
        tokens = sum(
            int(batch["attention_mask"].sum())
            for batches in draw(trainers["trl"], options.steps)
            for batch in batches
        )
    return {"seconds": seconds, "tokens_per_step": tokens / options.steps}


def measure_memory(options: argparse.Namespace) -> int:
    """Return the most bytes used while one trainer takes its steps, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build(options.memory_of, options, folder)
        model = prepare(trainer)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        for batches in draw(trainer, options.steps):
            step(trainer, model, batches)
    return measure_peak_memory()


def measure_memory_apart(kind: str) -> int:
    """Run this script again for the memory of one trainer."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--memory-of", kind],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout.split()[-1])


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print a table, and return what goes to the file."""
    times = measure_times(options)
    seconds = times["seconds"]
    memory = {kind: measure_memory_apart(kind) for kind in KINDS}
    pairs = [ssb / trl for trl, ssb in zip(seconds["trl"], seconds["ssb"], strict=True)]
    speed = {kind: median(seconds[kind]) for kind in KINDS}
    print(f"\n{'':8}{'s per step':>12}{'tokens/s':>12}{'peak MiB':>12}")
    for kind in KINDS:
        rate = times["tokens_per_step"] / speed[kind]
        print(f"{kind:8}{speed[kind]:12.4f}{rate:12.0f}{memory[kind] / 2**20:12.0f}")
    print(f"{'ratio':8}{median(pairs):12.4f}{'':12}{memory['ssb'] / memory['trl']:12.4f}")
    print(f"pairs: {min(pairs):.4f} to {max(pairs):.4f} over {len(pairs)} rounds")
    return {
        "step_time_ratio": median(pairs),
        "step_time_ratios": pairs,
        "peak_memory_ratio": memory["ssb"] / memory["trl"],
        "seconds_per_step": speed,
        "tokens_per_step": times["tokens_per_step"],
        "peak_memory_bytes": memory,
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(options).items()
            if name not in {"model", "data", "out", "memory_of"}
        },
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "versions": find_versions(),
    }


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps in a round")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory-of", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure both, or the memory of one."""
    options = parse()
    if options.memory_of:
        print(measure_memory(options))
        return
    measured = report(options)
    if options.out:
        write_text(options.out, json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
