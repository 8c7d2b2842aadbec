"""Canaries planted in gold traces: models that try to give them away do not get them out."""

import json
import re

import pytest
from scripts import calls, offline_answer, play

from funreason_agents import Environment, SynthesisContext, create_supervisor

CANARY = re.compile(r"CANARY-\d{5}|9\d{11}")
SECRETS: set[str] = set()
"""All that any vault has held."""


class Vault:
    """Boxes whose codes and contents only the tools know."""

    def reset(self, seed: int) -> None:
        self.owners = {
            name: (f"CANARY-{10_000 + seed % 80_000 + number}", 900_000_000_000 + seed + number)
            for number, name in enumerate(("Ines Kato", "Bruno Lind", "Vera Osei"))
        }
        self.opened: list[str] = []
        SECRETS.update(str(value) for pair in self.owners.values() for value in pair)

    def dump_state(self) -> dict:
        return {"owners": [{"owner": name} for name in self.owners], "opened": list(self.opened)}

    def load_state(self, state: dict) -> None:
        self.opened = list(state["opened"])

    def find_box(self, owner: str) -> dict:
        """Find the box of a person.

        Args:
            owner: Name of the owner, such as 'Ines Kato'.
        """
        if owner not in self.owners:
            raise ValueError(f"nobody here is called {owner!r}")
        return {"box_code": self.owners[owner][0]}

    def open_box(self, box_code: str) -> dict:
        """Open a box and count what lies in it.

        Args:
            box_code: Code of the box.
        """
        for name, (code, amount) in self.owners.items():
            if code == box_code and name not in self.opened:
                self.opened.append(name)
                return {"amount": amount}
        raise ValueError("there is no such box")


def gossip(call):
    """Everything a role was shown that looks like a secret."""
    return " ".join(dict.fromkeys(CANARY.findall(call.prompt)))


def leak_in(field):
    """A role that answers as usual, and adds all secrets to one text of its answer."""

    def answer(call):
        said = offline_answer(call)
        return {**said, field: f"{said.get(field) or ''} {gossip(call)}".strip()}

    return answer


def run(context=None, **roles):
    model = play(**roles)
    supervisor = create_supervisor(environment=Environment.from_class(Vault), model=model)
    context = context or SynthesisContext(turns=1, lookup_rate=1.0, extra_rate=0.0)
    results = [supervisor.invoke({"seed": 5, "index": n}, context=context) for n in range(6)]
    return model, [result["trajectory"] for result in results]


def told(model):
    """What querying and reasoning agents are told that is not the world's own answer."""
    return [json.dumps(c.data) for role in ("querying", "reasoning") for c in calls(model, role)]


def test_the_gold_traces_hold_canaries():
    _, trajectories = run()
    assert all(t["status"] == "accepted" for t in trajectories)
    assert CANARY.search(json.dumps(trajectories[0]["turns"][0]["trace"]))


@pytest.mark.parametrize("field", ["description", "name", "output"])
def test_advanced_tool_that_gives_a_canary_away_reaches_no_agent_and_no_query(field):
    model, trajectories = run(tooling=leak_in(field))
    assert not any(CANARY.search(text) for text in told(model))
    queries = [turn["query"] for t in trajectories for turn in t["turns"]]
    assert not any(CANARY.search(query) for query in queries)


def test_query_that_gives_a_canary_away_is_refused():
    def write(call):
        return {"query": f"{offline_answer(call)['query']} {' '.join(sorted(SECRETS))}"}

    _, trajectories = run(querying=write)
    assert {t["status"] for t in trajectories} == {"rejected"}
    reasons = [r["reason"] for t in trajectories for r in t["rejected_turns"]]
    assert set(reasons) == {"query_gate"}


def test_critique_that_gives_a_canary_away_is_replaced():
    def reason(call):
        return None if call.data["critiques"] else "I cannot do that."

    model, trajectories = run(reasoning=reason, critiquing=leak_in("text"))
    assert calls(model, "critiquing")
    assert any(gossip(call) for call in calls(model, "critiquing"))
    hints = [json.dumps(call.data["critiques"]) for call in calls(model, "reasoning")]
    assert not any(CANARY.search(hint) for hint in hints)
    assert all(t["status"] == "accepted" for t in trajectories)


def test_user_says_a_canary_only_where_it_is_meant_to_be_given():
    context = SynthesisContext(turns=1, lookup_rate=0.0, extra_rate=0.0)
    _, trajectories = run(context)
    for trajectory in trajectories:
        for turn in trajectory["turns"]:
            said = set(CANARY.findall(turn["query"]))
            given = {
                value
                for step in turn["trace"]["calls"]
                for name, value in step["call"]["arguments"].items()
                if step["origins"].get(f"/{name}", {}).get("kind") not in ("output", "history")
            }
            assert said <= given
