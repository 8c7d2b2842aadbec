"""`check_environment`: each kind of unfit environment fails the check that is named for it."""

import importlib
import itertools
import random
import textwrap
import time

import pytest

from funreason_agents import Environment, ToolSession
from funreason_agents.environments.python import environment_from_class
from funreason_agents.testing import check_environment


class Counter:
    """A world with nothing wrong in it."""

    def __init__(self) -> None:
        self.total = 0

    def reset(self, seed: int) -> None:
        self.total = seed

    def add(self, amount: int = 1) -> dict:
        """Add to the total.

        Args:
            amount: How much.
        """
        self.total += amount
        return {"total": self.total}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    module = importlib.import_module("funreason_agents.doctor")
    monkeypatch.setattr(module, "PAUSE", 0.0)


def check(cls):
    return check_environment(Environment.from_class(cls))


def failed(report):
    return [result.name for result in report.results if not result.passed]


def test_a_sound_environment_passes_every_check():
    report = check(Counter)
    assert report.passed
    assert [result.name for result in report.results] == [
        "schemas", "opens", "same_seed", "unknown_tool", "invalid_arguments",
        "separate_sessions", "tools_work", "restore", "replay",
    ]  # fmt: skip
    assert report.nondeterministic == ()


def test_a_clock_is_found_and_its_tool_named():
    class Clock(Counter):
        def now(self) -> float:
            return time.time()

    report = check(Clock)
    assert "replay" in failed(report)
    assert report.nondeterministic == ("now",)
    assert "now gave" in str(report)


def test_hidden_state_that_sessions_share_is_found():
    class Shared(Counter):
        _numbers = itertools.count()

        def take_number(self) -> int:
            return next(self._numbers)

    assert check(Shared).nondeterministic == ("take_number",)


def test_visible_state_that_sessions_share_is_found():
    items: list[str] = []

    class Shared(Counter):
        def dump_state(self) -> dict:
            return {"items": items}

        def load_state(self, state: dict) -> None:
            items[:] = state["items"]

        def put(self, item: str) -> int:
            items.append(item)
            return len(items)

    assert "separate_sessions" in failed(check(Shared))


def test_a_random_start_is_found():
    class Random(Counter):
        def reset(self, seed: int) -> None:
            self.total = random.SystemRandom().randrange(10**9)

    assert "same_seed" in failed(check(Random))


def test_a_part_missing_from_the_state_is_found():
    class Forgetful(Counter):
        def __init__(self) -> None:
            self._hidden = 0

        def dump_state(self) -> dict:
            return {"total": self.total}

        def load_state(self, state: dict) -> None:
            self.total = state["total"]

        def visit(self) -> int:
            self._hidden += 1
            return self._hidden

    assert failed(check(Forgetful)) == ["restore"]


def test_keys_that_json_turns_into_strings_are_found():
    class Numbered(Counter):
        def reset(self, seed: int) -> None:
            self.stock = {1: 5}

        def dump_state(self) -> dict:
            return {"stock": self.stock}

        def load_state(self, state: dict) -> None:
            self.stock = state["stock"]

        def add(self, amount: int = 1) -> dict:
            self.stock[1] += 1
            return {"left": self.stock[1]}

    assert "restore" in failed(check(Numbered))


def test_a_tool_that_breaks_fails_and_one_that_never_succeeds_warns():
    class Broken(Counter):
        def give(self) -> object:
            return object()

        def refuse(self) -> None:
            raise ValueError("closed today")

    report = check(Broken)
    assert failed(report) == ["tools_work"]
    assert any("'refuse'" in each and "closed today" in each for each in report.warnings)


def test_missing_descriptions_and_states_only_warn():
    def bare(text: str) -> str:
        return text

    environment = Environment.from_tools(lambda seed: ToolSession(tools=[bare]))
    report = check_environment(environment)
    assert report.passed
    assert any("no description of parameters ['text']" in each for each in report.warnings)
    assert any("no state" in each for each in report.warnings)


def test_a_world_that_does_not_open_fails_there():
    class Closed(Counter):
        def reset(self, seed: int) -> None:
            raise OSError("closed")

    report = check_environment(environment_from_class(Closed, allow_side_effects=True))
    assert failed(report) == ["opens"]


def test_hash_order_differs_between_processes_and_is_found(tmp_path):
    source = """
    class Sets:
        def list_names(self) -> list[str]:
            '''List names.'''
            return list({"ada", "bo", "cy", "di", "ed", "flo"})
    """
    (tmp_path / "sets.py").write_text(textwrap.dedent(source), encoding="utf-8")
    report = check_environment(f"{tmp_path}/sets.py:Sets", seeds=(0,))
    assert failed(report) == ["other_process"]
    assert report.nondeterministic == ("list_names",)
