import ast
import importlib

import pytest
from sources import PACKAGE, parse

import funreason_agents


def type_checking_block():
    block = next(
        node
        for node in parse(PACKAGE / "__init__.py").body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_table_block_and_all_agree():
    homes = {name: f"funreason_agents.{home}" for name, home in funreason_agents._HOMES.items()}
    assert type_checking_block() == homes
    assert set(funreason_agents.__all__) == set(homes)
    assert len(funreason_agents.__all__) == len(homes)


@pytest.mark.parametrize("name", funreason_agents.__all__)
def test_each_public_name_is_the_one_of_its_home(name):
    home = importlib.import_module(f"funreason_agents.{funreason_agents._HOMES[name]}")
    assert getattr(funreason_agents, name) is getattr(home, name)
    assert getattr(funreason_agents, name).__doc__
    assert name in dir(funreason_agents)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'create_superviser'"):
        _ = funreason_agents.create_superviser
