"""Several processes give what one gives: data parallel, sharded, and by reinforcement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from book_rows import make_row, make_rows
from safetensors.torch import load_file

from funreason_agents.export.writer import write_text
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rl import reinforce
from funreason_agents.training.run_folder import find_last_checkpoint
from funreason_agents.training.sft import fine_tune

TOLERANCE = 2e-5
"""Relative; float32 sums in another order."""
TUNE = """
import json, os, sys
sys.path[:0] = [{here!r}]
from book_rows import make_rows
from funreason_agents.training import FineTuneConfig, fine_tune

def stop(told):
    if told["step"] == {until}:
        os._exit(9)

config = FineTuneConfig(**json.loads({config!r}))
rows = make_rows(30)
fine_tune(rows[:24], config, heldout=rows[24:], on_progress=stop)
"""
SHARD = """
import torch
from accelerate import state

# Accelerate shards on accelerators only. PyTorch can on a CPU, too, so it is told to.
state.PartialState._prepare_backend = lambda *_, **__: ("gloo", state.DistributedType.MULTI_GPU)
state.PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
torch.distributed.init_process_group("gloo")
"""
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
"""What `accelerate launch` sets for the options in the README."""


@pytest.fixture
def launch(tmp_path):
    """Run a script in two processes."""

    def run(script, killed=False, **environment):
        write_text(tmp_path / "script.py", script)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        done = subprocess.run(
            [sys.executable, *launcher, str(tmp_path / "script.py")],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == killed, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture
def settings(tiny_model, tmp_path):
    def make(**options):
        usual = {
            "model": str(tiny_model), "output_dir": tmp_path / "alone", "loss": "ssb",
            "batch_size": 4, "gradient_accumulation": 2, "max_steps": 5, "save_steps": 2,
            "learning_rate": 5e-3, "alpha_lr": 0.01, "dtype": "float32",
        }  # fmt: skip
        return FineTuneConfig(**usual | options)

    return make


def tune_script(config, until=None):
    here = str(Path(__file__).parent)
    return TUNE.format(here=here, config=config.model_dump_json(), until=until)


def tune(config):
    rows = make_rows(30)
    return fine_tune(rows[:24], config, heldout=rows[24:])


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def require_same_run(one, two):
    assert (one.metrics["processes"], two.metrics["processes"]) == (1, 2)
    for name in ("loss", "alpha", "reasoning_loss", "result_loss"):
        values, others = ([value for _, value in run.curves[name]] for run in (one, two))
        assert values == pytest.approx(others, rel=TOLERANCE)
    first, second = weights_of(one.weights), weights_of(two.weights)
    assert second.keys() - first.keys() <= {"lm_head.weight"}, "tied, and written once or twice"
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
    for when in ("before", "after"):
        losses = [run.metrics["heldout"][when] for run in (one, two)]
        assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)


def test_two_processes_give_what_one_gives(settings, launch, tmp_path):
    shared = settings(batch_size=2, output_dir=tmp_path / "shared")
    launch(tune_script(shared))
    require_same_run(tune(settings()), tune(shared))  # the second is done, and only read


@pytest.mark.parametrize(("parts", "lora"), [("SHARDED_STATE_DICT", None), ("FULL_STATE_DICT", 4)])
def test_a_sharded_model_killed_and_resumed_gives_what_one_process_gives(
    settings, launch, tmp_path, parts, lora
):
    alone = tune(settings(lora_rank=lora))
    shared = settings(batch_size=2, lora_rank=lora, output_dir=tmp_path / "shared")
    fsdp = {**FSDP, "FSDP_STATE_DICT_TYPE": parts}
    launch(SHARD + tune_script(shared, until=3), killed=True, **fsdp)
    assert find_last_checkpoint(shared.output_dir).name == "checkpoint-2"
    launch(SHARD + tune_script(shared), **fsdp)
    done = tune(shared)
    assert done.metrics["resumed_from"] == "checkpoint-2"
    require_same_run(alone, done)


def test_one_process_speaks_for_all(settings, launch, tmp_path):
    rows = tmp_path / "rows.jsonl"
    write_text(rows, "".join(json.dumps(row) + "\n" for row in make_rows(24)))
    config = settings(output_dir=tmp_path / "told")
    line = ["train", "sft", str(rows), "--model", config.model, "--out", str(config.output_dir)]
    line += ["--set", "max_steps=2"]
    said = launch(
        f"import sys\nfrom funreason_agents.cli import main\nsys.argv[1:] = {line}\nmain()"
    )
    assert said.count("Trained:") == said.count("Weights:") == 1
    record = json.loads((config.output_dir / "run.json").read_text(encoding="utf-8"))
    assert record["metrics"]["processes"] == 2


PLAY = """
import json, sys
sys.path[:0] = [{here!r}]
from book_rows import make_row
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rl import reinforce
reinforce([make_row(0), make_row(4)], ReinforceConfig(**json.loads({config!r})))
"""


def test_rollouts_are_shared_out(tiny_model, tokenizer, launch, tmp_path):
    rows = [make_row(0), make_row(4)]
    model = tiny.teach(tiny_model, tokenizer, rows, tmp_path / "taught")
    config = ReinforceConfig(
        model=str(model), output_dir=tmp_path / "out", steps=3, save_steps=3, prompts_per_step=2,
        num_generations=4, batch_size=4, learning_rate=1e-3, max_completion_length=100,
        temperature=1.0,
    )  # fmt: skip
    script = PLAY.format(here=str(Path(__file__).parent), config=config.model_dump_json())
    launch(script)
    done = reinforce(rows, config)  # only read
    assert done.metrics["processes"] == 2
    assert 0 < done.metrics["groups_with_signal"] <= 1
    assert done.metrics["bonus"] > 0
    before, after = weights_of(model), weights_of(done.weights)
    assert any(not torch.equal(before[name], after[name]) for name in before)
