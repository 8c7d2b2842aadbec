"""A run's directory: whose it is, and how a run goes on that stopped anywhere."""

import json
import shutil

import pytest
import tiny
import torch
from book_rows import make_row, make_rows
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from funreason_agents.errors import TrainingError
from funreason_agents.training import run_folder
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rl import reinforce
from funreason_agents.training.run_record import RUN
from funreason_agents.training.segment_trainer import GuardedTrainer
from funreason_agents.training.sft import check_fine_tuning, fine_tune


@pytest.fixture
def settings(tiny_model, tmp_path):
    def make(**options):
        usual = {
            "model": str(tiny_model), "output_dir": tmp_path / "out", "batch_size": 2,
            "gradient_accumulation": 2, "max_steps": 4, "save_steps": 2, "learning_rate": 5e-3,
            "alpha_lr": 0.01, "dtype": "float32", "schedule": "constant_with_warmup",
        }  # fmt: skip
        return FineTuneConfig(**usual | options)

    return make


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def lose_the_end(folder):
    """Leave a run as if it had been killed after its last checkpoint."""
    shutil.rmtree(folder / "weights")
    record = json.loads((folder / RUN).read_text(encoding="utf-8"))
    (folder / RUN).write_text(json.dumps({**record, "status": "running"}), encoding="utf-8")


def require_same_weights(folder, before):
    after = weights_of(folder)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_sft_killed_after_its_last_checkpoint_takes_no_further_step(settings):
    config = settings(loss="ssb")
    whole = fine_tune(make_rows(24), config)
    before = weights_of(whole.weights)
    lose_the_end(config.output_dir)
    again = fine_tune(make_rows(24), config)
    assert again.metrics["resumed_from"] == "checkpoint-4"
    assert again.metrics["steps"] == 4
    for name in ("alpha", "train_loss", "tokens_seen"):
        assert again.metrics[name] == whole.metrics[name]
    assert again.metrics["tokens_per_second"] is None
    assert again.curves == whole.curves
    require_same_weights(again.weights, before)
    assert not (config.output_dir / "checkpoint-5").exists()


def test_rl_killed_after_its_last_checkpoint_takes_no_further_step(tiny_model, tokenizer, tmp_path):
    rows = [make_row(number) for number in (0, 4, 5)]
    model = tiny.teach(tiny_model, tokenizer, rows, tmp_path / "taught")
    config = ReinforceConfig(
        model=str(model), output_dir=tmp_path / "out", steps=2, save_steps=1, prompts_per_step=1,
        num_generations=4, batch_size=4, learning_rate=1e-2, max_completion_length=60,
        temperature=1.0,
    )  # fmt: skip
    whole = reinforce(rows, config)
    before = weights_of(whole.weights)
    lose_the_end(config.output_dir)
    again = reinforce(rows, config)
    assert again.metrics["steps"] == 2
    require_same_weights(again.weights, before)
    assert not (config.output_dir / "checkpoint-3").exists()


def test_a_run_that_stopped_before_its_first_checkpoint_may_begin_anew(settings, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(GuardedTrainer, "training_step", fail)
        with pytest.raises(TrainingError, match=r"Lower batch_size \(now 2; with 1 and"):
            fine_tune(make_rows(24), settings())
    config = settings(batch_size=1, gradient_accumulation=4)
    assert fine_tune(make_rows(24), config).metrics["steps"] == 4
    with pytest.raises(TrainingError, match="batch_size: 1 there, 2 here"):
        fine_tune(make_rows(24), settings())
    with pytest.raises(TrainingError, match="batch_size: 1 there, 2 here"):
        check_fine_tuning(make_rows(24), settings())


def test_as_many_processes_must_go_on(settings):
    config = settings()
    fine_tune(make_rows(24), config)
    lose_the_end(config.output_dir)
    record = json.loads((config.output_dir / RUN).read_text(encoding="utf-8"))
    record["metrics"]["processes"] = 4
    (config.output_dir / RUN).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(TrainingError, match="a run of 4 processes, and there are 1 now"):
        fine_tune(make_rows(24), config)


@pytest.mark.parametrize("name", ["weights", "adapter", "checkpoint-7"])
def test_what_somebody_else_made_is_left_alone(settings, name):
    config = settings()
    (config.output_dir / name).mkdir(parents=True)
    (config.output_dir / name / "precious").touch()
    with pytest.raises(TrainingError, match=f"holds {name} but no run.json"):
        fine_tune(make_rows(24), config)
    assert (config.output_dir / name / "precious").exists()


def test_only_what_a_run_makes_is_written(settings):
    config = settings()
    config.output_dir.mkdir()
    (config.output_dir / "README.md").write_text("mine", encoding="utf-8")
    fine_tune(make_rows(24), config)
    assert (config.output_dir / "README.md").read_text(encoding="utf-8") == "mine"


def test_a_full_disk_is_said_and_checkpoints_are_kept(settings, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    config = settings()
    with monkeypatch.context() as patch:
        patch.setattr(run_folder.shutil, "rmtree", fail)
        with pytest.raises(TrainingError, match=r"write to .*No space left"):
            fine_tune(make_rows(24), config)
    assert run_folder.find_last_checkpoint(config.output_dir).name == "checkpoint-4"
    assert fine_tune(make_rows(24), config).metrics["resumed_from"] == "checkpoint-4"


def test_points_of_several_steps_and_checkpoints_between_them(settings, tmp_path):
    fine = fine_tune(make_rows(24), settings(max_steps=7, output_dir=tmp_path / "fine"))
    config = settings(max_steps=7, log_steps=3)
    coarse = fine_tune(make_rows(24), config)
    assert [step for step, _ in coarse.curves["loss"]] == [2, 3, 4, 6, 7]
    assert coarse.metrics["train_loss"] == pytest.approx(fine.metrics["train_loss"], rel=1e-6)
    assert coarse.metrics["tokens_seen"] == fine.metrics["tokens_seen"]


def test_a_gradient_that_is_not_finite_is_seen_before_it_is_saved(settings, monkeypatch):
    config = settings(max_steps=9, save_steps=2, log_steps=9)
    found = GuardedTrainer._get_grad_norm

    def break_down(self, *args, **options):
        return torch.nan if self.state.global_step == 3 else found(self, *args, **options)

    monkeypatch.setattr(GuardedTrainer, "_get_grad_norm", break_down)
    with pytest.raises(TrainingError, match="gradient of step 4 is not finite"):
        fine_tune(make_rows(24), config)
    assert run_folder.find_last_checkpoint(config.output_dir).name == "checkpoint-2"


def test_weights_of_a_lora_run_end_messages_as_the_template_does(
    settings, tiny_model, tokenizer, tmp_path
):
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    other = tokenizer.convert_tokens_to_ids("<|im_start|>")
    for kind in (AutoConfig, GenerationConfig):
        known = kind.from_pretrained(base)
        known.eos_token_id = other
        known.save_pretrained(base)
    config = settings(model=str(base), lora_rank=2, max_steps=1)
    made = fine_tune(make_rows(8), config).weights
    end = AutoTokenizer.from_pretrained(made).eos_token_id
    assert end != other
    ends = GenerationConfig.from_pretrained(made).eos_token_id
    assert end in (ends if isinstance(ends, list) else [ends])


def test_nothing_is_told_to_anybody(settings, tiny_model, tmp_path, monkeypatch):
    for name in ("CI", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    sent = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *a, **k: sent.append(a))
    for loss in ("standard", "ssb"):
        fine_tune(make_rows(8), settings(loss=loss, max_steps=1, output_dir=tmp_path / loss))
    config = ReinforceConfig(
        model=str(tiny_model), output_dir=tmp_path / "rl", steps=1, save_steps=1,
        prompts_per_step=1, num_generations=2, batch_size=2, max_completion_length=8,
    )  # fmt: skip
    reinforce([make_row(0), make_row(4)], config)
    assert sent == []
