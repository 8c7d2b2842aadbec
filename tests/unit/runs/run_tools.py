"""What the tests of runs share: a world, models that break on cue, and one short call."""

import json
import subprocess
import sys
from pathlib import Path

from kiosk import Kiosk

from funreason_agents import Environment, SynthesisContext, synthesize
from funreason_agents.models.client import Retries
from funreason_agents.models.offline import OfflineChatModel

KIOSK = str(Path(__file__).with_name("kiosk.py"))
TWO = SynthesisContext(turns=2)


def make_kiosk():
    return Environment.from_class(Kiosk)


def make_run(out, n=4, **options):
    once = Retries(attempts=1)
    options = {"environment": None, "context": TWO, "seed": 3, "retries": once, **options}
    options["environment"] = options["environment"] or make_kiosk()
    return synthesize(num_trajectories=n, out=out, **options)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def indices_of(out):
    return [row["provenance"]["index"] for row in read_lines(Path(out) / "records.jsonl")]


def first_query(out, index):
    """Return the first query of trajectory `index`: a text that no other trajectory holds."""
    for row in read_lines(Path(out) / "records.jsonl"):
        if row["provenance"]["index"] == index:
            return row["messages"][0]["content"]
    raise AssertionError


class BreakingModel(OfflineChatModel):
    """The offline model, except that it fails where a message holds one of `cues`."""

    cues: tuple[str, ...] = ()
    error: type[Exception] = ConnectionError

    def _generate(self, messages, *args, **kwargs):
        text = " ".join(str(message.content) for message in messages)
        if any(cue in text for cue in self.cues):
            raise self.error("the provider is down")
        return super()._generate(messages, *args, **kwargs)


def run_cli(*arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    command = [sys.executable, "-m", "funreason_agents.cli", *map(str, arguments)]
    return subprocess.run(command, check=False, **options)
