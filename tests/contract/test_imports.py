import json
import os
import subprocess
import sys

from sources import ROOT

SCRIPT = """
import json, sys, time
start = time.perf_counter()
import funreason_agents
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""
HEAVY = {
    "torch", "transformers", "trl", "vllm", "mcp", "datasets", "pandas", "matplotlib",
    "networkx.drawing", "langgraph", "langchain_core", "openai",
}  # fmt: skip


def import_package():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT.parent, env=dict(os.environ), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_importing_the_package_is_cheap():
    runs = [import_package() for _ in range(3)]
    assert min(seconds for seconds, _ in runs) < 0.5
    assert not HEAVY & set(runs[0][1])


def test_every_public_name_stays_free_of_training_libraries():
    script = (
        "import sys, funreason_agents as f\n"
        "for name in f.__all__: getattr(f, name)\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    banned = {"torch", "transformers", "trl", "vllm", "mcp", "datasets", "pandas", "matplotlib"}
    assert not banned & set(done.stdout.split())
