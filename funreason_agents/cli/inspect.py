"""`funreason explore` and `funreason doctor`: look at an environment before spending anything."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.doctor import check_environment
from funreason_agents.environments.base import Environment
from funreason_agents.export.writer import write_text
from funreason_agents.schemas.tools import ToolGraph
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.draw import describe_edge, to_mermaid
from funreason_agents.tool_graph.walk_report import WalkReport, compare_walks


def explore_environment(
    environment: Environment, *, walks: int, seed: int, draw: Path | None
) -> None:
    """Print the tool graph; compare walks and write a drawing if asked to.

    Raises:
        EnvError: the environment cannot be opened.
        ExportError: the drawing cannot be written.
    """
    with console.status(f"Probing the tools of {environment.id} ..."):
        graph = tool_graph_of(environment)
    _print_graph(graph)
    if draw is not None:
        as_json = draw.suffix == ".json"
        write_text(draw, graph.model_dump_json(indent=2) + "\n" if as_json else to_mermaid(graph))
        console.print(f"\nTool graph written to {draw}")
    if walks:
        with console.status(f"Walking {walks} times ..."):
            report = compare_walks(environment, graph, walks=walks, seed=seed)
        _print_walks(report)


def _print_graph(graph: ToolGraph) -> None:
    console.print(f"[bold]{graph.environment_id}[/]: {len(graph.tools)} tools")
    for tool in graph.tools:
        kind = "write" if tool in graph.writes else "read"
        console.print(f"\n[bold]{tool}[/] [dim]({kind})[/]")
        if tool in graph.unreachable:
            console.print(f"  [red]unreachable[/]: {escape(graph.unreachable[tool])}")
        for edge in graph.edges:
            if edge.target == tool:
                console.print(f"  {escape(describe_edge(edge))}")


def _print_walks(report: WalkReport) -> None:
    table = Table("", "reached target", "calls without error", title="Walks", title_justify="left")
    for name, counts in (("directed", report.directed), ("uniform random", report.uniform)):
        table.add_row(
            name,
            f"{counts.reached} / {counts.started} ({counts.reach_rate:.0%})",
            f"{counts.succeeded} / {counts.executed} ({counts.success_rate:.0%})",
        )
    console.print(table)


def examine_environment(environment: Environment, examined: Environment | str) -> bool:
    """Print the tool graph and the outcome of every check; return whether all passed.

    Args:
        environment: What the tool graph is made of.
        examined: The same, or its name, under which more can be checked.

    Raises:
        EnvError: the environment cannot be opened.
    """
    with console.status(f"Examining {environment.id} ..."):
        report = check_environment(examined)
        graph = tool_graph_of(environment)
    _print_graph(graph)
    console.print(f"\n{escape(str(report))}")
    return bool(report.passed)
