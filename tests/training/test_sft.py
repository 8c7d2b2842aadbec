"""The trainer: against TRL, over batchings, to the end, killed and resumed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from book_rows import make_rows
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer

from funreason_agents.errors import TrainingError
from funreason_agents.training import segment_trainer, sft
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.losses import Balance
from funreason_agents.training.segments import (
    SegmentCollator,
    ThinkMarks,
    find_think_marks,
    tokenize_row,
)
from funreason_agents.training.sft import fine_tune, make_trainer

compiles = (
    pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore"),  # of the compiler, about itself
)
TOLERANCE = 2e-5
"""Relative; float32 sums in another order."""


@pytest.fixture
def config(tiny_model, tmp_path):
    def make(**options):
        defaults = {
            "model": str(tiny_model),
            "output_dir": tmp_path / "out",
            "batch_size": 2,
            "gradient_accumulation": 2,
            "learning_rate": 5e-3,
            "dtype": "float32",
            "save_steps": 50,
        }
        return FineTuneConfig(**{**defaults, **options})

    return make


@pytest.fixture
def trainer_of(config, tokenizer):
    def make(count=8, **options):
        rows = [tokenize_row(tokenizer, row) for row in make_rows(count)]
        settings = config(**options)
        return make_trainer(settings, tokenizer, rows, find_think_marks(tokenizer))

    return make


def one_step(trainer, batches):
    """Return loss and gradients of one optimizer step over `batches`, without stepping."""
    trainer.model.train()
    trainer.model.zero_grad()
    batches, items = trainer.get_batch_samples(iter(batches), len(batches), torch.device("cpu"))
    trainer.current_gradient_accumulation_steps = len(batches)
    loss = 0.0
    for number, batch in enumerate(batches):
        last = number == len(batches) - 1
        trainer.accelerator.gradient_state._set_sync_gradients(last)
        loss += trainer.training_step(trainer.model, dict(batch), items).item()
    gradients = {
        name: weight.grad.clone()
        for name, weight in trainer.model.named_parameters()
        if weight.grad is not None
    }
    if getattr(trainer, "balance", None) is not None:
        gradients["alpha"] = trainer.balance.raw.grad.clone()
        trainer.balance.raw.grad = None
    return loss, gradients


def collate(trainer, count, size, **options):
    """Return the first `count` rows of the trainer in batches of `size`."""
    rows = [trainer.train_dataset[number] for number in range(count)]
    known = trainer.data_collator
    collator = type(known)(**{**vars(known), **options})
    return [collator(rows[start : start + size]) for start in range(0, count, size)]


def left_padded(batch):
    """Return a batch padded on the left."""
    padded = {}
    for name, value in batch.items():
        rows = zip(value, batch["attention_mask"].sum(1).tolist(), strict=True)
        padded[name] = torch.stack([row.roll(len(row) - length) for row, length in rows])
    return padded


def same(one, other, tolerance=TOLERANCE):
    loss, gradients = one
    other_loss, other_gradients = other
    assert loss == pytest.approx(other_loss, rel=tolerance)
    assert gradients.keys() == other_gradients.keys()
    for name, gradient in gradients.items():
        scale = gradient.abs().max().item()
        difference = (gradient - other_gradients[name]).abs().max().item()
        assert difference <= tolerance * max(scale, 1e-3), name


def test_standard_is_trl_s_own_loss_to_the_last_digit(trainer_of, tokenizer):
    ours = trainer_of(loss="standard")
    theirs = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(ours.model.name_or_path, dtype=torch.float32),
        args=ours.args,
        train_dataset=ours.train_dataset,
        processing_class=tokenizer,
    )
    assert ours.train_dataset[0]["labels"] == theirs.train_dataset[0]["labels"]
    batches = collate(ours, 8, 2)
    loss, gradients = one_step(ours, batches)
    their_loss, their_gradients = one_step(theirs, batches)
    assert loss == their_loss
    assert all(torch.equal(gradients[name], their_gradients[name]) for name in their_gradients)
    assert type(ours).compute_loss is SFTTrainer.compute_loss


def test_ssb_of_the_trainer_equals_the_formula(trainer_of):
    trainer = trainer_of(loss="ssb")
    batches = collate(trainer, 8, 2)
    loss, gradients = one_step(trainer, batches)
    trainer.model.zero_grad()
    reasoning, result = [], []
    for batch in batches:
        logits = trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        log_probs = logits[:, :-1].double().log_softmax(-1)
        picked = log_probs.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        reasoning.append(-picked[batch["segments"][:, 1:] == 1])
        result.append(-picked[batch["segments"][:, 1:] == 2])
    means = torch.cat(reasoning).mean(), torch.cat(result).mean()
    expected = 0.7 * means[0] + 0.3 * means[1]
    expected.backward()
    wanted = {name: weight.grad for name, weight in trainer.model.named_parameters()}
    wanted["alpha"] = ((means[0] - means[1]) * 0.21).detach()
    same((loss, gradients), (expected.item(), wanted))


@pytest.mark.parametrize("loss", ["srml", "ssb"])
def test_results_do_not_depend_on_accumulation_padding_side_or_packing(trainer_of, loss):
    trainer = trainer_of(loss=loss)
    whole = one_step(trainer, collate(trainer, 8, 8))
    for size in (1, 2, 3):
        same(one_step(trainer, collate(trainer, 8, size)), whole)
    same(one_step(trainer, [left_padded(batch) for batch in collate(trainer, 8, 4)]), whole)
    for size in (8, 4):
        packed = collate(trainer, 8, size, padding_free=True)
        assert packed[0]["input_ids"].shape[0] == 1
        same(one_step(trainer, packed), whole)


def test_only_trainable_tokens_carry_gradient(trainer_of):
    trainer = trainer_of(loss="ssb")
    (batch,) = collate(trainer, 4, 4)
    seen = []
    head = trainer.model.get_output_embeddings()

    def watch(module, given, output):
        output.last_hidden_state.register_hook(seen.append)

    trainer.model.base_model.register_forward_hook(watch)
    _, before = one_step(trainer, [batch])
    # The hidden state at t predicts token t + 1; where that is not trained, no gradient.
    carries = seen[0].abs().sum(-1)[:, :-1] > 0
    assert torch.equal(carries, batch["segments"][:, 1:] > 0)
    assert not seen[0][:, -1].any()
    assert head.weight.grad is not None
    assert before


def test_a_step_without_reasoning_leaves_alpha_alone(trainer_of):
    trainer = trainer_of(loss="ssb")
    (batch,) = collate(trainer, 4, 4)
    batch["segments"] = torch.where(batch["segments"] == 1, 0, batch["segments"])
    batch["labels"] = batch["labels"].masked_fill(batch["segments"] == 0, -100)
    batches, counts = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    assert counts[0] == 0
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, dict(batches[0]), counts)
    assert trainer.balance.raw.grad is None
    trainer.alpha_optimizer.step()
    assert trainer.alpha == pytest.approx(0.7, rel=1e-14)


@pytest.mark.parametrize("loss", ["standard", "srml", "ssb"])
def test_twenty_steps(config, loss):
    rows, told = make_rows(24), []
    settings = config(loss=loss, max_steps=20, alpha_lr=1e-2)
    heldout = make_rows(30)[24:]
    result = fine_tune(rows, settings, heldout=heldout, on_progress=told.append)
    losses = [value for _, value in result.curves["loss"]]
    assert [entry["step"] for entry in told] == list(range(1, 21))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    before, after = (result.metrics["heldout"][when] for when in ("before", "after"))
    assert after["reasoning"] < before["reasoning"]
    assert after["result"] < before["result"]
    alphas = {value for _, value in result.curves.get("alpha", ())}
    assert len(alphas) == {"standard": 0, "srml": 1, "ssb": 20}[loss]
    assert {"run.json", "curves.json", "curves.png"} <= {
        path.name for path in settings.output_dir.iterdir()
    }
    # What was measured can be measured again from the files.
    again = config(loss=loss, model=str(result.weights), output_dir=settings.output_dir / "again")
    tokenizer = AutoTokenizer.from_pretrained(result.weights)
    assert tokenizer.chat_template
    tokens = [tokenize_row(tokenizer, row) for row in heldout]
    marks = find_think_marks(tokenizer)
    trainer = make_trainer(again, tokenizer, tokens, marks)
    assert sft.measure_heldout(trainer, tokens, marks, autocast=False) == after
    # A run that is done is read, not run.
    assert fine_tune(rows, settings, heldout=heldout, on_progress=pytest.fail) == result


@pytest.mark.parametrize(
    ("option", "tolerance"),
    [
        ({"gradient_checkpointing": True}, 0),
        pytest.param({"compile": True}, TOLERANCE, marks=compiles),
        ({"dtype": "mixed"}, 0.01),
        ({"dtype": "bfloat16"}, 0.02),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_what_saves_time_or_memory_does_not_change_the_result(config, tmp_path, option, tolerance):
    torch._dynamo.utils.counters.clear()
    rows, heldout = make_rows(30)[:24], make_rows(30)[24:]
    plain, other = (
        fine_tune(rows, config(max_steps=5, output_dir=tmp_path / name, **more), heldout=heldout)
        for name, more in (("plain", {}), ("other", option))
    )
    for name in ("loss", "reasoning_loss", "result_loss", "alpha"):
        values, others = ([value for _, value in run.curves[name]] for run in (plain, other))
        assert others == pytest.approx(values, rel=tolerance)
    after = [run.metrics["heldout"]["after"]["all"] for run in (plain, other)]
    assert after[1] == pytest.approx(after[0], rel=tolerance)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert (graphs > 0) == ("compile" in option)


def test_packing_trains(config):
    result = fine_tune(make_rows(24), config(loss="ssb", packing=True, epochs=6))
    losses = [value for _, value in result.curves["loss"]]
    assert losses[-1] < 0.8 * losses[0]


def test_lora_trains_adapters_only_and_gives_whole_weights(config, tiny_model):
    settings = config(loss="ssb", lora_rank=4, max_steps=6)
    result = fine_tune(make_rows(24), settings)
    first, tuned = (
        load_file(folder / "model.safetensors") for folder in (tiny_model, result.weights)
    )
    assert first.keys() == tuned.keys()
    moved = {name for name in first if not torch.equal(first[name], tuned[name])}
    assert moved
    assert all("_proj" in name for name in moved)
    assert (settings.output_dir / "adapter" / "adapter_config.json").is_file()


KILLED = """
import json, os, sys
sys.path[:0] = [{here!r}]
from book_rows import make_rows
from funreason_agents.training import FineTuneConfig, fine_tune
def end(told):
    if told["step"] == {at}:
        os._exit(9)
config = FineTuneConfig(**json.loads(sys.argv[1]))
fine_tune(make_rows(24), config, heldout=make_rows(27)[24:], on_progress=end)
"""


@pytest.mark.parametrize(("loss", "lora"), [("ssb", None), ("standard", None), ("ssb", 4)])
def test_killed_and_resumed_gives_the_same_weights(config, tmp_path, loss, lora):
    options = {"loss": loss, "lora_rank": lora, "max_steps": 14, "save_steps": 4, "alpha_lr": 0.01}
    rows, heldout = make_rows(24), make_rows(27)[24:]
    whole = fine_tune(rows, config(**options, output_dir=tmp_path / "whole"), heldout=heldout)
    killed = config(**options, output_dir=tmp_path / "killed")
    script = KILLED.format(here=str(Path(__file__).parent), at=10)
    done = subprocess.run(
        [sys.executable, "-c", script, killed.model_dump_json()],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr[-2000:]
    assert not (killed.output_dir / "weights").exists()
    told = []
    resumed = fine_tune(rows, killed, heldout=heldout, on_progress=told.append)
    assert told[0]["step"] == 9  # the last checkpoint was at 8
    assert resumed.metrics["resumed_from"] == "checkpoint-8"
    for name in ("tokens_seen", "train_loss"):
        assert resumed.metrics[name] == whole.metrics[name], "of all that was trained on"
    own = resumed.metrics["tokens_per_second"] * resumed.metrics["seconds"]
    assert 0 < own < 0.6 * whole.metrics["tokens_seen"], "speed is that of this process"
    one, other = (load_file(r.weights / "model.safetensors") for r in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("loss", *(("alpha", "reasoning_loss") if loss == "ssb" else ())):
        assert whole.curves[name] == resumed.curves[name]
    assert whole.metrics["heldout"] == resumed.metrics["heldout"]


def test_another_run_s_directory_is_refused(config):
    settings = config(max_steps=2)
    fine_tune(make_rows(8), settings)
    with pytest.raises(TrainingError, match=r"alpha: 0\.7 there, 0\.5 here"):
        fine_tune(make_rows(8), settings.model_copy(update={"alpha": 0.5}))
    with pytest.raises(TrainingError, match="data_hash"):
        fine_tune(make_rows(9), settings)
    (settings.output_dir / "run.json").unlink()
    with pytest.raises(TrainingError, match=r"holds weights but no run\.json"):
        fine_tune(make_rows(8), settings)


@pytest.mark.parametrize("loss", ["standard", "ssb"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_checkpoints(config, monkeypatch, loss):
    settings = config(loss=loss, max_steps=9, save_steps=2)

    def break_weights(told):
        if told["step"] == 5:
            found[0].model.lm_head.weight.data[:] = float("nan")

    found, make = [], sft.make_trainer
    monkeypatch.setattr(sft, "make_trainer", lambda *a: found.append(make(*a)) or found[0])
    with pytest.raises(TrainingError, match=r"loss of step 6 is not finite.*learning_rate"):
        fine_tune(make_rows(24), settings, on_progress=break_weights)
    kept = {path.name for path in settings.output_dir.glob("checkpoint-*")}
    assert kept == {"checkpoint-2", "checkpoint-4"}
    saved = load_file(settings.output_dir / "checkpoint-4" / "model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in saved.values())


def test_out_of_memory_says_what_to_lower(config, monkeypatch):
    def fail(*_, **__):
        msg = "CUDA out of memory. Tried to allocate 2.00 GiB"
        raise torch.OutOfMemoryError(msg)

    monkeypatch.setattr(segment_trainer.SegmentTrainer, "compute_loss", fail)
    with pytest.raises(TrainingError, match=r"Lower batch_size \(now 2.*max_length"):
        fine_tune(make_rows(8), config())


def test_other_runtime_errors_are_not_taken_for_memory(config, monkeypatch):
    def fail(*_, **__):
        msg = "mat1 and mat2 shapes cannot be multiplied"
        raise RuntimeError(msg)

    monkeypatch.setattr(segment_trainer.SegmentTrainer, "compute_loss", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        fine_tune(make_rows(8), config())


def test_a_model_that_is_not_there(config, tmp_path):
    with pytest.raises(TrainingError, match="nowhere"):
        fine_tune(make_rows(8), config(model=str(tmp_path / "nowhere")))


def test_alpha_is_clipped_and_never_decays(trainer_of):
    trainer = trainer_of(loss="ssb", max_grad_norm=0.5, weight_decay=0.3)
    trainer.balance.raw.grad = torch.tensor(3.0, dtype=torch.float64)
    trainer.average_alpha_gradient()
    assert trainer.balance.raw.grad.item() == pytest.approx(0.5, rel=1e-5)
    (group,) = trainer.alpha_optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.0)
    trainer.create_optimizer()
    ids = {id(w) for g in trainer.optimizer.param_groups for w in g["params"]}
    assert id(trainer.balance.raw) not in ids


def test_a_checkpoint_of_another_loss_has_no_alpha(trainer_of, tmp_path):
    trainer = trainer_of(loss="ssb")
    with pytest.raises(TrainingError, match=r"balance\.pt"):
        trainer.load_balance(tmp_path)


def test_collator_without_marks_has_only_results(tokenizer):
    row = vars(tokenize_row(tokenizer, make_rows(2)[1]))
    batch = SegmentCollator(pad_token_id=tokenizer.pad_token_id, marks=ThinkMarks())([row, row])
    assert set(batch["segments"].flatten().tolist()) == {0, 2}
    assert Balance().raw.dtype == torch.float64
