"""What keeps the offline model honest: it knows messages and tools, and nothing else."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, messages_to_dict
from pydantic import Field

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.errors import ModelOutputError
from funreason_agents.models import offline
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.models.offline.model import answer_messages
from funreason_agents.prompts import ROLES

ROOT = Path(__file__).parents[3]
ANSWER = """
import json, sys
from langchain_core.messages import messages_from_dict
from funreason_agents.models.offline.model import answer_messages
for messages, tools in json.load(sys.stdin):
    answer = answer_messages(messages_from_dict(messages), tools)
    print(json.dumps([answer.content, answer.tool_calls]))
"""


class Recording(OfflineChatModel):
    """Notes what it was asked and what it answered; gives up once, to be criticised."""

    asked: list = Field(default_factory=list)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        tools = kwargs.get("tools") or []
        if "<role>reasoning</role>" in str(messages[0].content) and tools:
            tools = tools if '"critiques": []' not in str(messages[0].content) else []
        answer = answer_messages(messages, tools)
        self.asked.append(
            ([messages_to_dict(messages), tools], [answer.content, answer.tool_calls])
        )
        return super()._generate(messages, tools=tools)


def test_same_messages_give_the_same_answer_in_another_process(tmp_path):
    model = Recording()
    environment = load_environment(str(ROOT / "tools" / "bookstore.py:Bookstore"), isolated=False)
    context = SynthesisContext(turns=2, judge_queries=True)
    synthesize(
        environment=environment, num_trajectories=3, out=tmp_path, model=model, context=context
    )
    roles = {
        role
        for role in ROLES
        for (messages, _), _ in model.asked
        if f"<role>{role}<" in json.dumps(messages)
    }
    assert roles == set(ROLES)
    answers = subprocess.run(
        [sys.executable, "-c", ANSWER],
        input=json.dumps([asked for asked, _ in model.asked]),
        env={**os.environ, "PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert [json.loads(line) for line in answers] == [
        json.loads(json.dumps(answer)) for _, answer in model.asked
    ]


def test_offline_model_can_see_neither_world_nor_gold():
    allowed = {
        "funreason_agents.errors",
        "funreason_agents.models.offline",
        "funreason_agents.schemas.base",
        "funreason_agents.schemas.words",
    }
    for path in Path(offline.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("funreason_agents"):
                    assert any(name == a or name.startswith(f"{a}.") for a in allowed), (path, name)
                else:
                    assert name.partition(".")[0] in sys.stdlib_module_names | {"langchain_core"}


def test_prompt_of_somebody_else_is_refused():
    with pytest.raises(ModelOutputError, match="only answers this package's prompts"):
        OfflineChatModel().invoke([HumanMessage("What is the weather?")])


def test_tools_are_bound_in_any_form():
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    bound = OfflineChatModel().bind_tools([add])
    assert bound.kwargs["tools"][0]["function"]["name"] == "add"
