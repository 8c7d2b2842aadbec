import ast

import pytest
from sources import parse, python_files, shown

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
FILES = python_files("funreason_agents", "graphs", "tools")


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_files_are_under_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def own_length(function):
    """Lines of a function, less its docstring and the functions in it, which count themselves."""
    inner = [
        node.end_lineno - node.lineno + 1 for node in function.body if isinstance(node, FUNCTIONS)
    ]
    first = function.body[0]
    if ast.get_docstring(function):
        inner.append(first.end_lineno - first.lineno + 1)
    return function.end_lineno - function.lineno + 1 - sum(inner)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_functions_are_under_60_lines(path):
    lengths = {
        node.name: own_length(node) for node in ast.walk(parse(path)) if isinstance(node, FUNCTIONS)
    }
    assert not {name: length for name, length in lengths.items() if length >= 60}
