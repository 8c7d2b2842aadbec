"""Scripts for `ScriptedChatModel`: the offline model, except where a test says otherwise."""

import json
import re
import threading

from langchain_core.messages import AIMessage

from funreason_agents.errors import ConfigurationError
from funreason_agents.models.offline.model import answer_messages
from funreason_agents.testing.scripted import ModelCall, ScriptedChatModel


def play(**roles):
    """A model whose `roles` answer by a function of the `ModelCall`; None means: as offline."""

    def respond(messages, tools):
        call = ModelCall(tuple(messages), tuple(tools))
        answer = roles[call.role](call) if call.role in roles else None
        return answer_messages(messages, tools) if answer is None else answer

    return ScriptedChatModel(respond=respond)


def offline_answer(call):
    return json.loads(answer_messages(call.messages, call.tools).text)


def calls(model, role):
    return [call for call in model.calls if call.role == role]


def call_tools(*named, text=""):
    """An assistant message that calls tools: (name, arguments) pairs."""
    made = [
        {"name": name, "args": arguments, "id": f"x{number}"}
        for number, (name, arguments) in enumerate(named)
    ]
    return AIMessage(text, tool_calls=made)


def give_up(call):
    return "I cannot do that."


def fail_first_round(call):
    """A reasoner that needs a critique before it does anything."""
    return None if call.data["critiques"] else give_up(call)


def break_at(number):
    """A model that stops working at its call number `number`, counted from 0, and for good."""
    lock, seen = threading.Lock(), []

    def respond(messages, tools):
        with lock:
            seen.append(None)
        if len(seen) > number:
            raise ConfigurationError("the key was revoked")
        return answer_messages(messages, tools)

    return ScriptedChatModel(respond=respond)


def locker_numbers(text):
    return re.findall(r"L-\d{4}", text)
