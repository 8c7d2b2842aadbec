"""SRML and SSB: reasoning and result are averaged apart, then mixed. Pure functions.

FunReason (arXiv 2505.20192): `L = alpha * L_think + beta * L_result`, each the mean cross-entropy
over its own tokens. SRML fixes alpha and beta = 1 - alpha; SSB learns alpha.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from funreason_agents.training.segments import REASONING, RESULT

Counts = tuple[int, int]
"""Reasoning and result tokens of the whole optimizer step: all its forward passes, all ranks."""


class Balance(nn.Module):
    """The learnable alpha of SSB.

    Args:
        alpha: First value, in (0, 1).
        form: `sigmoid` keeps alpha in (0, 1); `free` is the paper's, which does not.
    """

    def __init__(self, alpha: float = 0.7, form: Literal["sigmoid", "free"] = "sigmoid") -> None:
        super().__init__()
        self.form: Literal["sigmoid", "free"] = form
        first = math.log(alpha / (1 - alpha)) if form == "sigmoid" else alpha
        # float64: one number costs nothing, and sigmoid(logit(0.7)) is then 0.7 to the last digits.
        self.raw = nn.Parameter(torch.tensor(first, dtype=torch.float64))

    def forward(self) -> Tensor:
        """Return alpha, a scalar."""
        return torch.sigmoid(self.raw) if self.form == "sigmoid" else self.raw


def segment_sums(log_probs: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed negative log-likelihood of reasoning and of result tokens.

    Args:
        log_probs: Log-probability of each label, (B, T); what is not trained may hold anything.
        segments: Segment of each label, (B, T).

    Returns:
        Two scalars, in float32 or better.
    """
    losses = -log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
    zero = losses.new_zeros(())
    return (
        torch.where(segments == REASONING, losses, zero).sum(),
        torch.where(segments == RESULT, losses, zero).sum(),
    )


def mix_sums(
    sums: tuple[Tensor, Tensor], counts: Counts, alpha: Tensor | float, beta: Tensor | float
) -> Tensor:
    """Return `alpha * reasoning mean + beta * result mean`, or the one mean that there is.

    With no token of one kind in the whole step, the loss is the mean of the other, unweighted, and
    alpha is no part of the graph: it gets no gradient, not a zero one that an optimizer with
    momentum would still act on. Without any token it is a differentiable zero.
    """
    (reasoning, result), (reasoning_count, result_count) = sums, counts
    if not reasoning_count and not result_count:
        return (reasoning + result) * 0.0
    if not reasoning_count:
        return result / result_count
    if not result_count:
        return reasoning / reasoning_count
    return alpha * (reasoning / reasoning_count) + beta * (result / result_count)


def segment_loss(
    log_probs: Tensor,
    segments: Tensor,
    counts: Counts,
    alpha: Tensor | float,
    beta: Tensor | float,
) -> Tensor:
    """Return the part that these tokens have in the loss of their optimizer step.

    The parts of all forward passes and ranks add up to `alpha * L_think + beta * L_result`
    (FunReason, arXiv 2505.20192), since each is divided by the counts of the whole step.

    Args:
        log_probs: Log-probability of each label, (B, T).
        segments: Segment of each label, (B, T).
        counts: Tokens of each kind in the whole step.
        alpha: Weight of reasoning.
        beta: Weight of the result; for SSB `1 - alpha`.
    """
    return mix_sums(segment_sums(log_probs, segments), counts, alpha, beta)
