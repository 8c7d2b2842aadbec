"""`load_environment`: every mistake in a target is named."""

import textwrap

import pytest

from funreason_agents import load_environment
from funreason_agents.errors import ConfigurationError, EnvError

SOURCE = '''
    from funreason_agents import Environment, ToolSession

    class Counter:
        def __init__(self) -> None:
            self.count = 0
        def increase(self) -> int:
            """Count."""
            self.count += 1
            return self.count

    class Opaque:
        def __init__(self) -> None:
            self.handle = object()
        def ping(self) -> str:
            return "pong"

    def greet(name: str) -> str:
        return name

    tools = [greet]
    ready = Environment.from_class(Counter, id="ready")
    number = 3

    def make():
        return Counter

    def fail():
        raise RuntimeError("no network")

    def open_with_default(seed: int = 0) -> ToolSession:
        return ToolSession(tools=[greet])
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "worlds.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return "worlds.py"


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Counter", "worlds:Counter"),
        ("tools", "worlds:tools"),
        ("make", "worlds:make"),
        ("open_with_default", "worlds:open_with_default"),
        ("ready", "ready"),
    ],
)
def test_a_class_list_factory_function_or_environment_can_be_loaded(place, name, id):
    environment = load_environment(f"{place}:{name}", isolated=False)
    assert environment.id == id
    environment.open(0).close()


def test_an_isolated_environment_is_the_same_as_one_in_this_process(place):
    here = load_environment(f"{place}:Counter", isolated=False)
    isolated = load_environment(f"{place}:Counter")
    assert (isolated.id, isolated.tools_hash) == (here.id, here.tools_hash)
    assert isolated.open(1).state_hash() == here.open(1).state_hash()


def test_a_package_path_is_found_in_the_worker_too(tmp_path, monkeypatch):
    package = tmp_path / "shop_package" / "inner"
    package.mkdir(parents=True)
    (package / "worlds.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    environment = load_environment("shop_package.inner.worlds:Counter")
    assert environment.id == "worlds:Counter"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("worlds.py", "write path/to/file.py:Name"),
        (":Name", "write path/to/file.py:Name"),
        ("world.py:Counter", r"no such file.*worlds\.py"),
        ("nowhere/world.py:Counter", "no such file"),
        ("worlds.py:Conter", "did you mean one of \\['Counter'"),
        ("worlds.py:number", "is a int; an environment is"),
        ("no_such_package.mod:Name", "cannot import"),
        (".relative:Name", "cannot import"),
        ("worlds.py:Opaque", "allow_side_effects"),
    ],
)
def test_a_wrong_target_is_a_configuration_error_that_helps(place, target, text):
    with pytest.raises(ConfigurationError, match=text):
        load_environment(target)


def test_a_file_that_cannot_be_imported_says_why(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        load_environment(f"{tmp_path}/bad.py:World")


def test_a_module_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "bad_module.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        load_environment("bad_module:World")


def test_a_function_that_fails_is_an_environment_error(place):
    with pytest.raises(EnvError, match="no network"):
        load_environment(f"{place}:fail")


def test_side_effects_are_allowed_on_request_in_the_worker_too(place):
    environment = load_environment(f"{place}:Opaque", allow_side_effects=True)
    assert environment.open(0).state() is None
