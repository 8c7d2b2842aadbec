"""What a student can do, by tool and by kind of turn, and the weights that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from funreason_agents.environments.base import Environment
from funreason_agents.errors import ConfigurationError
from funreason_agents.export.writer import write_text
from funreason_agents.schemas.base import Frozen
from funreason_agents.schemas.tasks import HardTurnKind, TurnKind

FLOOR = 0.05
"""Least weight of a tool or a kind, so that what is mastered stays in the data."""


class Outcome(Frozen):
    """What became of one task."""

    task: str
    """Identifies the task within its probe."""
    target: str
    """Empty where nothing may be called."""
    tools: tuple[str, ...]
    """The tools of the gold trace, each once."""
    kind: TurnKind
    failures: tuple[str | None, ...]
    """By attempt: None if it was accepted, else the first check that it failed, or why its answer
    could not be used."""

    @property
    def passed(self) -> int:
        """Attempts that were accepted."""
        return self.failures.count(None)


class Score(Frozen):
    """How a student did on a group of tasks."""

    tasks: int = 0
    attempts: int = 0
    passed: int = 0
    """Attempts that were accepted."""
    pass_at: tuple[float, ...] = ()
    """Mean of pass@1, pass@2, ... over the tasks."""
    failures: dict[str, int] = Field(default_factory=dict)
    """Failed attempts by the first check that failed, most frequent first."""

    @property
    def pass_rate(self) -> float:
        """Share of the attempts that were accepted; 0 if there were none."""
        return self.passed / self.attempts if self.attempts else 0.0

    @property
    def weight(self) -> float:
        """1 - pass rate, smoothed by Laplace's rule (one success and one failure more)."""
        return max(FLOOR, 1 - (self.passed + 1) / (self.attempts + 2))


class StudentProfile(Frozen):
    """What a student can do in one environment."""

    schema_version: Literal[1] = 1
    environment_id: str
    tools_hash: str
    model: str
    """Model id of the student."""
    attempts_per_task: int
    seed: int
    overall: Score
    targets: dict[str, Score]
    """By the tool that a task was meant to exercise; every tool of the environment."""
    tools: dict[str, Score]
    """By each tool of the gold trace, the target included; every tool of the environment."""
    kinds: dict[TurnKind, Score]
    """By kind of turn, those that were probed."""

    def weights(self) -> dict[str, dict[str, float]]:
        """Return what `synthesize` needs to head for what the student cannot do.

        Returns:
            `tools`: the weight of each tool, which is 1 - pass rate over the tasks whose gold
            trace calls it, smoothed and never below `FLOOR`; a tool that no task called gets the
            mean. `kinds`: the share of each kind that was probed, by the same weights; they add
            up to 1.
        """
        seen = {name: score.weight for name, score in self.tools.items() if score.attempts}
        mean = sum(seen.values()) / len(seen) if seen else 1.0
        kinds = {str(kind): score.weight for kind, score in self.kinds.items()}
        total = sum(kinds.values())
        return {
            "tools": {name: seen.get(name, mean) for name in self.tools},
            "kinds": {kind: weight / total for kind, weight in kinds.items()},
        }

    def to_knobs(
        self, environment: Environment, hard_turns: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Return the knobs of `SynthesisContext` that head for what the student cannot do.

        Args:
            environment: Where the trajectories are to take place.
            hard_turns: The shares of hard kinds that the user wants; empty takes the profile's.

        Raises:
            ConfigurationError: the profile is of another environment, or of other tools.
        """
        if self.environment_id != environment.id:
            msg = f"the profile is of {self.environment_id!r}, not of {environment.id!r}; "
            raise ConfigurationError(msg + "probe the student there, with `funreason probe`")
        if self.tools_hash != environment.tools_hash:
            msg = f"the tools of {environment.id!r} have changed since the profile was made; "
            raise ConfigurationError(msg + "probe the student anew, with `funreason probe`")
        weights = self.weights()
        found = {k: share for k, share in weights["kinds"].items() if k in get_args(HardTurnKind)}
        return {"target_weights": weights["tools"], "hard_turns": dict(hard_turns or found)}


def estimate_pass_at(attempts: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of pass@k: that one of `k` attempts at a task is accepted.

    1 - C(n - c, k) / C(n, k), for c of n attempts accepted (Chen et al. 2021, equation 1).

    Raises:
        ConfigurationError: not 0 <= `passed` <= `attempts`, or not 1 <= `k` <= `attempts`.
    """
    if not (0 <= passed <= attempts and 1 <= k <= attempts):
        msg = f"pass@{k} cannot be estimated from {passed} of {attempts} attempts"
        raise ConfigurationError(msg)
    return 1 - comb(attempts - passed, k) / comb(attempts, k)


def score_outcomes(outcomes: Sequence[Outcome]) -> Score:
    """Return the score of a group of tasks, each with the same number of attempts."""
    if not outcomes:
        return Score()
    failures = Counter(each for one in outcomes for each in one.failures if each is not None)
    attempts = len(outcomes[0].failures)
    passes = [one.passed for one in outcomes]
    return Score(
        tasks=len(outcomes),
        attempts=attempts * len(outcomes),
        passed=sum(passes),
        pass_at=tuple(
            sum(estimate_pass_at(attempts, passed, k) for passed in passes) / len(passes)
            for k in range(1, attempts + 1)
        ),
        failures=dict(sorted(failures.items(), key=lambda item: (-item[1], item[0]))),
    )


def make_profile(
    environment: Environment, outcomes: Sequence[Outcome], *, model: str, k: int, seed: int
) -> StudentProfile:
    """Return the profile that the outcomes of `k` attempts per task give."""
    names = [tool.name for tool in environment.tools]
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in outcomes)]
    return StudentProfile(
        environment_id=environment.id,
        tools_hash=environment.tools_hash,
        model=model,
        attempts_per_task=k,
        seed=seed,
        overall=score_outcomes(outcomes),
        targets={n: score_outcomes([one for one in outcomes if one.target == n]) for n in names},
        tools={n: score_outcomes([one for one in outcomes if n in one.tools]) for n in names},
        kinds={k: score_outcomes([one for one in outcomes if one.kind == k]) for k in kinds},
    )


KINDS: tuple[TurnKind, ...] = ("plain", *get_args(HardTurnKind))


def write_profile(profile: StudentProfile, path: str | Path) -> None:
    """Write a profile to a file, whole or not at all.

    Raises:
        ExportError: the file cannot be written.
    """
    write_text(Path(path), profile.model_dump_json(indent=2) + "\n")


def read_profile(path: str | Path) -> StudentProfile:
    """Read what `write_profile` wrote.

    Raises:
        ConfigurationError: there is no such file, or it is no profile.
    """
    try:
        return StudentProfile.model_validate_json(Path(path).read_bytes())
    except OSError as exc:
        msg = f"cannot read the profile {str(path)!r}: {exc.strerror or exc}"
        raise ConfigurationError(msg) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"{str(path)!r} is no profile that `funreason probe` wrote: {where} {first['msg']}"
        raise ConfigurationError(msg) from exc
