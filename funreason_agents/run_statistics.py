"""What a run counts: outcomes, reasons, rounds, coverage. Yield is a first-class number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from funreason_agents.schemas.trajectory import Failure, Trajectory

MAX_FAILURES = 100
"""Failures that the manifest lists one by one; all of them are counted."""


@dataclass
class RunStatistics:
    """Counts over the trajectories that have ended so far."""

    planned: int
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    waiting: int = 0
    """Trajectories that wait for a person's review: neither accepted, rejected nor failed."""
    duplicates: int = 0
    """Accepted trajectories left out of the records, because an earlier one has the same calls."""
    near_duplicates: int = 0
    """Accepted trajectories left out, because an earlier one has nearly the same queries."""
    turns_accepted: int = 0
    turns_rejected: int = 0
    """Drawn targets that did not become a turn."""
    rejections: Counter[str] = field(default_factory=Counter)
    """Rejected turns by `stage: reason`."""
    rounds: Counter[int] = field(default_factory=Counter)
    """Accepted turns by the round of the attempt: above 1, the critic corrected it."""
    rounds_reached: Counter[int] = field(default_factory=Counter)
    """Turns, accepted or not, that the reasoner tried in a round."""
    samples_accepted: Counter[int] = field(default_factory=Counter)
    """Samples that were accepted, by round."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Accepted turns by kind; one that takes two messages of the user counts once."""
    targets: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    """Tool calls in accepted turns."""
    failures: list[Failure] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Trajectory | Failure) -> None:
        """Count one ended trajectory."""
        if isinstance(outcome, Failure):
            self.failed += 1
            self.errors[outcome.error] += 1
            if len(self.failures) < MAX_FAILURES:
                self.failures.append(outcome)
            return
        if outcome.status == "accepted":
            self.accepted += 1
        else:
            self.rejected += 1
        kinds = {turn.index: turn.kind for turn in outcome.turns}
        self.kinds.update(kinds.values())
        self.turns_accepted += len(kinds)
        self.turns_rejected += len(outcome.rejected_turns)
        for turn in outcome.turns:
            self.rounds[turn.attempt.round] += 1
            self._add_samples(turn.samples)
            self.calls += len(turn.attempt.executed)
            if turn.trace.calls:
                self.targets[turn.trace.target] += 1
        for rejected in outcome.rejected_turns:
            self._add_samples(rejected.samples)
            self.rejections[f"{rejected.stage}: {rejected.reason}"] += 1

    def _add_samples(self, samples: tuple[int, ...]) -> None:
        for round_, accepted in enumerate(samples, start=1):
            self.rounds_reached[round_] += 1
            self.samples_accepted[round_] += accepted

    @property
    def records(self) -> int:
        """Records that are left of the accepted trajectories."""
        return self.accepted - self.duplicates - self.near_duplicates

    @property
    def ended(self) -> int:
        """Trajectories that have ended."""
        return self.accepted + self.rejected + self.failed

    @property
    def trajectory_yield(self) -> float:
        """Accepted trajectories per ended one."""
        return self.accepted / self.ended if self.ended else 0.0

    @property
    def turn_yield(self) -> float:
        """Accepted turns per drawn target."""
        drawn = self.turns_accepted + self.turns_rejected
        return self.turns_accepted / drawn if drawn else 0.0

    def hopeless(self, limit: int) -> str | None:
        """Return why to give up: so far, `limit` or more have ended, and all failed alike."""
        if self.failed < limit or self.failed < self.ended or len(self.errors) > 1:
            return None
        first = self.failures[0]
        return f"{self.failed} of {self.failed} trajectories failed: {first.error}: {first.message}"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as they stand in the manifest."""
        return {
            "counts": {
                "planned": self.planned,
                "accepted": self.accepted,
                "rejected": self.rejected,
                "failed": self.failed,
                "waiting": self.waiting,
                "duplicates": self.duplicates,
                "near_duplicates": self.near_duplicates,
                "turns_accepted": self.turns_accepted,
                "turns_rejected": self.turns_rejected,
                "calls": self.calls,
            },
            "yield": {
                "trajectory": round(self.trajectory_yield, 4),
                "turn": round(self.turn_yield, 4),
            },
            "rejections": dict(sorted(self.rejections.items())),
            "rounds": _by_round(self.rounds),
            "rounds_reached": _by_round(self.rounds_reached),
            "samples_accepted": _by_round(self.samples_accepted),
            "kinds": dict(sorted(self.kinds.items())),
            "targets": dict(sorted(self.targets.items())),
            "errors": dict(sorted(self.errors.items())),
            "failures": [failure.to_json() for failure in self.failures],
        }


def _by_round(counts: Counter[int]) -> dict[str, int]:
    return {str(number): counts[number] for number in sorted(counts)}
