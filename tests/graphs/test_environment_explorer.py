import pytest

from funreason_agents import SynthesisContext, create_environment_explorer
from funreason_agents.environments.base import Environment
from funreason_agents.schemas.tasks import CallTrace


@pytest.fixture(scope="module")
def explorer(environment):
    return create_environment_explorer(environment=environment)


def test_trace_fetches_what_its_target_needs(trace):
    parsed = CallTrace.model_validate(trace)
    assert parsed.tool_names == ("find_locker", "open_locker")
    assert parsed.calls[1].origins["/locker_number"].kind == "output"
    assert parsed.calls[0].state_before == trace["calls"][0]["state_before"]


def test_same_place_gives_the_same_trace(explorer):
    place = {"run_seed": 3, "index": 5, "turn": 1}
    assert explorer.invoke(place) == explorer.invoke(place)


def test_unknown_target_is_rejected(explorer):
    out = explorer.invoke({"wanted_target": "fly"})
    assert (out["call_trace"], out["rejection"]) == (None, "unreachable_target")


def test_read_only_walks_never_write(explorer):
    context = SynthesisContext(read_only=True, extra_rate=1.0)
    for index in range(10):
        found = explorer.invoke({"index": index}, context=context)["call_trace"]
        assert "empty_locker" not in {step["call"]["name"] for step in found["calls"]}


def test_max_calls_bounds_the_trace(explorer):
    context = SynthesisContext(max_calls=1, lookup_rate=1.0)
    out = explorer.invoke({"wanted_target": "open_locker"}, context=context)
    assert out["call_trace"] is None
    assert out["rejection"]


def test_calls_are_streamed_while_walking(explorer):
    parts = list(
        explorer.stream({"run_seed": 1, "wanted_target": "open_locker"}, stream_mode="custom")
    )
    assert {"call": "open_locker", "ok": True} in parts


class Light:
    """A world in which the second tool undoes what the first one does."""

    def __init__(self) -> None:
        self.lit = False

    def light(self) -> dict:
        """Light the lamp."""
        self.lit = True
        return {"lit": True}

    def douse(self) -> dict:
        """Douse the lamp."""
        if not self.lit:
            raise ValueError("it is dark")
        self.lit = False
        return {"lit": False}


def test_trace_that_ends_where_it_began_is_rejected():
    explorer = create_environment_explorer(environment=Environment.from_class(Light))
    context = {"extra_rate": 0}
    out = explorer.invoke({"wanted_target": "douse"}, context=context)
    assert out["rejection"] == "no_effect"
    assert explorer.invoke({"wanted_target": "light"}, context=context)["rejection"] is None


def test_second_run_on_a_thread_forgets_the_optional_inputs(environment, explorer, saver, thread):
    kept = create_environment_explorer(environment=environment, checkpointer=saver)
    asked = {
        "run_seed": 3, "index": 5, "turn": 1, "turn_kind": "irrelevance", "environment_seed": 9,
        "conversation": [{"key": "0/0", "message": {"role": "user", "content": "Hello."}}],
    }  # fmt: skip
    assert kept.invoke(asked, thread)["call_trace"]["calls"] == []
    assert kept.invoke({"wanted_target": "fly"}, thread)["rejection"] == "unreachable_target"
    again = kept.invoke({}, thread)
    assert again == explorer.invoke({})
    held = kept.get_state(thread).values
    assert (held["call_trace"], held["conversation"]) == (again["call_trace"], [])
