"""Fine-tune a small real model with each loss, and compare it with what it was before.

    python benchmarks/small_model.py --model DIR [--work data/small_model] [--rows 1000]

Rows come from the three bundled environments, made offline. Each offers the tools that its
conversation calls and another one, and has at most 384 tokens, which keeps a pass affordable on a
CPU; what does not fit is left out and counted. Held-out rows come from another run, so from other
environment seeds. Each loss takes one pass over the same rows. Then every model answers the same
held-out items, greedily.

Killed and started again, it goes on where it stopped: with the rows that are there, at the last
checkpoint, with the next answers. Once the rows are there, several processes may share the work:
`--losses` names those to do now, and each prints the table of what is done.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.export.formats import to_trl_step_rows
from funreason_agents.export.writer import write_text
from funreason_agents.training import (
    FineTuneConfig,
    FineTuneResult,
    fine_tune,
    prepare_tokenizer,
)
from funreason_agents.training.rewards import judge_answer
from funreason_agents.training.template import render

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (
    "bookstore.py:Bookstore",
    "travel_tools.py:open_travel",
    "workshop.py:open_workshop",
)
LOSSES = ("standard", "srml", "ssb")
TOKENS = 384
OTHERS = 1
"""Tools offered beside those that the conversation calls, if there is room."""
Row = dict[str, Any]


def make_rows(
    tokenizer: PreTrainedTokenizerBase, folder: Path, wanted: int, seed: int
) -> list[Row]:
    """Return rows that fit, as many of each environment; synthesize them unless they are there."""
    file = folder / "rows.jsonl"  # another limit of tokens wants another folder
    if not file.exists():
        rows: list[Row] = []
        for name in ENVIRONMENTS:
            share = -(-wanted // len(ENVIRONMENTS))
            rows += make_share(tokenizer, folder / name.partition(".")[0], name, share, seed)
        random.Random(seed).shuffle(rows)
        write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def make_share(
    tokenizer: PreTrainedTokenizerBase, folder: Path, name: str, wanted: int, seed: int
) -> list[Row]:
    """Return rows of one environment; more trajectories are made until there are enough."""
    environment = load_environment(f"{ROOT / 'tools' / name}", isolated=False)
    fitting: list[Row] = []
    left_out = trajectories = 0
    while len(fitting) < wanted:
        trajectories += max(20, wanted // 6)
        run = synthesize(
            environment=environment,
            num_trajectories=trajectories,
            seed=seed,
            out=folder / str(trajectories),
            context=SynthesisContext(turns=1),
            max_concurrency=2,
        )
        fitting, left_out = [], 0
        for number, row in enumerate(each for r in run.records() for each in to_trl_step_rows(r)):
            short = shorten(tokenizer, row, random.Random(f"{seed}/{number}"))
            fitting += [short] if short else []
            left_out += short is None
    print(f"{name}: {wanted} rows of {len(fitting)}; {left_out} do not fit in {TOKENS} tokens")
    return fitting[:wanted]


def shorten(tokenizer: PreTrainedTokenizerBase, row: Row, generator: random.Random) -> Row | None:
    """Return the row with the tools that are called and a few others; None if it does not fit."""
    messages = [*row["prompt"], *row["completion"]]
    called = {c["function"]["name"] for m in messages for c in m.get("tool_calls", ())}
    others = [tool for tool in row["tools"] if tool["function"]["name"] not in called]
    chosen = generator.sample(others, min(OTHERS, len(others)))
    while True:
        tools = [t for t in row["tools"] if t["function"]["name"] in called or t in chosen]
        if len(render(tokenizer, messages, tools)) <= TOKENS:
            return {**row, "tools": tools}
        if not chosen:
            return None
        chosen.pop()


@torch.no_grad()
def answer(model_dir: Path, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> list[str]:
    """Return what a model writes for each row's prompt, greedily."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    tokenizer.padding_side = "left"
    answers = []
    for start in range(0, len(rows), 8):
        batch = rows[start : start + 8]
        prompts = [
            render(tokenizer, row["prompt"], row["tools"], add_generation_prompt=True)
            for row in batch
        ]
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        written = model.generate(**padded, max_new_tokens=192, do_sample=False)
        for ids in written[:, padded["input_ids"].shape[1] :]:
            answers.append(tokenizer.decode(ids).partition(str(tokenizer.eos_token))[0])
    return answers


def judge(model_dir: Path, name: str, options: argparse.Namespace, rows: Sequence[Row]) -> Row:
    """Return how a model's answers to held-out items compare with theirs."""
    file = options.work / f"answers_{name}.json"
    tokenizer = prepare_tokenizer(model_dir)
    if not file.exists():
        write_text(file, json.dumps(answer(model_dir, tokenizer, rows), ensure_ascii=False))
    judged = [
        judge_answer(text, row["completion"][0], row["tools"], require_reasoning=False).outcome
        for text, row in zip(json.loads(file.read_text(encoding="utf-8")), rows, strict=True)
    ]
    calls = [
        outcome
        for outcome, row in zip(judged, rows, strict=True)
        if row["completion"][0].get("tool_calls")
    ]
    parsed = sum(outcome in ("right", "wrong_calls") for outcome in calls)
    return {
        "items": len(rows),
        "with_calls": len(calls),
        "calls_that_parse": parsed / len(calls),
        "calls_that_match": calls.count("right") / len(calls),
        "outcomes": dict(Counter(judged)),
    }


def main() -> None:
    """Make the rows, tune, let all models answer, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="directory of the model")
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "small_model")
    parser.add_argument("--rows", type=int, default=1000, help="rows to train on")
    parser.add_argument("--heldout", type=int, default=90, help="held-out rows")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("results") / "small_model.json"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer = prepare_tokenizer(options.model)
    make_rows(tokenizer, options.work / "train", options.rows, seed=11)
    heldout = make_rows(tokenizer, options.work / "heldout", options.heldout, seed=12)
    for loss in options.losses:
        tuned = tune(loss, options)
        before = judge(options.model, "before", options, heldout)
        result = {
            "before": {"heldout": tuned.metrics["heldout"]["before"], "answers": before},
            "after": {
                "heldout": tuned.metrics["heldout"]["after"],
                "answers": judge(tuned.weights, loss, options, heldout),
            },
            "metrics": tuned.metrics,
        }
        write_text(options.work / f"{loss}.json", json.dumps(result, indent=2) + "\n")
    found = {loss: options.work / f"{loss}.json" for loss in LOSSES}
    results = {loss: json.loads(f.read_text("utf-8")) for loss, f in found.items() if f.exists()}
    print_table(results)
    write_text(options.out, json.dumps(results, indent=2) + "\n")


def tune(loss: str, options: argparse.Namespace) -> FineTuneResult:
    """Take one pass over the rows with a loss; goes on at the last checkpoint if there is one."""
    config = FineTuneConfig(
        model=str(options.model),
        output_dir=options.work / loss,
        loss=loss,
        # No row is padded, and a larger batch is no faster on a CPU.
        batch_size=1,
        gradient_accumulation=8,
        learning_rate=3e-4,
        max_length=TOKENS,
        save_steps=20,
        keep_checkpoints=1,
        heldout_duplicates="drop",
    )
    return fine_tune(
        options.work / "train" / "rows.jsonl",
        config,
        heldout=options.work / "heldout" / "rows.jsonl",
        on_progress=lambda step: print(step, flush=True),
    )


def print_table(results: Row) -> None:
    """Print a line for each model."""
    print(f"{'':10}{'reasoning':>11}{'result':>9}{'parse':>8}{'match':>8}   (loss; share of calls)")
    lines = {"before": next(iter(results.values()))["before"]}
    for name, each in (lines | {loss: result["after"] for loss, result in results.items()}).items():
        loss, answers = each["heldout"], each["answers"]
        print(
            f"{name:10}{loss['reasoning']:>11.3f}{loss['result']:>9.3f}"
            f"{answers['calls_that_parse']:>8.0%}{answers['calls_that_match']:>8.0%}"
        )


if __name__ == "__main__":
    main()
