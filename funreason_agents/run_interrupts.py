"""Ctrl-C during a run."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class Interrupts:
    """Counts Ctrl-C instead of raising, so that it never tears what is just being written.

    Does nothing outside the main thread, or where somebody else handles Ctrl-C.
    """

    def __init__(self) -> None:
        self.count = 0
        """How often Ctrl-C was pressed."""
        self._installed = False

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1
