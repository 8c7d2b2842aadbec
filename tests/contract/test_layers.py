"""Who may import whom. A module may import lower levels, and its own part of the package."""

import pytest
from sources import PACKAGE, imported_modules, python_files, shown

LEVELS = (
    {"errors", "seeding"},
    {"extras"},
    {"schemas", "prompts"},
    {"config", "environments", "models"},
    {"tool_graph", "verification", "curation"},
    {"hard_turns", "doctor", "refinement"},
    {"graphs"},
    {"export"},
    {"run_directory", "run_interrupts", "run_statistics"},
    {"record_log"},
    {"run_job"},
    {"synthesis", "curriculum", "training"},
    {"studio", "cli", "testing"},
)
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
WITHOUT_LANGGRAPH = {
    "errors", "seeding", "schemas", "prompts", "config", "environments", "models", "tool_graph",
    "verification", "curation", "hard_turns", "doctor", "testing",
}  # fmt: skip
HEAVY = {
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm", "ray", "gradio",
    "pandas", "matplotlib",
}  # fmt: skip
FILES = [
    path
    for path in python_files("funreason_agents")
    if path.parent != PACKAGE or path.name != "__init__.py"
]


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    for module, names in imported_modules(path):
        if module == "funreason_agents":
            yield from (name for name in names if name != "__version__")
        elif module.startswith("funreason_agents."):
            yield module.split(".")[1]


def test_each_part_of_the_package_has_a_level():
    assert {part_of(path) for path in FILES} <= {*LEVEL, "evaluation"}


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_imports_go_down(path):
    part = part_of(path)
    above = {
        other
        for other in imported_parts(path)
        if other != part and LEVEL.get(other, len(LEVELS)) >= LEVEL.get(part, len(LEVELS))
    }
    assert not above, f"{shown(path)} imports {sorted(above)}, which are not below {part!r}"


def test_verifier_and_schemas_do_not_know_langgraph():
    for path in FILES:
        if part_of(path) in WITHOUT_LANGGRAPH:
            found = {module.split(".")[0] for module, _ in imported_modules(path)}
            assert "langgraph" not in found, shown(path)


def test_only_training_imports_training_libraries():
    for path in FILES:
        if part_of(path) != "training":
            found = {module.split(".")[0] for module, _ in imported_modules(path)}
            assert not found & HEAVY, shown(path)


def test_package_imports_nothing_of_the_repository_around_it():
    for path in FILES:
        found = {module.split(".")[0] for module, _ in imported_modules(path)}
        assert not found & {"graphs", "tools", "tests", "examples", "benchmarks"}, shown(path)


def test_nothing_private_to_langgraph_is_imported():
    folders = ("funreason_agents", "graphs", "tools", "examples", "benchmarks", "tests")
    for path in python_files(*folders):
        for module, names in imported_modules(path):
            parts = (*module.split("."), *names)
            private = parts[0].startswith("lang") and any(part.startswith("_") for part in parts)
            assert not private, f"{shown(path)} imports {module} {names}"
