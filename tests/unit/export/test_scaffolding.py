"""What guides the reasoner stays in the checkpoints and never reaches a row."""

import json
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from funreason_agents import (
    SynthesisContext,
    export_thread,
    load_environment,
    read_records,
    synthesize,
    write_records,
)
from funreason_agents.errors import ExportError
from funreason_agents.export.checkpoints import trajectory_from_values
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.seeding import make_thread_id

KIOSK = Path(__file__).parents[1] / "runs" / "kiosk.py"
CANARY = "CANARY-7141"


class Tutored(OfflineChatModel):
    """Gives up at once until a critique is there; marks all its scaffolding with a canary."""

    def _generate(self, messages, *args, **kwargs):
        prompt = str(messages[0].content)
        if "<role>reasoning</role>" in prompt and '"critiques": []' in prompt:
            return ChatResult(
                generations=[ChatGeneration(message=AIMessage(f"I give up. {CANARY}"))]
            )
        result = super()._generate(messages, *args, **kwargs)
        message = result.generations[0].message
        if "<role>critiquing</role>" in prompt:
            answer = json.loads(message.content)
            message.content = json.dumps({**answer, "text": f"{answer['text']} {CANARY}"})
        if "<role>tooling</role>" in prompt:
            answer = json.loads(message.content)
            message.content = json.dumps({**answer, "name": CANARY, "output": CANARY})
        return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    environment = load_environment(f"{KIOSK}:Kiosk", isolated=False)
    return synthesize(
        environment=environment,
        num_trajectories=4,
        out=tmp_path_factory.mktemp("tutored"),
        model=Tutored(),
        context=SynthesisContext(turns=2),
    )


@pytest.mark.parametrize("format", ["records", "trl", "trl-steps"])
def test_hints_critiques_and_advanced_tools_are_absent_from_rows(run, tmp_path, format):
    records = run.records()
    assert records
    assert {number for record in records for number in record.provenance.rounds} == {2}
    rows = write_records(records, tmp_path, format=format)["train"].read_text()
    for text in (CANARY, "composition", "critique", "_composite", "<role>"):
        assert text not in rows.replace('"critiquing"', "")


def test_scaffolding_stays_in_the_checkpoints(run):
    environment = load_environment(f"{KIOSK}:Kiosk", isolated=False)
    key = content_hash(run.directory.read_manifest()["run"])
    index = run.records()[0].provenance.index
    with run.directory.open_checkpointer() as checkpointer:
        graph = create_supervisor(environment=environment, checkpointer=checkpointer)
        trajectory = export_thread(graph, make_thread_id(key, index))
        assert CANARY in trajectory.model_dump_json()
        with pytest.raises(ExportError, match="there is no thread"):
            export_thread(graph, make_thread_id(key, 99))


def test_unfinished_and_foreign_threads_are_refused():
    with pytest.raises(ExportError, match="has not finished; invoke it again with None"):
        trajectory_from_values({"turn": 0}, "t")
    with pytest.raises(ExportError, match="another version"):
        trajectory_from_values({"trajectory": {"unknown": 1}}, "t")


def test_records_in_the_directory_are_those_that_were_made(run):
    records = read_records(run.directory.path)
    assert records == run.records()
    assert all(isinstance(record, TrainingRecord) for record in records)
