"""The console that all commands print to."""

from __future__ import annotations

from rich.console import Console

console = Console(highlight=False)
if not console.is_terminal:
    # In a pipe or a log, lines are for other programs to wrap, and a table should not be cut.
    console.soft_wrap = True
    console.width = max(console.width, 120)
