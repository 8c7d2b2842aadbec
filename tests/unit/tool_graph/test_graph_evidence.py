"""What probing finds out about a world."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tool_worlds import Board, Depot

from funreason_agents import Environment, load_environment
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.tool_graph.build import build_tool_graph, refers, tool_graph_of
from funreason_agents.tool_graph.draw import describe_edge, to_mermaid
from funreason_agents.tool_graph.probe import probe


def edges(graph, target, kind=None):
    return {e.source: e for e in graph.edges if e.target == target and kind in (None, e.kind)}


def test_a_value_that_only_an_output_can_supply_makes_a_necessary_edge(tickets):
    found = [e for e in tickets.graph.edges if e.target == "buy_ticket"]
    assert {(e.source, e.output_field, e.parameter) for e in found} == {
        ("get_zipcode", "zipcode", "from_zipcode"),
        ("get_zipcode", "zipcode", "to_zipcode"),
    }
    assert all(e.necessary and e.evidence == ("probed",) for e in found)


def test_interchangeable_providers_share_a_group(depot):
    groups = depot.graph.groups("send_parcel")
    assert {g: {e.source for e in found} for g, found in groups.items()} == {
        "provides parcel_code": {"find_by_owner", "find_by_shelf"}
    }


def test_a_state_precondition_is_found_by_leaving_calls_out(board):
    assert edges(board.graph, "post_note")["log_in"].necessary
    assert edges(board.graph, "log_out")["log_in"].kind == "requires"


def test_a_precondition_that_holds_at_the_start_is_found_by_undoing_it(open_board):
    edge = edges(open_board.graph, "post_note")["log_in"]
    assert (edge.kind, edge.necessary, edge.evidence) == ("requires", False, ("probed",))


def test_a_tool_that_nothing_reaches_is_named_with_its_reason(depot):
    assert depot.graph.unreachable == {"open_vault": "the vault is sealed"}
    assert "open_vault" not in depot.graph.reachable


def test_only_tools_seen_to_change_the_state_write(board, depot):
    assert set(board.graph.writes) == {"log_in", "log_out", "post_note"}
    assert set(depot.graph.writes) == {"send_parcel"}


def test_a_declared_precondition_needs_no_probe(depot):
    environment = Environment.from_class(Depot)
    environment.tools = tuple(
        tool.model_copy(update={"requires": ("weigh_parcel", "unknown")})
        if tool.name == "find_by_owner"
        else tool
        for tool in environment.tools
    )
    graph = build_tool_graph(environment, probe(environment))
    assert edges(graph, "find_by_owner")["weigh_parcel"].evidence == ("declared",)
    assert "unknown" not in edges(graph, "find_by_owner")


class Library:
    """A city can be said, or looked up; a remark is anybody's own."""

    def reset(self, seed):
        self.remarks = []

    def dump_state(self):
        return {
            "people": [{"person": "Ada"}],
            "cities": [{"city": "Oslo"}],
            "remarks": self.remarks,
        }

    def load_state(self, state):
        self.remarks = state["remarks"]

    def find_home(self, person: str) -> dict[str, str]:
        """Find where a person lives."""
        if person != "Ada":
            raise ValueError("unknown person")
        return {"city": "Oslo", "remark": "blue door", "amount": "3"}

    def move_home(self, person: str) -> dict[str, str]:
        """Let a person move."""
        self.remarks.append(person)
        return {"city": "Oslo"}

    def count_branches(self, city: str) -> dict[str, int]:
        """Count the branches in a city."""
        if city != "Oslo":
            raise ValueError("unknown city")
        return {"branches": 2}

    def leave_remark(self, remark: str) -> dict[str, int]:
        """Leave a remark."""
        self.remarks.append(remark)
        return {"count": len(self.remarks)}


@pytest.fixture(scope="module")
def library():
    return tool_graph_of(Environment.from_class(Library))


def test_a_value_that_a_user_may_also_state_makes_an_optional_edge(library):
    edge = edges(library, "count_branches")["find_home"]
    assert not edge.necessary
    assert edge.parameter == "city"


def test_no_look_up_of_a_value_that_the_tool_takes_as_it_comes(library):
    assert edges(library, "leave_remark") == {}


def test_no_look_up_by_a_tool_that_changes_the_state(library):
    assert "move_home" not in edges(library, "count_branches")


class Echoes:
    """A tool that repeats its argument gives nothing."""

    def check_code(self, code: str) -> dict[str, str]:
        """Check a code."""
        return {"code": code}

    def use_code(self, code: str) -> dict[str, bool]:
        """Use a code."""
        if code != "C-77":
            raise ValueError("unknown code")
        return {"used": True}

    def list_codes(self) -> dict[str, str]:
        """List the code there is."""
        return {"code": "C-77"}


def test_what_a_tool_only_repeats_it_does_not_provide():
    graph = tool_graph_of(Environment.from_class(Echoes))
    assert set(edges(graph, "use_code", "provides")) == {"list_codes"}


WORLD = Path(__file__)


def test_a_tool_that_hangs_is_left_out():
    environment = load_environment(f"{WORLD.with_name('tool_worlds_slow.py')}:Slow", timeout=0.7)
    graph = tool_graph_of(environment)
    assert set(graph.unreachable) == {"hang_forever"}
    assert "buy_ticket" in graph.reachable


def test_probing_the_same_world_twice_gives_the_same_graph():
    graphs = [tool_graph_of(Environment.from_class(Board)) for _ in range(2)]
    assert graphs[0] == graphs[1]


def test_probing_in_another_process_gives_the_same_graph(depot):
    code = (
        "from tool_worlds import Depot; from funreason_agents import Environment;"
        "from funreason_agents.tool_graph.build import tool_graph_of;"
        "print(tool_graph_of(Environment.from_class(Depot)).model_dump_json())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(WORLD.parent)}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == depot.graph.model_dump_json()


@pytest.mark.parametrize(
    ("name", "schema", "expected"),
    [
        ("city", {"type": "string"}, True),
        ("order_id", {"type": "integer"}, True),
        ("amount", {"type": "integer"}, False),
        ("price", {"type": "number"}, False),
        ("unit", {"type": "string", "enum": ["kg"]}, False),
        ("titles", {"type": "array", "items": {"type": "string"}}, True),
    ],
)
def test_only_what_names_a_thing_is_worth_a_look_up(name, schema, expected):
    assert refers(name, schema) is expected


def test_the_drawing_names_parameters_and_unreachable_tools(depot):
    drawn = to_mermaid(depot.graph)
    assert drawn.startswith("flowchart LR")
    assert "-->|parcel_code|" in drawn
    assert "stroke-dasharray" in drawn


def test_an_edge_is_described_with_its_evidence(board, depot):
    assert describe_edge(edges(board.graph, "post_note")["log_in"]) == "needs log_in first [probed]"
    assert describe_edge(edges(depot.graph, "send_parcel")["find_by_owner"]) == (
        "must take parcel_code from find_by_owner.parcel_code [probed]"
    )


def test_specs_tell_required_parameters_from_optional_ones():
    spec = next(t for t in Environment.from_class(Depot).tools if t.name == "send_parcel")
    assert isinstance(spec, ToolSpec)
    assert spec.required == ("parcel_code",)
