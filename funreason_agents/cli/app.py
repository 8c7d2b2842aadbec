"""The `funreason` command: its subcommands, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated

import typer

from funreason_agents.cli import commands_making, commands_records, commands_training

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM."""

app = typer.Typer(
    name="funreason",
    help="From your tools to verified multi-turn tool-use training data.\n\n"
    "Start here:  funreason synthesize tools/bookstore.py:Bookstore --out data/bookstore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
train = typer.Typer(
    name="train", help="Fine-tune a model on records or rows.", no_args_is_help=True
)
for command in (
    commands_making.explore,
    commands_making.doctor,
    commands_making.synthesize,
    commands_making.review,
    commands_records.show,
    commands_records.verify,
    commands_records.export,
    commands_training.refine,
    commands_training.serve,
    commands_training.probe,
):
    app.command()(command)
train.command("sft")(commands_training.train_sft)
train.command("rl")(commands_training.train_rl)
app.add_typer(train)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from funreason_agents import __version__  # noqa: PLC0415

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a typed error becomes one line and an exit code, no traceback."""
    from funreason_agents.errors import (  # noqa: PLC0415
        ConfigurationError,
        ExportError,
        FunReasonError,
    )

    try:
        app(prog_name="funreason")
    except (ConfigurationError, ExportError) as exc:
        _fail(str(exc), 2)
    except FunReasonError as exc:
        _fail(f"{type(exc).__name__}: {exc}", 1)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except SystemExit as exc:
        if exc.code == INTERRUPTED:
            _leave_threads_behind()
        raise


def _leave_threads_behind() -> None:
    """After a second Ctrl-C: Python would wait for every model call that is still going on."""
    if any(
        not thread.daemon
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    ):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(status)
