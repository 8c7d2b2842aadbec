import json
from types import SimpleNamespace

import pytest
import tiny
import torch
from book_rows import make_row
from safetensors.torch import load_file

from funreason_agents.errors import TrainingError
from funreason_agents.training import policy, rl
from funreason_agents.training.machine import make_arguments
from funreason_agents.training.policy import should_use_vllm
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rl import NO_SIGNAL, reinforce
from funreason_agents.training.run_folder import find_last_checkpoint

ROWS = [make_row(0), make_row(4)]


@pytest.fixture(scope="module")
def taught(tiny_model, tokenizer, tmp_path_factory):
    return tiny.teach(tiny_model, tokenizer, ROWS, tmp_path_factory.mktemp("taught"))


def settings(model, folder, **changes):
    usual = {
        "model": str(model), "output_dir": folder, "steps": 3, "save_steps": 1,
        "prompts_per_step": 2, "num_generations": 4, "batch_size": 4, "learning_rate": 1e-3,
        "max_completion_length": 100, "temperature": 1.0, "keep_checkpoints": 9,
    }  # fmt: skip
    return ReinforceConfig(**usual | changes)


def test_defaults_are_the_papers():
    config = ReinforceConfig(model="m", output_dir="o")
    found = (config.loss_type, config.beta, config.temperature, config.num_generations)
    assert found == ("grpo", 0.001, 0.7, 8)
    assert (config.learning_rate, config.lam, config.alpha) == (1e-6, 0.4, 2.0)


def test_egpo_end_to_end(taught, tmp_path):
    told = []
    config = settings(taught, tmp_path)
    result = reinforce(ROWS, config, on_progress=told.append)
    assert result.metrics["steps"] == 3
    assert 0 < result.metrics["groups_with_signal"] <= 1
    assert result.note == ""
    assert result.metrics["bonus"] > 0
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "done"
    assert record["metrics"]["groups_with_signal"] == result.metrics["groups_with_signal"]
    assert {"reward", "egpo/entropy", "egpo/bonus"} <= result.curves.keys()
    before, after = (load_file(each / "model.safetensors") for each in (taught, result.weights))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert [step["step"] for step in told if "reward" in step] == [1, 2, 3]
    again = reinforce(ROWS, config)
    assert again.metrics == json.loads(json.dumps(result.metrics))


def test_template_whose_calls_the_reward_cannot_read_is_refused(taught, tokenizer, tmp_path):
    other = tmp_path / "calls.jinja"
    other.write_text(tokenizer.chat_template.replace("tool_call>", "invoke>"), encoding="utf-8")
    with pytest.raises(TrainingError, match="which the reward does not read"):
        reinforce(ROWS, settings(taught, tmp_path / "out", template=str(other)))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("count", [3, 6])
def test_a_run_that_was_killed_ends_with_the_same_weights(taught, tmp_path, count):
    """With 3 rows the checkpoint lies in a later epoch, with 6 within the first."""
    rows = [make_row((0, 4, 5)[number % 3]) for number in range(count)]
    changes = {"steps": 6, "save_steps": 2, "steps_per_generation": 2, "prompts_per_step": 1}
    whole = reinforce(rows, settings(taught, tmp_path / "whole", **changes))
    assert whole.metrics["groups_with_signal"] > 0

    def die(step):
        if step["step"] == 5:
            raise Killed

    config = settings(taught, tmp_path / "killed", **changes)
    with pytest.raises(Killed):
        reinforce(rows, config, on_progress=die)
    assert find_last_checkpoint(tmp_path / "killed").name == "checkpoint-4"
    resumed = reinforce(rows, config)
    assert resumed.metrics["resumed_from"] == "checkpoint-4"
    assert whole.curves["reward"] == resumed.curves["reward"]
    left, right = (load_file(each.weights / "model.safetensors") for each in (whole, resumed))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_checkpoints_between_rounds_of_rollouts_are_refused(tmp_path):
    for changes in (
        {"save_steps": 3, "steps": 4, "steps_per_generation": 2},
        {"save_steps": 2, "steps": 3, "num_iterations": 2},
    ):
        with pytest.raises(TrainingError, match="multiple of 2"):
            reinforce(ROWS, settings("nowhere", tmp_path, **changes))


def test_without_signal_it_says_that_nothing_was_learnt(tiny_model, tmp_path):
    result = reinforce(ROWS, settings(tiny_model, tmp_path, steps=1, max_completion_length=8))
    assert result.metrics["groups_with_signal"] == 0
    assert result.note == NO_SIGNAL


def test_a_lora_run_leaves_whole_weights_and_the_adapter(taught, tmp_path):
    result = reinforce(ROWS, settings(taught, tmp_path, steps=1, lora_rank=2))
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()
    assert (result.weights / "model.safetensors").is_file()


def test_too_few_or_too_long_prompts_are_refused(taught, tmp_path):
    with pytest.raises(TrainingError, match="needs 2"):
        reinforce(ROWS[:1], settings(taught, tmp_path))
    with pytest.raises(TrainingError, match="max_prompt_length=16"):
        reinforce(ROWS, settings(taught, tmp_path, max_prompt_length=16))
    with pytest.raises(TrainingError, match="0 prompts"):
        reinforce([], settings(taught, tmp_path))


def test_another_run_in_the_directory_is_refused(taught, tmp_path):
    reinforce(ROWS, settings(taught, tmp_path, steps=1, max_completion_length=8))
    with pytest.raises(TrainingError, match="another run"):
        reinforce(ROWS, settings(taught, tmp_path, steps=1, max_completion_length=9))


def test_a_loss_that_is_no_number_stops_the_run(taught, tmp_path):
    config = settings(taught, tmp_path, learning_rate=1e30, max_grad_norm=1e9)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        reinforce(ROWS, config)
    assert find_last_checkpoint(tmp_path) is not None, "earlier checkpoints are kept"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_says_what_to_lower(taught, tmp_path, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(rl, "make_policy_trainer", fail)
    with pytest.raises(
        TrainingError, match=r"Lower batch_size \(now 4.*lora_rank; in a new output"
    ):
        reinforce(ROWS, settings(taught, tmp_path))


def test_vllm_is_used_only_where_there_is_a_gpu_and_vllm(tmp_path, monkeypatch):
    config = settings("m", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not should_use_vllm(config)
    with pytest.raises(TrainingError, match="needs a GPU"):
        should_use_vllm(settings("m", tmp_path, use_vllm=True))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("funreason_agents.training.policy.find_spec", lambda name: object())
    assert should_use_vllm(config)


def test_vllm_is_told_the_end_of_a_message_and_the_model_s_context(
    taught, tokenizer, tmp_path, monkeypatch
):
    class Stop(Exception):
        pass

    def look(config, *_):
        found.append(config)
        raise Stop

    found = []
    monkeypatch.setattr(rl, "make_policy_trainer", look)
    with pytest.raises(Stop):
        reinforce(ROWS, settings(taught, tmp_path, max_prompt_length=4096))
    monkeypatch.setattr(policy, "should_use_vllm", lambda config: True)
    args = policy._to_arguments(found[0], tokenizer)
    assert args.vllm_max_model_length == 1024, "the context of the model"
    assert args.generation_kwargs == {"stop_token_ids": [tokenizer.eos_token_id]}


def test_a_process_uses_one_accelerator(tmp_path):
    for there, used in ((4, 1), (1, 1), (0, 0)):
        args = make_arguments(
            lambda count=there, **_: SimpleNamespace(n_gpu=count), settings("m", tmp_path)
        )
        assert args._n_gpu == used
