import json

import pytest
import tiny
from book_rows import make_row, make_rows


def write(rows, folder):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_sft_prints_what_came_of_it_and_is_not_run_twice(funreason, tiny_model, tmp_path):
    rows, out = write(make_rows(12), tmp_path), tmp_path / "out"
    line = ("train", "sft", rows, "--model", tiny_model, "--out", out, "--max-steps", 3)
    status, said = funreason(*line)
    assert status == 0, said
    assert "Trained: 12 of 12 rows" in said
    assert "step 1 of 3: loss" in said
    assert "step 3 of 3: loss" in said
    assert f"Weights: {out / 'weights'}" in said
    made = (out / "weights" / "model.safetensors").stat().st_mtime_ns
    assert funreason(*line)[0] == 0
    assert (out / "weights" / "model.safetensors").stat().st_mtime_ns == made


def test_a_dry_run_checks_all_and_makes_nothing(funreason, tiny_model, tmp_path):
    rows, out = write(make_rows(12), tmp_path), tmp_path / "out"
    line = ("train", "sft", rows, "--model", tiny_model, "--out", out, "--dry-run")
    status, said = funreason(*line)
    assert status == 0, said
    assert "12 of 12 rows fit to train on" in said
    assert "Nothing was trained" in said
    status, said = funreason(*line, "--set", "max_length=8")
    assert status == 1
    assert "12 of 12 rows have more than max_length=8 tokens" in said
    assert not out.exists()


def test_rl_prints_rewards_and_the_share_of_groups_with_signal(
    funreason, tiny_model, tokenizer, tmp_path
):
    rows = [make_row(0), make_row(4)]
    taught = tiny.teach(tiny_model, tokenizer, rows, tmp_path / "taught")
    sizes = ("save_steps=1", "prompts_per_step=2", "num_generations=4", "batch_size=4",
             "max_completion_length=100", "temperature=1.0")  # fmt: skip
    status, said = funreason(
        "train", "rl", write(rows, tmp_path), "--model", taught, "--out", tmp_path / "out",
        "--steps", 2, *(word for each in sizes for word in ("--set", each)),
    )  # fmt: skip
    assert status == 0, said
    assert "step 1 of 2: reward" in said
    assert "step 2 of 2: reward" in said
    assert "rewards differed in" in said
    assert f"Weights: {tmp_path / 'out' / 'weights'}" in said


def test_rl_tells_of_steps_that_learn_from_earlier_rollouts(
    funreason, tiny_model, tokenizer, tmp_path
):
    sizes = ("steps_per_generation=2", "save_steps=2", "prompts_per_step=1", "num_generations=2",
             "batch_size=2", "max_completion_length=8")  # fmt: skip
    status, said = funreason(
        "train", "rl", write([make_row(0), make_row(4)], tmp_path), "--model", tiny_model,
        "--out", tmp_path / "out", "--steps", 2, *(w for each in sizes for w in ("--set", each)),
    )  # fmt: skip
    assert status == 0, said
    assert "step 1 of 2: reward" in said
    assert "step 2 of 2: loss" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sft", "--set", "batch=1"), "unknown knob 'batch'"),
        (("sft", "--loss", "focal"), "'standard', 'srml' or 'ssb'"),
        (("rl", "--set", "batch=1"), "unknown knob 'batch'"),
        (("rl", "--algorithm", "ppo"), "'egpo' or 'grpo'"),
        (("rl", "--set", "batch_size=3"), "must divide"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_mistake_in_the_line(funreason, tmp_path, words, told):
    kind, *rest = words
    rows = write([make_row(0)], tmp_path)
    status, said = funreason("train", kind, rows, "--model", "m", "--out", tmp_path / "o", *rest)
    assert status == 2
    assert told in said
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("kind", ["sft", "rl"])
def test_help_says_what_to_install(funreason, kind):
    status, said = funreason("train", kind, "--help")
    assert status == 0
    assert '"funreason-agents[train]"' in " ".join(said.split())
