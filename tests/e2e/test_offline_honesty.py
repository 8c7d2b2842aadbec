"""The offline model goes by what tools are described to do, not by what they are called."""

from pathlib import Path

import pytest

from funreason_agents import Environment, SynthesisContext, load_environment, synthesize

ROOT = Path(__file__).parents[2]
WORLDS = ("bookstore.py:Bookstore", "travel_tools.py:open_travel", "workshop.py:open_workshop")


def rename_tools(environment, mapping):
    """Return the environment with its tools called by other names."""
    back = {new: old for old, new in mapping.items()}
    tools = [
        tool.model_copy(
            update={
                "name": mapping[tool.name],
                "requires": tuple(mapping[name] for name in tool.requires),
            }
        )
        for tool in environment.tools
    ]

    class Renamed:
        def __init__(self, seed):
            self._backend = environment.open_backend(seed)

        def call(self, name, arguments):
            return self._backend.call(back[name], arguments)

        def __getattr__(self, name):
            return getattr(self._backend, name)

    return Environment(id=environment.id, tools=tools, open_backend=Renamed)


@pytest.mark.parametrize("target", WORLDS)
def test_yield_survives_meaningless_tool_names(target, tmp_path):
    plain = load_environment(str(ROOT / "tools" / target), isolated=False)
    mapping = {tool.name: f"tool_{number:02}" for number, tool in enumerate(plain.tools)}
    runs = [
        synthesize(
            environment=environment,
            num_trajectories=8,
            out=tmp_path / name,
            seed=6,
            context=SynthesisContext(turns=2),
        )
        for name, environment in (("plain", plain), ("renamed", rename_tools(plain, mapping)))
    ]
    assert runs[0].accepted >= 5
    assert runs[1].accepted >= 0.8 * runs[0].accepted
    turns = [run.statistics.turn_yield for run in runs]
    assert turns[1] >= 0.8 * turns[0]
    names = {call.name for r in runs[1].records() for m in r.messages for call in m.tool_calls}
    assert names <= set(mapping.values())
