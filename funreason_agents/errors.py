"""The error model.

Three outcomes are never mixed. A tool that says no is a `ToolResult` with `is_error`. A wrong
attempt is a `Verdict`. Only a broken world, provider, verifier or caller raises, and always a
`FunReasonError`, so that one `except` clause at the edge of a run is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
    """A model call failed. The only kind of error that is worth retrying."""


class ModelOutputError(ModelError):
    """A model answered, but not in the asked form, even after repairs."""


class VerificationError(FunReasonError):
    """A check could not be run. Never counted as a pass, never as a fail."""


class ExportError(FunReasonError):
    """Checkpoints or records are missing, unreadable, or of another schema version."""


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
