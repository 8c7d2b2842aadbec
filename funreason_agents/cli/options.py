"""The arguments and options of the commands, with their help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from funreason_agents.errors import ConfigurationError

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment

EnvironmentArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="path/to/file.py:Name or package.module:Name. Name is a class, a list of LangChain "
        "tools, a factory (seed) -> ToolSession, or an Environment.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]
TimeoutOption = Annotated[
    float, typer.Option(help="Seconds one tool call may take before its worker is ended.", min=0.1)
]
ModelOption = Annotated[
    str,
    typer.Option(
        help="offline (rule-based: no key, no GPU), openai:NAME (OpenAI, or your own server with "
        "--base-url), or provider:NAME (anything LangChain knows)."
    ),
]
SideEffectsOption = Annotated[
    bool,
    typer.Option(
        "--allow-side-effects",
        help="Accept an environment whose state cannot be dumped or reset. Tools are executed "
        "for real, many times.",
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(help="Directory for checkpoints, records, provenance, ledger and manifest."),
]
NumberOption = Annotated[
    int, typer.Option("--num-trajectories", "-n", help="Planned trajectories.", min=1)
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        help="Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1 (vLLM)."
    ),
]
ConcurrencyOption = Annotated[int, typer.Option(help="Trajectories made at once.", min=1, max=512)]
RoundsOption = Annotated[
    int, typer.Option(help="Attempts per turn, corrected by the critic.", min=1, max=10)
]
MatchOption = Annotated[str, typer.Option(help="exact (call by call) or outcome (BFCL's rule).")]
ReadOnlyOption = Annotated[
    bool, typer.Option("--read-only", help="Walk only over tools that change nothing.")
]

HardTurnsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=SHARE",
        help="Share of the turns that are of a hard kind, such as irrelevance=0.1; may be given "
        "for several: missing_function, missing_parameter, long_context, parallel_calls, "
        "irrelevance, error_recovery; or all=0.5, spread evenly.",
    ),
]
CurriculumOption = Annotated[
    Path | None,
    typer.Option(
        "--curriculum",
        metavar="FILE",
        help="Profile that `funreason probe` wrote: head for the tools that the student fails at, "
        "and make hard turns by its shares, unless --hard-turns gives those.",
    ),
]
ProfileOption = Annotated[
    Path,
    typer.Option(
        "--out", metavar="FILE", help="File for the profile, for synthesize --curriculum."
    ),
]
ProbeRecordsOption = Annotated[
    Path | None,
    typer.Option(
        "--records",
        metavar="DIR",
        help="Take the tasks from the turns of these records (directory of a run, or a file of "
        "records); else fresh ones are made offline.",
    ),
]
AttemptsOption = Annotated[
    int, typer.Option("--attempts", "-k", help="Attempts per task.", min=1, max=32)
]
NumberOfTasksOption = Annotated[
    int | None,
    typer.Option(help="Tasks; default: all turns of --records, or 100 fresh ones.", min=1),
]
InstructionsOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="System message that the student is used with; by default there is none, as in the "
        "training rows.",
    ),
]
RoleModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=MODEL",
        help="Another model for one role: tooling, querying, reasoning, critiquing or judging.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KNOB=VALUE",
        help="Any other knob of SynthesisContext (the README lists them), such as "
        "samples_per_round=4; VALUE is JSON or text.",
    ),
]

_RUN = "Limits of the run"
_TRAJECTORY = "Limits of each trajectory"
MaxTokens = Annotated[
    int | None, typer.Option(help="Tokens of all calls, sent and received.", rich_help_panel=_RUN)
]
MaxUsd = Annotated[
    float | None, typer.Option(help="US dollars; needs --prices.", rich_help_panel=_RUN)
]
MaxCalls = Annotated[int | None, typer.Option(help="Model calls.", rich_help_panel=_RUN)]
Deadline = Annotated[float | None, typer.Option(help="Seconds from now.", rich_help_panel=_RUN)]
TrajectoryMaxTokens = Annotated[
    int | None, typer.Option(help="As --max-tokens.", rich_help_panel=_TRAJECTORY)
]
TrajectoryMaxUsd = Annotated[
    float | None, typer.Option(help="As --max-usd.", rich_help_panel=_TRAJECTORY)
]
TrajectoryMaxCalls = Annotated[
    int | None, typer.Option(help="As --max-calls.", rich_help_panel=_TRAJECTORY)
]
TrajectoryDeadline = Annotated[
    float | None, typer.Option(help="Seconds from its first call.", rich_help_panel=_TRAJECTORY)
]
PricesOption = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        help="TOML: a table for each pattern of model ids, with input and output in US dollars "
        "per million tokens.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Estimate calls, tokens, money and time; send nothing.")
]


def parse_pairs(option: str, pairs: list[str] | None) -> dict[str, str]:
    """Return `NAME=VALUE` options as a mapping.

    Raises:
        ConfigurationError: a pair has no `=`, or a name is given twice.
    """
    parsed: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            msg = f"{option} wants NAME=VALUE, not {pair!r}"
            raise ConfigurationError(msg)
        if name in parsed:
            msg = f"{option} {name!r} is given twice"
            raise ConfigurationError(msg)
        parsed[name] = value
    return parsed


def parse_hard_turns(pairs: list[str] | None) -> dict[str, float]:
    """Return the share of each hard kind; `all=SHARE` is spread over the kinds.

    Raises:
        ConfigurationError: a pair is malformed, or a share is no number.
    """
    from funreason_agents.schemas.tasks import HardTurnKind  # noqa: PLC0415  # slow to import

    shares: dict[str, float] = {}
    for kind, text in parse_pairs("--hard-turns", pairs).items():
        try:
            share = float(text)
        except ValueError as exc:
            msg = f"--hard-turns {kind}: {text!r} is no share, such as 0.1"
            raise ConfigurationError(msg) from exc
        kinds = get_args(HardTurnKind) if kind == "all" else (kind,)
        shares |= {each: share / len(kinds) for each in kinds}
    return shares


def read_curriculum(
    path: Path | None, environment: Environment, hard_turns: dict[str, float]
) -> dict[str, Any]:
    """Return the knobs of `SynthesisContext` that a profile, if there is one, and the user give.

    Args:
        path: File of the profile; None leaves targets dealt out evenly.
        environment: Where the trajectories are to take place.
        hard_turns: Shares that the user gave; these go before the profile's.

    Raises:
        ConfigurationError: the file is no profile, or one of another environment.
    """
    if path is None:
        return {"hard_turns": hard_turns}
    from funreason_agents.curriculum import read_profile  # noqa: PLC0415  # slow to import

    return read_profile(path).to_knobs(environment, hard_turns)


def parse_knobs(pairs: list[str] | None) -> dict[str, Any]:
    """Return knobs given as `KNOB=VALUE`; a value that is no JSON is a text.

    Raises:
        ConfigurationError: a pair is malformed.
    """
    knobs: dict[str, Any] = {}
    for name, text in parse_pairs("--set", pairs).items():
        try:
            knobs[name] = json.loads(text)
        except json.JSONDecodeError:
            knobs[name] = text
    return knobs
