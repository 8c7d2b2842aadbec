"""What ours costs beside TRL's own: SSB beside its SFT, EGPO beside its GRPO.

    python benchmarks/training.py sft --model DIR --data ROWS [--rounds 12] [--steps 4] [--out FILE]
    python benchmarks/training.py rl --model DIR --data ROWS --steps 1 [--rounds 12] [--out FILE]

Two trainers with the same model, rows and settings take turns in one process: a few optimizer
steps of one, then the same rows with the other, in changing order. The ratio is the median over
the rounds of the pairs' ratios, so that what disturbs the machine for a while disturbs both. Peak
memory is measured in a process of its own for each. `--clock cpu` counts the CPU seconds of the
process instead of the time that passes, for a machine that is busy with other things.

A step of `rl` is all of it: sampling the rollouts, reward, loss and update. The learning rate is 0
and each step draws the same random numbers, so that both sample the same rollouts.

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
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, set_seed
from trl import GRPOTrainer, SFTTrainer

from funreason_agents.export.writer import write_text
from funreason_agents.training.checks import prepare_rows
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.policy import make_policy_trainer
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rollouts import assign_messages
from funreason_agents.training.rows import load_rows, read_rows
from funreason_agents.training.run_record import find_versions, measure_peak_memory
from funreason_agents.training.sft import make_trainer
from funreason_agents.training.template import prepare_tokenizer

KINDS = {"sft": ("trl", "ssb"), "rl": ("grpo", "egpo")}
"""TRL's own, and ours."""
WARM_UP = 2
"""Optimizer steps before anything is measured."""


def build(kind: str, options: argparse.Namespace, folder: str) -> Any:
    """Return a trainer, with the same arguments for both kinds."""
    make = build_policy if options.task == "rl" else build_sft
    return make(kind, options, Path(folder) / kind)


def build_sft(kind: str, options: argparse.Namespace, folder: Path) -> Any:
    """Return TRL's SFT trainer, or ours with the loss SSB."""
    config = FineTuneConfig(
        model=str(options.model),
        output_dir=folder,
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
        return ours
    dtype, shared = ours.model.dtype, {"args": ours.args, "train_dataset": ours.train_dataset}
    del ours  # or its model counts towards the memory of theirs
    gc.collect()
    model = AutoModelForCausalLM.from_pretrained(config.model, dtype=dtype)
    return SFTTrainer(model=model, processing_class=tokenizer, **shared)


def build_policy(kind: str, options: argparse.Namespace, folder: Path) -> Any:
    """Return TRL's GRPO trainer, or ours with EGPO's advantages; both are paid the same."""
    config = ReinforceConfig(
        model=str(options.model),
        output_dir=folder,
        num_generations=options.batch_size,
        batch_size=options.batch_size,
        prompts_per_step=options.accumulation,
        max_prompt_length=options.max_length,
        max_completion_length=options.completion,
        use_vllm=False,
        dtype=options.dtype,
    )
    tokenizer = prepare_tokenizer(config.model)
    tokenizer.padding_side = "left"
    assignment = assign_messages(read_rows(options.data), tokenizer, config)
    assignment = replace(assignment, reward=pay)
    ours = make_policy_trainer(config, tokenizer, assignment)
    ours.args.learning_rate = 0.0
    if kind == "egpo":
        return ours
    args = ours.args
    del ours
    gc.collect()
    return GRPOTrainer(
        model=config.model,
        reward_funcs=[pay],
        args=args,
        train_dataset=assignment.prompts,
        processing_class=tokenizer,
    )


def pay(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Return a reward that differs within a group and costs nothing."""
    return [float(number % 2) for number, _ in enumerate(completion_ids)]


def prepare(trainer: Any) -> Any:
    """Make a trainer ready to step by hand, and return its prepared model."""
    trainer.create_optimizer()
    model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    model.train()
    return model


def step(trainer: Any, model: Any, batches: list[Any]) -> None:
    """Take an optimizer step on `batches`, as the trainer's loop does."""
    set_seed(0)
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
    """Return the batches of `steps` optimizer steps, from the first rows on.

    In reinforcement learning each of a group's rollouts has an entry, and the first batch of a
    step holds all of them.
    """
    size = trainer.args.per_device_train_batch_size
    accumulation, rows = trainer.args.gradient_accumulation_steps, trainer.train_dataset
    policy = isinstance(trainer, GRPOTrainer)
    found = []
    for number in range(steps):
        if policy:
            chosen = [rows[(number * accumulation + n) % len(rows)] for n in range(accumulation)]
            found.append([[row for row in chosen for _ in range(size)]] * accumulation)
            continue
        batches = []
        for part in range(accumulation):
            first = (number * accumulation + part) * size
            chosen = [rows[(first + n) % len(rows)] for n in range(size)]
            batches.append(trainer.data_collator(chosen))
        found.append(batches)
    return found


def measure_times(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return seconds per step of both, by round."""
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    kinds = KINDS[options.task]
    with tempfile.TemporaryDirectory() as folder:
        trainers = {kind: build(kind, options, folder) for kind in kinds}
        models = {kind: prepare(trainers[kind]) for kind in kinds}
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(options.rounds + 1):
            for kind in kinds if number % 2 else reversed(kinds):
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
    return seconds


def measure_memory(options: argparse.Namespace) -> int:
    """Return the most bytes used while one trainer takes its steps, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(options.memory_of, options, folder)
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
    theirs, ours = KINDS[options.task]
    seconds = measure_times(options)
    memory = {kind: measure_memory_apart(kind) for kind in (theirs, ours)}
    pairs = [b / a for a, b in zip(seconds[theirs], seconds[ours], strict=True)]
    speed = {kind: median(values) for kind, values in seconds.items()}
    print(f"\n{'':8}{'s per step':>12}{'peak MiB':>12}")
    for kind in (theirs, ours):
        print(f"{kind:8}{speed[kind]:12.4f}{memory[kind] / 2**20:12.0f}")
    print(f"{'ratio':8}{median(pairs):12.4f}{memory[ours] / memory[theirs]:12.4f}")
    print(f"pairs: {min(pairs):.4f} to {max(pairs):.4f} over {len(pairs)} rounds")
    return {
        "step_time_ratio": median(pairs),
        "step_time_ratios": pairs,
        "peak_memory_ratio": memory[ours] / memory[theirs],
        "seconds_per_step": speed,
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
    parser.add_argument("task", choices=KINDS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps in a round")
    parser.add_argument("--batch-size", type=int, default=4, help="rows; rl: rollouts of a prompt")
    parser.add_argument("--accumulation", type=int, default=1, help="batches in a step")
    parser.add_argument("--max-length", type=int, default=512, help="tokens of a row or a prompt")
    parser.add_argument("--completion", type=int, default=64, help="rl: tokens of a rollout")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
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
