"""The stateful API classes of BFCL, the Berkeley Function Calling Leaderboard, as environments.

The official package lives in a virtual environment of its own, made once with
``python tools/bfcl.py setup``; its classes run there, in worker processes that load ``World`` from
``bfcl_world.py`` beside this file. Load one class, several, or all of them:

    funreason explore tools/bfcl.py:TradingBot
    funreason explore tools/bfcl.py:TwitterAPI+GorillaFileSystem
    funreason explore tools/bfcl.py:all_classes

A seed selects an initial state from BFCL's own multi-turn test items.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment

CLASS_NAMES = (
    "GorillaFileSystem",
    "MathAPI",
    "MessageAPI",
    "TwitterAPI",
    "TicketAPI",
    "TradingBot",
    "TravelAPI",
    "VehicleControlAPI",
)
REQUIREMENTS = ("bfcl-eval==2026.3.23", "mpmath==1.3.0")

_VENV_VARIABLE = "FUNREASON_BFCL_VENV"
_MARKER = "funreason-bfcl.txt"
_WORLD_PATH = Path(__file__).resolve().with_name("bfcl_world.py")


# --- In the main process: environments whose tools run in the isolated interpreter.


def bfcl_environment(*class_names: str) -> Environment:
    """Make an environment of one or several BFCL classes that share a conversation.

    Raises:
        ConfigurationError: a class is unknown or named twice, or BFCL is not set up yet.
    """
    from funreason_agents.environments.base import Environment  # noqa: PLC0415
    from funreason_agents.environments.serve import SERVE_PATH  # noqa: PLC0415
    from funreason_agents.errors import ConfigurationError  # noqa: PLC0415

    if not class_names or len(set(class_names).intersection(CLASS_NAMES)) < len(class_names):
        wrong = "+".join(class_names)
        msg = f"BFCL has no {wrong!r}; join any of these once each by '+': {', '.join(CLASS_NAMES)}"
        raise ConfigurationError(msg)
    if not _is_set_up():
        msg = f"BFCL is not set up in {_venv()}; run `python tools/bfcl.py setup` once"
        raise ConfigurationError(msg)
    world = f"{_WORLD_PATH}:World"
    name = "all_classes" if class_names == CLASS_NAMES else "+".join(class_names)
    command = [str(_venv_python()), str(SERVE_PATH), world, *class_names]
    return Environment.from_worker(command=command, id=f"bfcl:{name}")


def __getattr__(name: str) -> Callable[[], Environment]:
    """Return the factory that a class, `A+B` or `all_classes` names; wrong names fail in it."""
    if name.startswith("_"):
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def make_environment() -> Environment:
        return bfcl_environment(*(CLASS_NAMES if name == "all_classes" else name.split("+")))

    return make_environment


# --- The command line.


def _venv() -> Path:
    default = Path(__file__).resolve().parent.parent / ".venv-bfcl"
    return Path(os.environ.get(_VENV_VARIABLE) or default).absolute()


def _venv_python() -> Path:
    return _venv() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _is_set_up() -> bool:
    marker = _venv() / _MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == "\n".join(REQUIREMENTS)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()[-2000:]
        sys.exit(f"This failed: {' '.join(map(str, command))}\n{reason}")
    return done.stdout


def _setup() -> str:
    if _is_set_up():
        return f"BFCL is already set up in {_venv()}\n"
    _run(sys.executable, "-m", "venv", _venv())
    # Of its many dependencies, all for running models, these classes need none but mpmath.
    _run(_venv_python(), "-m", "pip", "install", "--quiet", "--no-deps", *REQUIREMENTS)
    listing = _list()
    (_venv() / _MARKER).write_text("\n".join(REQUIREMENTS), encoding="utf-8")
    return f"{listing}BFCL is set up in {_venv()}\n"


def _require_setup() -> None:
    if not _is_set_up():
        sys.exit(f"BFCL is not set up in {_venv()}; run `python tools/bfcl.py setup` once")


def _list() -> str:
    counts = _run(_venv_python(), _WORLD_PATH, *CLASS_NAMES)
    return f"{counts}One tool for each function document of {REQUIREMENTS[0]}.\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"The virtual environment is .venv-bfcl in the repository, or ${_VENV_VARIABLE}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{setup,list,data}")
    commands.add_parser("setup", help=f"install {' and '.join(REQUIREMENTS)} and check them")
    commands.add_parser("list", help="list the classes and how many tools each has")
    commands.add_parser("data", help="print the folder of BFCL's questions and answers")
    command = parser.parse_args().command
    if command == "setup":
        sys.stdout.write(_setup())
        return
    _require_setup()
    sys.stdout.write(_list() if command == "list" else _run(_venv_python(), _WORLD_PATH, "data"))


if __name__ == "__main__":
    main()
