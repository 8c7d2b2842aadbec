"""The error model.

Three outcomes are never mixed. A tool that says no is a `ToolResult` with `is_error`. A wrong
attempt is a `Verdict`. Only a broken world, provider, verifier or caller raises, and always a
`FunReasonError`, so that one `except` clause at the edge of a run is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

OutputFault = Literal[
    "empty",
    "truncated",
    "content_filter",
    "refused",
    "malformed",
    "wrong_schema",
    "too_long",
    "too_many_calls",
    "context_too_long",
]
"""What is wrong with an answer: `malformed` is no JSON, `context_too_long` an answer refused."""


class FunReasonError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(FunReasonError, ValueError):
    """The caller passed something unusable; the message says what to pass instead."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is missing; the message holds the exact install command."""


class EnvError(FunReasonError):
    """The environment failed: it could not be opened, called, dumped or restored."""


class ToolTimeoutError(EnvError):
    """A tool did not answer in time; its worker process has been ended."""


class ReplayMismatchError(EnvError):
    """Replaying the same calls gave another result or another state hash."""


class ModelError(FunReasonError):
    """A model call failed."""


class TransientModelError(ModelError):
    """The provider could not answer now, however often it was asked; later it may."""

    def __init__(
        self, message: str, retry_after: float | None = None, *, overloaded: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the provider asked to be left alone for."""
        self.overloaded = overloaded
        """It had too much to do, so that it should be sent less at once."""


class PermanentModelError(ModelError):
    """The provider refused a request in a way that asking again will not change."""

    def __init__(self, message: str, status: int | None = None, *, stops_run: bool = False) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the refusal."""
        self.stops_run = stops_run
        """It would refuse every request: the key, the model's name or the account is at fault."""


class ModelOutputError(ModelError):
    """A model answered, but not with what was asked for. An outcome of a turn, not a breakdown."""

    def __init__(self, message: str, kind: OutputFault = "malformed") -> None:
        super().__init__(message)
        self.kind: OutputFault = kind


class BudgetExceededError(FunReasonError):
    """A limit was reached, so a model call was not made."""

    def __init__(self, message: str, limit: str, scope: Literal["run", "trajectory"]) -> None:
        super().__init__(message)
        self.limit = limit
        """Which field of `Limits`."""
        self.scope: Literal["run", "trajectory"] = scope


class StoppedError(FunReasonError):
    """The run is stopping, so a model call that was waiting its turn was given up."""


class VerificationError(FunReasonError):
    """A check could not be run. Never counted as a pass, never as a fail."""


class ExportError(FunReasonError):
    """Checkpoints or records are missing, unreadable, or of another schema version."""


class TrainingError(FunReasonError):
    """Training cannot start, or had to stop: the data, the chat template or the machine is unfit.

    Checkpoints that were written before are kept.
    """


@contextmanager
def boundary(error: type[FunReasonError], action: str) -> Iterator[None]:
    """Turn whatever escapes the block into `error`, naming the `action` that failed.

    Typed errors pass through unchanged, so the innermost boundary names the failure.

    Raises:
        FunReasonError: `error`, with the original exception as its cause.
    """
    try:
        yield
    except FunReasonError:
        raise
    except Exception as exc:
        msg = f"could not {action}: {type(exc).__name__}: {exc}"
        raise error(msg) from exc
