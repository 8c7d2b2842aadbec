"""A world for `environments.serve`, with one tool for each way to break a worker."""

import os
import signal
import subprocess
import sys
import time


def _tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {"name": name, "description": name, "parameters": parameters}


NOT_TOOLS = {*vars(object), *vars(type), "call", "dump_state", "close", "add"}


class Session:
    def __init__(self, seed):
        self.items = [seed]

    def call(self, name, arguments):
        return getattr(self, name)(**arguments), False

    def dump_state(self):
        return {"items": self.items}

    def close(self):
        if self.items[-1] == "unclosable":
            raise RuntimeError("cannot close")

    def add(self, item):
        self.items.append(item)
        return {"pid": os.getpid(), "items": list(self.items)}

    def hang(self):
        time.sleep(60)

    def leave(self):
        os._exit(7)

    def segfault(self):
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    def shout(self):
        print('{"ok": "fake"}', flush=True)
        subprocess.run(["echo", '{"ok": "fake"}'], check=True)
        return "real"

    def read(self):
        return sys.stdin.readline() + subprocess.run(["cat"], capture_output=True).stdout.decode()

    def give_set(self):
        self.items.append("half done")
        return {1, 2}

    def spoil(self):
        self.items.append({1, 2})
        return "spoilt"

    def start_child(self):
        return subprocess.Popen(["sleep", "60"]).pid


class World:
    def tools(self):
        others = [name for name in vars(Session) if name not in NOT_TOOLS]
        return [_tool("add", item={}), *map(_tool, others)]

    def open(self, seed):
        if seed == 666:
            raise ValueError("no such world")
        return Session(seed)


class NoTools(World):
    def tools(self):
        return [{"name": "incomplete"}]
