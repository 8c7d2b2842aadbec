import inspect
import math
import statistics

import pytest
import tiny
import torch
from book_rows import make_row
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from funreason_agents.training.egpo import (
    EGPOTrainer,
    entropy_bonus,
    find_reasoning,
    mean_reasoning_entropy,
    reasoning_mask,
    split_rollout,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
HEAT = 1.5
"""Sampling temperature at which the taught model varies its answers."""


def group_advantages(rewards):
    """TRL's normalisation, straight from the formula: Bessel's correction, and 1e-4 more."""
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]


@pytest.mark.parametrize("right", range(9))
@pytest.mark.parametrize("entropy", [0.0, 0.05, 0.3, 0.44, 0.45, 1.0, 5.0])
def test_advantages_on_both_sides_of_the_cap(right, entropy):
    advantages = group_advantages([1.0] * right + [0.0] * (8 - right))
    expected = [a + min(0.4 * entropy, abs(a) / 2.0) for a in advantages]
    found = entropy_bonus(
        torch.tensor(advantages, dtype=torch.float64),
        torch.full((8,), entropy, dtype=torch.float64),
    )
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_cap_of_the_smallest_advantage_binds_at_044_nats():
    smallest = min(abs(a) for a in group_advantages([1.0] + [0.0] * 7))
    assert smallest / 2 / 0.4 == pytest.approx(0.4418, abs=1e-3)


def test_no_sign_flips_and_uniform_groups_stay_at_zero():
    advantages = torch.tensor([-2.0, -0.3, 0.0, 0.3, 2.0], dtype=torch.float64)
    found = entropy_bonus(advantages, torch.full((5,), 50.0, dtype=torch.float64))
    assert found.tolist() == pytest.approx([-1.0, -0.15, 0.0, 0.45, 3.0])


def test_entropy_is_the_mean_over_the_reasoning_and_is_not_differentiated():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 11, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    p = (logits / 0.7).softmax(-1)
    found = mean_reasoning_entropy(-(p * p.log()).sum(-1), mask)
    expected = 0.0
    for position in (1, 2):
        weights = [math.exp(x / 0.7) for x in logits[0, position].tolist()]
        shares = [weight / sum(weights) for weight in weights]
        expected -= sum(share * math.log(share) for share in shares) / 2
    assert found.tolist() == pytest.approx([expected, 0.0], rel=1e-12)
    assert not found.requires_grad


def test_what_is_not_a_number_outside_the_reasoning_does_not_matter():
    entropies = torch.tensor([[float("nan"), 0.5]])
    assert mean_reasoning_entropy(entropies, torch.tensor([[0, 1]])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("pieces", "reasoning"),
    [
        (["<think>", "\n", "a", "b", "\n", "</think>", "\n\n", "c"], ["\n", "a", "b", "\n"]),
        (["<", "think", ">\n", "a", "b\n", "</", "think", ">\n\n", "c"], ["a", "b\n"]),
        (["a", "b", "</think>", "c"], ["a", "b"]),  # the prompt opened the block
        (["<think>", "a", "b"], []),
        (["a", "b"], []),
        (["<think>", "</think>", "c"], []),
        (["", "<think>", "", "a", "</think>", ""], ["a"]),
        (["<think>", "a", "</think>", "<think>", "b", "</think>"], ["a"]),
    ],
)
def test_reasoning_lies_wholly_between_the_tags(pieces, reasoning):
    first, last = find_reasoning(pieces)
    assert pieces[first:last] == reasoning


def test_results_of_tools_and_padding_are_never_reasoning():
    first = ["<think>", "a", "</think>", "call"]
    result = ["<think>", "x", "</think>"]
    second = ["<think>", "b", "c", "</think>", "d"]
    own = torch.tensor([[1] * 4 + [0] * 3 + [1] * 5 + [0] * 2])
    mask = reasoning_mask([[*first, *result, *second, "<think>", "</think>"]], own)
    assert mask.nonzero()[:, 1].tolist() == [1, 8, 9]


def test_rollouts_are_split_into_the_messages_of_the_model(tokenizer):
    end = tokenizer.eos_token_id
    said, told = tokenizer.encode("find it"), tokenizer.encode("found")
    ids = [*said, end, *told, *said]
    own = [1] * (len(said) + 1) + [0] * len(told) + [1] * len(said)
    messages = split_rollout(tokenizer, ids, own, [end])
    assert messages == [("find it", True), ("find it", False)]


HOOKS = {
    "_get_train_sampler": ["self", "dataset"],
    "_generate": ["self", "prompts"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_compute_loss": ["self", "model", "inputs"],
}


@pytest.mark.parametrize("name", HOOKS)
def test_the_private_hooks_of_trl_have_not_changed(name):
    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == HOOKS[name]


def test_the_loss_still_reads_its_advantages_after_the_entropies():
    source = inspect.getsource(GRPOTrainer._compute_loss)
    call = source.index("self._get_per_token_logps_and_entropies(")
    assert "compute_entropy=True" in source[call : call + 400]
    assert source.index('inputs["advantages"]') > call
    assert source.count("_get_per_token_logps_and_entropies(") == 1
    generate = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for key in ("completion_ids", "completion_mask", "advantages"):
        assert f'"{key}": {key}' in generate
    assert 'output["tool_mask"]' in generate
    assert 'self._metrics[mode]["frac_reward_zero_std"]' in generate
    assert "compute_entropy=True" not in generate


def test_tools_of_the_worlds_are_still_rendered_from_env_tools():
    assert "tools=self._env_tools[name]" in inspect.getsource(GRPOTrainer._tokenize_prompts)


@pytest.fixture(scope="module")
def taught(tiny_model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught")
    return tiny.teach(tiny_model, tokenizer, [make_row(0), make_row(4)], folder)


def parity(completion_ids, **_):
    """A reward that differs within groups."""
    return [float(sum(ids) % 2) for ids in completion_ids]


def run(trainer_class, model, tokenizer, folder, **options):
    args = GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        steps_per_generation=4, num_iterations=2, num_generations=4, max_completion_length=72,
        learning_rate=1e-3, loss_type="grpo", beta=0.001, temperature=HEAT, max_steps=6,
        logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, bf16=False,
        gradient_checkpointing=False, dataloader_pin_memory=False, seed=3,
        model_init_kwargs={"dtype": "float32"},
    )  # fmt: skip
    rows = [make_row(number) for number in (0, 4, 0, 4)]
    texts = [
        tokenizer.apply_chat_template(
            row["prompt"], tools=row["tools"], add_generation_prompt=True, tokenize=False
        )
        for row in rows
    ]
    trainer = trainer_class(
        model=str(model), reward_funcs=parity, args=args, processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": texts}), **options,
    )  # fmt: skip
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def grpo(taught, tokenizer, tmp_path_factory):
    return run(GRPOTrainer, taught, tokenizer, tmp_path_factory.mktemp("grpo"))


def weights(trainer):
    return trainer.model.state_dict()


def same(left, right):
    return all(torch.equal(weights(left)[name], weights(right)[name]) for name in weights(left))


def values(trainer, name):
    return [log[name] for log in trainer.state.log_history if log.get(name) is not None]


def test_with_lambda_0_it_is_grpo_to_the_last_bit(grpo, taught, tokenizer, tmp_path):
    egpo = run(EGPOTrainer, taught, tokenizer, tmp_path, lam=0.0)
    assert min(values(egpo, "groups_with_signal")) > 0
    assert max(values(grpo, "grad_norm")) > 0
    assert same(grpo, egpo)
    assert values(grpo, "loss") == values(egpo, "loss")


def test_with_lambda_the_advantages_and_the_weights_differ(grpo, taught, tokenizer, tmp_path):
    egpo = run(EGPOTrainer, taught, tokenizer, tmp_path, lam=0.4)
    assert max(values(egpo, "egpo/bonus")) > 0
    assert max(values(egpo, "egpo/reasoned")) > 0
    assert not same(grpo, egpo)


def test_the_loss_uses_the_entropy_of_a_direct_softmax(taught, tokenizer, tmp_path):
    trainer = run(EGPOTrainer, taught, tokenizer, tmp_path, lam=0.4)
    batch = next(b for b in trainer._buffered_inputs if b["reasoning_mask"].any())
    before = batch["advantages"].clone()
    seen = {}
    trainer._log_bonus = lambda numbers: seen.update(numbers=numbers)
    trainer._compute_loss(trainer.model, batch)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=attention).logits.double() / HEAT
    p = logits[:, -batch["completion_ids"].size(1) - 1 : -1].softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    mask = batch["reasoning_mask"].double()
    mean = (entropy * mask).sum(-1) / mask.sum(-1).clamp(min=1)
    bonus = torch.minimum(0.4 * mean, before.double().abs() / 2)
    assert seen["numbers"][:, 1].tolist() == pytest.approx(mean.tolist(), rel=1e-4)
    assert seen["numbers"][:, 0].tolist() == pytest.approx(bonus.tolist(), rel=1e-4, abs=1e-6)
    assert torch.equal(batch["advantages"], before), "the buffered batch is used again"
