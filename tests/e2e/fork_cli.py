"""Runs command lines in forks of one process that has imported everything.

A run is killed a dozen times; importing the package each time would take most of the test.
Reads one JSON object a line, writes the child's process id, and then its exit status.
"""

import importlib
import json
import os
import sys

from funreason_agents.cli import main

for name in ("cli.run", "export.checkpoints", "models.openai_compatible"):
    importlib.import_module(f"funreason_agents.{name}")
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(asked["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ |= asked.get("environ", {})
        sys.argv = ["funreason", *asked["arguments"]]
        main()
        sys.exit()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
