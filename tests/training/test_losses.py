"""SRML and SSB against references written straight from the formulas, in float64."""

import math

import pytest
import torch

from funreason_agents.training.losses import Balance, segment_loss

TOLERANCE = 1e-6


@pytest.fixture
def batch():
    """Logits (3, 7, 11), labels and segments of the predicted tokens (3, 7)."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(3, 7, 11, generator=generator, dtype=torch.float64)
    labels = torch.randint(11, (3, 7), generator=generator)
    segments = torch.tensor([[0, 0, 1, 1, 1, 2, 2], [0, 1, 2, 2, 2, 0, 0], [0, 0, 0, 2, 2, 2, 0]])
    return logits, labels, segments


def reference(logits, labels, segments, alpha, beta):
    """Formula by formula, in plain Python: alpha * mean over reasoning + beta * over result."""
    means = []
    for kind in (1, 2):
        losses = []
        for row in range(logits.shape[0]):
            for position in range(logits.shape[1]):
                if segments[row, position] == kind:
                    scores = logits[row, position].tolist()
                    total = sum(math.exp(score) for score in scores)
                    probability = math.exp(scores[labels[row, position]]) / total
                    losses.append(-math.log(probability))
        means.append(sum(losses) / len(losses))
    return alpha * means[0] + beta * means[1], means


def reference_gradient(logits, labels, segments, alpha, beta):
    """d loss / d logit = weight of the token * (softmax - one hot)."""
    gradient = torch.zeros_like(logits)
    for kind, weight in ((1, alpha), (2, beta)):
        count = int((segments == kind).sum())
        for row, position in (segments == kind).nonzero().tolist():
            softmax = torch.exp(logits[row, position]) / torch.exp(logits[row, position]).sum()
            softmax[labels[row, position]] -= 1
            gradient[row, position] = weight / count * softmax
    return gradient


def log_probs_of(logits, labels):
    return logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]


def counts_of(segments):
    return int((segments == 1).sum()), int((segments == 2).sum())


def close(value, expected):
    value, expected = (torch.as_tensor(each, dtype=torch.float64) for each in (value, expected))
    return torch.allclose(value, expected, rtol=TOLERANCE, atol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.3), (0.3, 0.7), (0.5, 0.9)])
def test_srml_equals_the_formula_in_value_and_gradient(batch, alpha, beta):
    logits, labels, segments = batch
    expected, _ = reference(logits, labels, segments, alpha, beta)
    wanted = reference_gradient(logits, labels, segments, alpha, beta)
    logits.requires_grad_()
    loss = segment_loss(log_probs_of(logits, labels), segments, counts_of(segments), alpha, beta)
    loss.backward()
    assert close(loss.detach(), expected)
    assert close(logits.grad, wanted)


@pytest.mark.parametrize(("form", "slope"), [("sigmoid", 0.7 * 0.3), ("free", 1.0)])
def test_ssb_equals_the_formula_in_value_and_gradients(batch, form, slope):
    logits, labels, segments = batch
    balance = Balance(0.7, form).double()
    expected, (reasoning, result) = reference(logits, labels, segments, 0.7, 0.3)
    wanted = reference_gradient(logits, labels, segments, 0.7, 0.3)
    logits.requires_grad_()
    alpha = balance()
    counts = counts_of(segments)
    loss = segment_loss(log_probs_of(logits, labels), segments, counts, alpha, 1 - alpha)
    loss.backward()
    assert close(loss.detach(), expected)
    assert close(logits.grad, wanted)
    # dL/da = (L_think - L_result) * dalpha/da, and dalpha/da = alpha (1 - alpha) or 1.
    assert close(balance.raw.grad, (reasoning - result) * slope)


@pytest.mark.parametrize("form", ["sigmoid", "free"])
@pytest.mark.parametrize("alpha", [0.05, 0.7, 0.99])
def test_first_alpha_is_exact(form, alpha):
    assert Balance(alpha, form)().item() == pytest.approx(alpha, rel=1e-14)


def test_free_alpha_may_leave_the_unit_interval_and_sigmoid_may_not():
    for form, outside in (("free", True), ("sigmoid", False)):
        balance = Balance(0.9, form)
        optimizer = torch.optim.SGD(balance.parameters(), lr=10.0)
        (-balance()).backward()
        optimizer.step()
        assert (balance().item() > 1) == outside


def test_parts_of_a_step_add_up_to_its_loss(batch):
    logits, labels, segments = batch
    log_probs, counts = log_probs_of(logits, labels), counts_of(segments)
    whole = segment_loss(log_probs, segments, counts, 0.7, 0.3)
    for split in ([1, 2], [2, 1], [1, 1, 1]):
        parts = zip(log_probs.split(split), segments.split(split), strict=True)
        assert close(sum(segment_loss(*part, counts, 0.7, 0.3) for part in parts), whole)


@pytest.mark.parametrize(("missing", "kept"), [(1, 2), (2, 1)])
def test_with_one_kind_only_the_loss_is_its_mean_and_alpha_gets_no_gradient(batch, missing, kept):
    logits, labels, segments = batch
    segments = segments.masked_fill(segments == missing, 0)
    balance = Balance()
    logits.requires_grad_()
    log_probs, alpha = log_probs_of(logits, labels), balance()
    loss = segment_loss(log_probs, segments, counts_of(segments), alpha, 1 - alpha)
    loss.backward()
    assert close(loss.detach(), -log_probs[segments == kept].mean().detach())
    assert balance.raw.grad is None


def test_a_micro_batch_without_reasoning_in_a_step_with_it_still_moves_alpha(batch):
    logits, labels, segments = batch
    balance = Balance().double()
    alpha, log_probs = balance(), log_probs_of(logits, labels)
    counts = counts_of(segments)
    segment_loss(log_probs[2:], segments[2:], counts, alpha, 1 - alpha).backward()
    result = -log_probs[2:][segments[2:] == 2].sum() / counts[1]
    assert close(balance.raw.grad, -result * 0.21)


def test_without_any_trained_token_the_loss_is_a_differentiable_zero(batch):
    logits, labels, _ = batch
    logits.requires_grad_()
    nothing = torch.zeros_like(labels)
    loss = segment_loss(log_probs_of(logits, labels), nothing, (0, 0), Balance()(), 0.3)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_ignored_positions_may_hold_anything(batch):
    logits, labels, segments = batch
    log_probs = log_probs_of(logits, labels).masked_fill(segments == 0, -math.inf)
    loss = segment_loss(log_probs, segments, counts_of(segments), 0.7, 0.3)
    assert close(loss, reference(logits, labels, segments, 0.7, 0.3)[0])


def test_at_the_share_of_reasoning_tokens_srml_is_the_standard_loss(batch):
    logits, labels, segments = batch
    reasoning, result = counts_of(segments)
    share = reasoning / (reasoning + result)
    log_probs = log_probs_of(logits, labels)
    standard = -log_probs[segments != 0].mean()
    assert close(segment_loss(log_probs, segments, (reasoning, result), share, 1 - share), standard)


def test_bfloat16_log_probs_are_summed_in_float32(batch):
    logits, labels, segments = batch
    low = log_probs_of(logits, labels).bfloat16()
    loss = segment_loss(low, segments, counts_of(segments), 0.7, 0.3)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference(logits, labels, segments, 0.7, 0.3)[0], rel=2**-7)
