"""`synthesize()`: many trajectories, one thread each, resumable, in the order of their index."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from funreason_agents import __version__
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool, sessions_for
from funreason_agents.errors import ConfigurationError
from funreason_agents.graphs.environment_explorer import walkable_tools
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.models.client import Retries
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.models.ledger import Ledger, Limits
from funreason_agents.models.prices import load_prices
from funreason_agents.run_directory import RunDirectory, database_error, find_threads
from funreason_agents.run_job import Job, Reviewer, Run
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.schemas.tools import ToolGraph
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.coverage import find_targets
from funreason_agents.verification import VERIFIER_VERSION


def synthesize(
    *,
    environment: Environment,
    num_trajectories: int,
    out: str | Path,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | None = None,
    seed: int = 0,
    context: SynthesisContext | None = None,
    max_concurrency: int = 4,
    base_url: str | None = None,
    target: str | None = None,
    limits: Limits | None = None,
    prices: str | Path | Mapping[str, Any] | None = None,
    retries: Retries | None = None,
    progress: Callable[[RunStatistics], None] | None = None,
    reviewer: Reviewer | None = None,
) -> Run:
    """Make `num_trajectories` trajectories and leave their records in `out`.

    Trajectory i depends on (`seed`, i) alone. Running the same line again goes on where the last
    one stopped, tries what failed again, and with a larger number adds to the run. It may be
    ended at any time, by `kill -9` too. Ctrl-C lets each trajectory reach its next checkpoint and
    returns what there is; a second Ctrl-C does not wait for that.

    Args:
        environment: Where the trajectories take place.
        num_trajectories: How many are planned; rejected ones count.
        out: Directory for the checkpoint database, `records.jsonl`, `provenance.jsonl` and the
            manifest `run.json`, and for `ledger.jsonl` with a line for each model call.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role.
        seed: Seed of the run.
        context: Run knobs.
        max_concurrency: Threads that run at once.
        base_url: Address of an OpenAI-compatible server.
        target: How the environment was named to `load_environment`; noted in the manifest, so
            that `funreason verify` finds it.
        limits: Hard limits on tokens, money, calls and time. A limit of the run stops it as
            cleanly as Ctrl-C does; one of a trajectory fails that trajectory. With a higher limit,
            the same line goes on.
        prices: US dollars per million tokens by pattern of model ids; a mapping or a TOML file.
        retries: How provider trouble is waited out.
        progress: Called with the statistics whenever a trajectory ends or begins to wait.
        reviewer: Asked, where `context.review` wants a person and all else is done, for each
            request in the order of the index. Without one, or where it returns None, the
            trajectory waits: this line with a reviewer, or `funreason review`, goes on with it.

    Raises:
        ConfigurationError: `out` holds another run or a larger one, a model cannot be loaded, a
            limit is in money and a price is missing, or a knob names a tool that is not there.
        EnvError: the environment cannot be opened.
        ExportError: `out` cannot be written, or its checkpoint database cannot be read.
    """
    _require_positive(num_trajectories=num_trajectories, max_concurrency=max_concurrency)
    context = context or SynthesisContext()
    ledger = Ledger(load_prices(prices), limits)
    roles = load_models(model, models, base_url=base_url, ledger=ledger, retries=retries)
    ledger.require_prices(roles.ids.values())
    identity = _identify(environment, roles, seed, context)
    manifest = {
        "run": identity,
        "environment_target": target,
        "package_version": __version__,
        "num_trajectories": num_trajectories,
    }
    directory = RunDirectory(out)
    with directory.claim(identity):
        directory.begin(manifest)
        with directory.open_checkpointer() as checkpointer, ledger.kept_in(directory.ledger):
            _require_tools(tool_graph_of(environment), context)
            branches = max_concurrency * (1 + context.samples_per_round)  # the walk, and samples
            pool = SessionPool(environment, max_idle=sessions_for(branches))
            job = Job(
                graph=create_supervisor(
                    environment=environment, models=roles, sessions=pool, checkpointer=checkpointer
                ),
                directory=directory,
                environment=environment,
                context=context,
                manifest=manifest,
                ledger=ledger,
                progress=progress or (lambda _statistics: None),
            )
            try:
                return job.run(find_threads(checkpointer), max_concurrency, reviewer)
            except sqlite3.Error as exc:
                raise database_error(directory.checkpoints, exc) from exc
            finally:
                pool.close()


def _identify(
    environment: Environment, roles: RoleModels, seed: int, context: SynthesisContext
) -> dict[str, Any]:
    """Return what makes a run the same run, so that it can be gone on with."""
    return {
        "environment": environment.id,
        "tools_hash": environment.tools_hash,
        "seed": seed,
        "models": roles.ids,
        # A run without weights stays the run that it was before there were any.
        "context": context.model_dump(
            mode="json", exclude=None if context.target_weights else {"target_weights"}
        ),
        "verifier_version": VERIFIER_VERSION,
    }


def _require_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            msg = f"{name} must be at least 1, not {number}"
            raise ConfigurationError(msg)


def _require_tools(graph: ToolGraph, context: SynthesisContext) -> None:
    unknown = sorted(set(context.target_weights) - set(graph.tools))
    if unknown:
        msg = (
            f"target_weights names {unknown}, which {graph.environment_id!r} does not have; its "
            f"tools are {sorted(graph.tools)}"
        )
        raise ConfigurationError(msg)
    tools = walkable_tools(graph, read_only=context.read_only)
    if find_targets(tools, context.target_weights):
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in graph.unreachable.items())
    if tools:
        msg = (
            f"target_weights is 0 for each tool of {graph.environment_id!r} that a walk can head "
            f"for; give one of {list(tools)} a weight above 0"
        )
    elif reasons:
        msg = f"no tool of {graph.environment_id!r} could be made to succeed ({reasons})"
    else:
        msg = f"every tool of {graph.environment_id!r} changes the state; leave out --read-only"
    raise ConfigurationError(msg)
