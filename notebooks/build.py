"""Execute each notebook source and write it as .ipynb; outputs that differ by nature are left out."""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbclient

HERE = Path(__file__).parent


def build(source: Path) -> Path:
    """Execute one percent-format source; a failing cell raises."""
    notebook = jupytext.read(source)
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": str(HERE)}},
        coalesce_streams=True,  # what comes in one piece or in several depends on the clock
    ).execute()
    for number, cell in enumerate(notebook.cells):
        cell.pop("id", None)
        cell["id"] = f"cell-{number}"
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    target = source.with_suffix(".ipynb")
    jupytext.write(notebook, target)
    return target


if __name__ == "__main__":
    sources = sorted(set(HERE.glob("*.py")) - {Path(__file__).resolve(), Path(__file__)})
    for each in sources:
        sys.stdout.write(f"{build(each)}\n")
