"""Attempts of the reasoner: begun, taken one step further, executed for real, judged.

While it goes on, an attempt is a sample: plain JSON with `messages`, `executed`, and `stop`, which
is None until it has come to an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import replay_calls
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.errors import ModelOutputError
from funreason_agents.graphs.agents import take_step
from funreason_agents.graphs.conversation import to_chat
from funreason_agents.graphs.state import Json
from funreason_agents.models.calls import split_reasoning
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.schemas.base import result_text
from funreason_agents.schemas.tasks import TurnTask
from funreason_agents.schemas.tools import ExecutedCall, ToolCall, ToolResult, ToolSpec
from funreason_agents.schemas.trajectory import (
    Attempt,
    Critique,
    MatchMode,
    Message,
    Verdict,
    calls_of,
)
from funreason_agents.verification.checks import TurnCase, check_replays
from funreason_agents.verification.derivations import facts_of
from funreason_agents.verification.turn_kinds import find_parallel_group, replay_reversed
from funreason_agents.verification.verdict import judge_turn


@dataclass(frozen=True)
class Scene:
    """What all samples of a round have in common."""

    environment: Environment
    client: ModelClient
    pool: SessionPool
    task: TurnTask
    conversation: tuple[Message, ...]
    critiques: tuple[Critique, ...]
    scope: CallScope

    @property
    def offered(self) -> tuple[ToolSpec, ...]:
        """The tools that the reasoner is offered."""
        hard = self.task.hard
        return hard.offer(self.environment.tools) if hard else self.environment.tools

    @property
    def most_calls(self) -> int:
        """Calls after which an attempt is stopped: it has gone astray."""
        gold = len(self.task.trace.calls)
        return 2 * gold + 2 if gold else 0


def begin_samples(scene: Scene, count: int) -> list[Json]:
    """Return the samples of a new round; where the turn begins with a mistake, so does each."""
    mistake = scene.task.trace.mistake
    messages: list[Message] = []
    executed: list[ExecutedCall] = []
    if mistake is not None:
        call_id = f"call_{len(calls_of(scene.conversation))}"
        call = mistake.call.model_copy(update={"id": call_id})
        result = mistake.result.model_copy(update={"call_id": call_id})
        executed = [mistake.model_copy(update={"call": call, "result": result})]
        messages = [
            Message(role="assistant", tool_calls=(call,), trainable=False),
            to_result(executed[0]),
        ]
    sample = {
        "messages": [message.to_json() for message in messages],
        "executed": [step.to_json() for step in executed],
        "stop": None,
    }
    return [sample for _ in range(count)]


def advance_samples(scene: Scene, samples: Sequence[Json]) -> list[Json]:
    """Take each sample that goes on one step further, all at once; each is a branch of its own."""
    going = [number for number, sample in enumerate(samples) if not sample["stop"]]
    branch: RunnableLambda[Json, Json] = RunnableLambda(
        lambda sample: _advance(scene, sample), name="sample"
    )
    advanced = (
        branch.batch([samples[number] for number in going])
        if len(going) > 1
        else [_advance(scene, samples[number]) for number in going]
    )
    result = list(samples)
    for number, sample in zip(going, advanced, strict=True):
        result[number] = sample
    return result


def _advance(scene: Scene, sample: Json) -> Json:
    said = tuple(map(Message.model_validate, sample["messages"]))
    done = [ExecutedCall.model_validate(item) for item in sample["executed"]]
    history = calls_of(scene.conversation)
    chat = [*to_chat(scene.conversation), HumanMessage(scene.task.query), *to_chat(said)]
    try:
        answer = take_step(
            scene.client, scene.task, scene.offered, chat, scene.critiques, scene.scope
        )
    except ModelOutputError as exc:
        return {**sample, "stop": "unusable_answer", "trouble": exc.kind}
    message = _to_message(answer, len(history) + len(calls_of(said)))
    new: list[ExecutedCall] = []
    if message.tool_calls:
        before = done[-1].state_after if done else scene.task.trace.state_before
        with scene.pool.lease(
            scene.task.trace.seed, [*history, *(s.call for s in done)], state_hash=before
        ) as session:
            # One message can hold any number of calls; an attempt that went astray is stopped.
            kept = message.tool_calls[: scene.most_calls + 1 - len(done)]
            message = message.model_copy(update={"tool_calls": kept})
            new = _execute(session, kept, scene)
    if any(step.result.is_error for step in new):  # recovering from an error is to be learnt,
        message = message.model_copy(update={"trainable": False})  # making it is not
    messages = [message, *map(to_result, new)]
    too_many = len(done) + len(new) > scene.most_calls
    stop = "too_many_calls" if too_many else None if message.tool_calls else "replied"
    return {
        "messages": [*sample["messages"], *(each.to_json() for each in messages)],
        "executed": [*sample["executed"], *(step.to_json() for step in new)],
        "stop": stop,
    }


def _execute(session: EnvSession, calls: Sequence[ToolCall], scene: Scene) -> list[ExecutedCall]:
    """Execute calls; one that was not offered is refused, whatever the environment would do."""
    withheld = _find_withheld(scene.task, scene.environment)
    done: list[ExecutedCall] = []
    for call in calls:
        if call.name not in withheld:
            done += replay_calls(session, [call])
            continue
        state = session.state_hash()
        result = ToolResult(
            call_id=call.id, content={"error": f"unknown tool {call.name!r}"}, is_error=True
        )
        done.append(ExecutedCall(call=call, result=result, state_before=state, state_after=state))
    return done


def _to_message(answer: AIMessage, number: int) -> Message:
    """Return the answer as our message; its calls get ids that count up through the thread."""
    reasoning, text = split_reasoning(answer)
    asked = [(call["name"], call["args"]) for call in answer.tool_calls]
    # Arguments that are no JSON become a call that every schema refuses: the model sees its error.
    asked += [(call["name"] or "", {"": call["args"]}) for call in answer.invalid_tool_calls]
    calls = tuple(
        ToolCall(id=f"call_{number + position}", name=name, arguments=arguments)
        for position, (name, arguments) in enumerate(asked)
    )
    return Message(
        role="assistant", content=text, reasoning=reasoning, tool_calls=calls, trainable=True
    )


def to_result(step: ExecutedCall) -> Message:
    """Return what an executed call gave back as the message of its tool."""
    return Message(
        role="tool",
        content=result_text(step.result.content),
        tool_call_id=step.call.id,
        name=step.call.name,
        is_error=step.result.is_error,
    )


def to_attempt(sample: Json, round_: int, number: int) -> Attempt:
    """Return a sample that has stopped as attempt `number` of its round."""
    return Attempt.model_validate({**sample, "round": round_, "sample": number})


def judge_attempt(
    attempt: Attempt,
    task: TurnTask,
    conversation: Sequence[Message],
    environment: Environment,
    pool: SessionPool,
    mode: MatchMode,
) -> Verdict:
    """Replay an attempt in a fresh session and run every check on it.

    Raises:
        VerificationError: a check could not be run.
        EnvError: the environment broke.
    """
    history = calls_of(conversation)
    # What was not offered was refused by us, not by the environment.
    withheld = _find_withheld(task, environment)
    executed = [step for step in attempt.executed if step.call.name not in withheld]
    with pool.lease(task.trace.seed, history, branch="replay") as fresh:
        replayed = replay_calls(fresh, [step.call for step in executed])
    group = find_parallel_group(attempt.messages) if task.kind == "parallel_calls" else None
    reversed_group = None
    if group is not None:
        with pool.lease(task.trace.seed, history) as session:
            reversed_group = tuple(replay_reversed(session, attempt.executed, group))
    case = TurnCase(
        environment=environment,
        query=task.query,
        trace=task.trace,
        messages=attempt.messages,
        executed=attempt.executed,
        before=facts_of(conversation),
        mode=mode,
        hard=task.hard,
        pending=task.pending,
        reversed_group=reversed_group,
    )
    return judge_turn(case, check_replays(executed, replayed))


def _find_withheld(task: TurnTask, environment: Environment) -> set[str]:
    """Return the names of the environment's tools that the reasoner is not offered."""
    offered = task.hard.offer(environment.tools) if task.hard else environment.tools
    return {tool.name for tool in environment.tools} - {tool.name for tool in offered}
