"""EGPO: GRPO whose advantages get a bonus for the entropy of the reasoning (paper, section 3).

The bonus needs the entropy of the current policy, which TRL computes inside its loss; so it is
added there, between TRL's forward pass and its use of the advantages. No second forward pass is
made. The three hooks that this hangs on are private to TRL; `tests/training/test_egpo.py` holds
them to their form.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from funreason_agents.training.house_trainer import HouseTrainer

OPEN, CLOSE = "<think>", "</think>"


def entropy_bonus(
    advantages: torch.Tensor, entropies: torch.Tensor, lam: float = 0.4, alpha: float = 2.0
) -> torch.Tensor:
    """Return the advantages with their bonus: `A + min(lam * E, |A| / alpha)` (equation 5).

    Args:
        advantages: Group-normalised advantages A, (B,).
        entropies: Mean entropy of the reasoning E in nats, (B,); not differentiated.
        lam: Weight of the entropy.
        alpha: The bonus is at most |A| / alpha, so with alpha > 1 no sign ever flips.
    """
    return advantages + torch.minimum(lam * entropies.detach(), advantages.abs() / alpha)


def mean_reasoning_entropy(entropies: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy over the reasoning tokens of each rollout, detached, (B,).

    Zero where there are none (equation 4 has no value there).

    Args:
        entropies: Full-vocabulary entropy at each position in nats, (B, T).
        mask: 1 at reasoning tokens, (B, T).
    """
    weights = mask.to(entropies.dtype)
    # `where`, because an entropy outside the reasoning may be anything, and 0 * nan is nan.
    kept = torch.where(mask.bool(), entropies.detach(), torch.zeros_like(entropies))
    return kept.sum(-1) / weights.sum(-1).clamp(min=1.0)


def reasoning_mask(pieces: Sequence[Sequence[str]], own: torch.Tensor) -> torch.Tensor:
    """Return 1 at the reasoning tokens of the rollouts, (B, T).

    These are the tokens that lie wholly between `<think>` and `</think>`, in each message that
    the model wrote. A block that is never closed breaks the template and has none. Without an
    opening tag the message begins inside the block: some chat templates open it in the prompt.

    Args:
        pieces: The vocabulary's own form of each token. The tags are looked for in these, because
            how a tag is split into tokens depends on what stands beside it.
        own: 1 where the model wrote the token, 0 at results of tools and at padding, (B, T).
    """
    mask = torch.zeros_like(own)
    for row, written in enumerate(own.tolist()):
        for start, end in _find_runs(written):
            first, last = find_reasoning(pieces[row][start:end])
            mask[row, start + first : start + last] = 1
    return mask


def find_reasoning(pieces: Sequence[str]) -> tuple[int, int]:
    """Return where the reasoning of one message begins and ends, in tokens; (0, 0) without any."""
    text = "".join(pieces)
    close = text.find(CLOSE)
    if close < 0:
        return 0, 0
    opened = text.find(OPEN, 0, close)
    begin = opened + len(OPEN) if opened >= 0 else 0
    inside = []
    position = 0
    for number, piece in enumerate(pieces):
        if piece and begin <= position and position + len(piece) <= close:
            inside.append(number)
        position += len(piece)
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _find_runs(flags: Sequence[int]) -> list[tuple[int, int]]:
    """Return (start, end) of each unbroken run of ones."""
    runs, start = [], None
    for position, flag in enumerate([*flags, 0]):
        if flag and start is None:
            start = position
        elif not flag and start is not None:
            runs.append((start, position))
            start = None
    return runs


class Written(NamedTuple):
    """One message of a rollout, as the model wrote it."""

    text: str
    """Without the token that ends it; special tokens are kept."""
    finished: bool
    """The model ended it; else it was cut off."""


def split_rollout(
    tokenizer: Any, ids: Sequence[int], own: Sequence[int] | None, ends: Collection[int]
) -> list[Written]:
    """Return the messages that the model wrote in one rollout.

    Args:
        tokenizer: Of the model.
        ids: Tokens of the rollout, results of tools included, without padding.
        own: 1 where the model wrote the token; None if it wrote all of them.
        ends: Tokens that end a message.
    """
    written = []
    for start, end in _find_runs([1] * len(ids) if own is None else own):
        finished = ids[end - 1] in ends
        kept = ids[start : end - 1] if finished else ids[start:end]
        text = tokenizer.decode(list(kept), clean_up_tokenization_spaces=False)
        written.append(Written(text, finished))
    return written


class EpochSampler(RepeatSampler):
    """TRL's sampler, which can also begin at a later epoch.

    TRL's draws the order of an epoch after those before it, so that a resumed run would see the
    order of the first epoch again.
    """

    def set_epoch(self, epoch: int) -> None:
        """Stand where the orders of `epoch` epochs have been drawn."""
        if self.shuffle:
            self.generator.manual_seed(self.seed or 0)
            for _ in range(epoch):
                torch.randperm(self.num_samples, generator=self.generator)


class EGPOTrainer(HouseTrainer, GRPOTrainer):
    """TRL's `GRPOTrainer` with EGPO's advantages. With `lam=0` it is GRPO to the last bit.

    Logs `groups_with_signal`, the share of groups whose rewards differ; `egpo/bonus`, the mean
    bonus; `egpo/capped`, the share of non-zero advantages whose bonus is the cap; `egpo/entropy`,
    the mean entropy of the reasoning in nats; and `egpo/reasoned`, the share of rollouts that have
    reasoning.

    Reward functions are given one more column, `written`: for each rollout, its messages.
    """

    def __init__(self, *args: Any, lam: float = 0.4, alpha: float = 2.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lam = lam
        self.alpha = alpha
        self._loss_inputs: dict[str, Any] | None = None
        self._written: list[list[Written]] = []

    def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
        usual: Any = super()._get_train_sampler(dataset)
        return EpochSampler(
            data_source=usual.data_source,
            mini_repeat_count=usual.mini_repeat_count,
            batch_size=usual.batch_size,
            repeat_count=usual.repeat_count,
            shuffle=usual.shuffle,
            seed=usual.seed,
        )

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        result: tuple[Any, ...] = super()._generate(prompts)
        masks = [None] * len(result[1]) if result[2] is None else result[2]
        self._written = [
            split_rollout(self._tokenizer, ids, own, self.eos_token_ids)
            for ids, own in zip(result[1], masks, strict=True)
        ]
        return result

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: Any, completions: Any, completion_ids: Any
    ) -> torch.Tensor:
        told = [{**row, "written": w} for row, w in zip(inputs, self._written, strict=True)]
        rewards: torch.Tensor = super()._calculate_rewards(
            told, prompts, completions, completion_ids
        )
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        own = output["completion_mask"]
        if "tool_mask" in output:
            own = own * output["tool_mask"]
        name = self._tokenizer.convert_ids_to_tokens
        # A model may have more rows in its vocabulary than its tokenizer has tokens.
        pieces = [[each or "" for each in name(ids)] for ids in output["completion_ids"].tolist()]
        output["reasoning_mask"] = reasoning_mask(pieces, own)
        metrics = self._metrics[self._mode()]
        metrics["groups_with_signal"].append(1.0 - metrics["frac_reward_zero_std"][-1])
        return output

    def _mode(self) -> str:
        assert self.model is not None, "TRL has loaded it"
        return "train" if self.model.training else "eval"

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # TRL uses a buffered batch again when `num_iterations` is above 1: only a copy is changed.
        self._loss_inputs = dict(inputs)
        try:
            loss: torch.Tensor = super()._compute_loss(model, self._loss_inputs)  # type: ignore[no-untyped-call]
        finally:
            self._loss_inputs = None
        return loss

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        # Also called for the old and the reference policy, outside the loss and without entropies.
        if self._loss_inputs is not None:
            self._add_bonus(self._loss_inputs, result[1])
        return result

    def _add_bonus(self, inputs: dict[str, Any], entropies: torch.Tensor) -> None:
        advantages, mask = inputs["advantages"], inputs["reasoning_mask"]
        entropy = mean_reasoning_entropy(entropies, mask).to(advantages.dtype)
        inputs["advantages"] = entropy_bonus(advantages, entropy, self.lam, self.alpha)
        bonus = inputs["advantages"] - advantages
        live = advantages != 0
        capped = live & (self.lam * entropy >= advantages.abs() / self.alpha)
        reasoned = mask.any(-1)
        numbers = torch.stack([bonus, entropy, capped.float(), live.float(), reasoned.float()], 1)
        self._log_bonus(self.accelerator.gather(numbers))

    def _log_bonus(self, numbers: torch.Tensor) -> None:
        """Log means over all processes; one that is over nothing is NaN, which TRL leaves out."""
        bonus, entropy, capped, live, reasoned = numbers.double().sum(0).tolist()
        metrics = self._metrics[self._mode()]
        metrics["egpo/bonus"].append(bonus / len(numbers))
        metrics["egpo/capped"].append(capped / live if live else float("nan"))
        metrics["egpo/entropy"].append(entropy / reasoned if reasoned else float("nan"))
        metrics["egpo/reasoned"].append(reasoned / len(numbers))
