"""`funreason synthesize --dry-run`: what a run would cost, from what is known without a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.markup import escape

from funreason_agents.cli.console import console
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.models.ledger import Ledger
from funreason_agents.models.prices import Prices
from funreason_agents.models.usage import Totals
from funreason_agents.run_directory import RunDirectory
from funreason_agents.synthesis import synthesize

SAMPLE = 5
"""Trajectories made offline where the directory holds nothing to go by."""
ASSUMED_SECONDS = 2.0
"""Seconds of a call to a model that was never called."""


@dataclass(frozen=True)
class Estimate:
    """What the trajectories that are still missing would cost."""

    trajectories: int
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    """None if the price is not known."""
    seconds: float
    basis: str
    """How it was estimated."""


def estimate_run(
    environment: Environment,
    *,
    model: str,
    prices: Prices,
    out: Path,
    num_trajectories: int,
    context: SynthesisContext,
    seed: int,
    max_concurrency: int,
) -> Estimate:
    """Estimate by the ledger in `out`, else by a few trajectories made offline.

    Args:
        environment: Where the trajectories would take place.
        model: Id of the model.
        prices: What its tokens cost.
        out: Directory of the run.
        num_trajectories: How many are planned.
        context: Run knobs.
        seed: Seed of the run.
        max_concurrency: Threads that would run at once.

    Raises:
        FunReasonError: the ledger cannot be read, or the environment not be used.
    """
    directory, ledger = RunDirectory(out), Ledger()
    ledger.read(directory.ledger)
    manifest = directory.read_manifest() or {}
    counts = manifest.get("counts", {})
    ended = sum(counts.get(name, 0) for name in ("accepted", "rejected"))
    sampled, spent = len(ledger.by_trajectory), ledger.total
    if sampled and ended:
        seconds = spent.seconds / spent.calls
        basis = f"the {spent.calls} calls for {sampled} trajectories that the ledger holds"
    else:
        sampled = min(SAMPLE, num_trajectories)
        spent = _sample(environment, sampled, context, seed)
        seconds = ASSUMED_SECONDS
        basis = (
            f"{sampled} trajectories made with the offline model, at 4 characters per token and an "
            f"assumed {ASSUMED_SECONDS:g} s per call. A model that reasons, or errs, needs more"
        )
    missing = max(0, num_trajectories - ended)
    share = missing / sampled
    sent, received = round(spent.input_tokens * share), round(spent.output_tokens * share)
    price = prices.find(model)
    return Estimate(
        trajectories=missing,
        calls=round(spent.calls * share),
        input_tokens=sent,
        output_tokens=received,
        usd=price.of(sent, received) if price else None,
        seconds=spent.calls * share * seconds / max(1, min(max_concurrency, missing)),
        basis=basis,
    )


def _sample(environment: Environment, number: int, context: SynthesisContext, seed: int) -> Totals:
    ledger = Ledger()
    with TemporaryDirectory() as folder:
        synthesize(
            environment=environment,
            num_trajectories=number,
            out=folder,
            seed=seed,
            context=context,
        )
        ledger.read(RunDirectory(folder).ledger)
    return ledger.total


def print_estimate(estimate: Estimate) -> None:
    """Print an estimate, and how it was come by."""
    tokens = estimate.input_tokens + estimate.output_tokens
    usd = "price not given (--prices)" if estimate.usd is None else f"{estimate.usd:.4f} US dollars"
    console.print(f"[bold]About what {estimate.trajectories} trajectories would take[/]")
    console.print(f"  calls   {estimate.calls}")
    console.print(
        f"  tokens  {tokens} ({estimate.input_tokens} sent, {estimate.output_tokens} received)"
    )
    console.print(f"  money   {usd}")
    console.print(f"  time    {estimate.seconds / 60:.1f} minutes")
    console.print(f"Estimated from {escape(estimate.basis)}.")
    console.print("Nothing was sent to the model.")
