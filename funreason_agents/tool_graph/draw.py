"""Drawings of the tool graph: Mermaid for documents, lines for the terminal."""

from __future__ import annotations

from funreason_agents.schemas.tools import ToolEdge, ToolGraph


def to_mermaid(graph: ToolGraph) -> str:
    """Return the graph as a Mermaid flow chart.

    Solid arrows must be met, dotted ones only spare the user a value; arrows that carry a value
    name the parameter; tools with thick borders change the state.
    """
    ids = {name: f"t{number}" for number, name in enumerate(graph.tools)}
    lines = ["flowchart LR"]
    for name, key in ids.items():
        style = "[[{}]]" if name in graph.writes else "[{}]"
        lines.append(f"    {key}" + style.format(f'"{name}"'))
    for edge in graph.edges:
        arrow = "-->" if edge.necessary else "-.->"
        label = f"|{edge.parameter}|" if edge.parameter else ""
        lines.append(f"    {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    for name in graph.unreachable:
        lines.append(f"    style {ids[name]} stroke-dasharray: 5 5")
    return "\n".join(lines) + "\n"


def describe_edge(edge: ToolEdge) -> str:
    """Return one line about an edge, with its evidence."""
    evidence = "+".join(edge.evidence)
    if edge.kind == "requires":
        when = "first" if edge.necessary else "at times"
        return f"needs {edge.source} {when} [{evidence}]"
    must = "must take" if edge.necessary else "can take"
    return f"{must} {edge.parameter} from {edge.source}.{edge.output_field} [{evidence}]"
