"""The reasoner/critic loop: the paper's guided iterative chain.

The reasoner acts step by step in a session restored to the state before the trace; the verifier
decides; the critic explains a failure without giving the answer away; at most `critic_rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.execution import replay_calls
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.graphs.agents import criticise, take_step
from funreason_agents.graphs.conversation import (
    from_state,
    to_chat,
)
from funreason_agents.graphs.retry import MODEL_RETRY
from funreason_agents.graphs.state import Json, Node, ReasonerInput, ReasonerOutput, ReasonerState
from funreason_agents.models.calls import split_reasoning
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.base import result_text
from funreason_agents.schemas.tasks import TurnTask
from funreason_agents.schemas.tools import ExecutedCall, ToolCall
from funreason_agents.schemas.trajectory import Attempt, Critique, Message, Verdict, calls_of
from funreason_agents.verification.checks import TurnCase, check_replays
from funreason_agents.verification.derivations import facts_of
from funreason_agents.verification.verdict import judge_turn


def create_reasoner_critic(
    *,
    environment: Environment,
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | RoleModels | None = None,
    sessions: SessionPool | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "reasoner_critic",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that solves a turn task and verifies the attempt.

    Input: `turn_task`; optionally the `conversation` before. Output: the last `attempt`, its
    `verdict`, the `critiques` on the way, and `rejection` if no attempt was accepted.

    Args:
        environment: Where the attempt acts.
        model: Chat model or model string for all roles.
        models: Chat model or model string by role (`reasoning`, `critiquing`).
        sessions: Live sessions to share with other graphs.
        checkpointer: Only for use on its own; nested, the parent's is used.
        name: Shown in Studio and logs.

    Raises:
        ConfigurationError: a model string is unknown or its key is missing.
    """
    roles = models if isinstance(models, RoleModels) else load_models(model, models)
    pool = sessions or SessionPool(environment)
    builder = StateGraph(
        ReasonerState,
        context_schema=SynthesisContext,
        input_schema=ReasonerInput,
        output_schema=ReasonerOutput,
    )
    builder.add_node("begin", _begin)
    builder.add_node("reason", _reason(environment, roles), retry_policy=MODEL_RETRY)
    builder.add_node("act", _act(pool))
    builder.add_node("verify", _verify(environment, pool))
    builder.add_node("criticise", _criticise(roles), retry_policy=MODEL_RETRY)
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "reason")
    builder.add_conditional_edges("reason", _after_reason, ["act", "verify"])
    builder.add_conditional_edges("act", _after_act, ["reason", "verify"])
    builder.add_conditional_edges("verify", _after_verify, ["criticise", END])
    builder.add_edge("criticise", "reason")
    return builder.compile(checkpointer=checkpointer, name=name)


def _after_reason(state: ReasonerState) -> str:
    return "act" if _pending(state) else "verify"


def _after_act(state: ReasonerState) -> str:
    task = TurnTask.model_validate(state["turn_task"])
    return "verify" if len(state["executed"]) > _most_calls(task) else "reason"


def _after_verify(state: ReasonerState) -> str:
    return END if state.get("rejection") or _is_accepted(state) else "criticise"


def _is_accepted(state: ReasonerState) -> bool:
    verdict = state.get("verdict")
    return verdict is not None and Verdict.model_validate(verdict).accepted


def _most_calls(task: TurnTask) -> int:
    """Calls after which an attempt is stopped: it has gone astray."""
    return 2 * len(task.trace.calls) + 2


def _pending(state: ReasonerState) -> tuple[ToolCall, ...]:
    """Return the calls of the last message, if nothing has executed them yet."""
    messages = _messages(state)
    return messages[-1].tool_calls if messages and messages[-1].role == "assistant" else ()


def _messages(state: ReasonerState) -> tuple[Message, ...]:
    return tuple(Message.model_validate(item) for item in state.get("messages", []))


def _executed(state: ReasonerState) -> list[ExecutedCall]:
    return [ExecutedCall.model_validate(item) for item in state.get("executed", [])]


def _begin(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
    """Forget what an earlier run on the same thread has left."""
    return {
        "messages": [],
        "executed": [],
        "round": 1,
        "critiques": [],
        "attempt": None,
        "verdict": None,
        "rejection": None,
    }


def _reason(environment: Environment, roles: RoleModels) -> Node[ReasonerState]:
    def reason(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        task = TurnTask.model_validate(state["turn_task"])
        conversation = from_state(state.get("conversation", []))
        said = _messages(state)
        critiques = [Critique.model_validate(item) for item in state["critiques"]]
        chat = [*to_chat(conversation), HumanMessage(task.query), *to_chat(said)]
        answer = take_step(roles.reasoning, task, environment.tools, chat, critiques)
        number = len(calls_of(conversation)) + len(calls_of(said))
        messages = [*said, _to_message(answer, number)]
        return {"messages": [message.to_json() for message in messages], "verdict": None}

    return reason


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


def _act(pool: SessionPool) -> Node[ReasonerState]:
    def act(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        task = TurnTask.model_validate(state["turn_task"])
        done = _executed(state)
        history = calls_of(from_state(state.get("conversation", [])))
        before = done[-1].state_after if done else task.trace.state_before
        with pool.lease(
            task.trace.seed, [*history, *(step.call for step in done)], state_hash=before
        ) as session:
            # One message can hold any number of calls; an attempt that went astray is stopped.
            new = replay_calls(session, _pending(state)[: _most_calls(task) + 1 - len(done)])
        results = [
            Message(
                role="tool",
                content=result_text(step.result.content),
                tool_call_id=step.call.id,
                name=step.call.name,
                is_error=step.result.is_error,
            )
            for step in new
        ]
        return {
            "messages": [m.to_json() for m in (*_messages(state), *results)],
            "executed": [step.to_json() for step in (*done, *new)],
        }

    return act


def _verify(environment: Environment, pool: SessionPool) -> Node[ReasonerState]:
    def verify(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        task = TurnTask.model_validate(state["turn_task"])
        conversation = from_state(state.get("conversation", []))
        messages, executed = _messages(state), _executed(state)
        replied = bool(messages) and messages[-1].role == "assistant" and not _pending(state)
        attempt = Attempt(
            round=state["round"],
            messages=messages,
            executed=tuple(executed),
            stop="replied" if replied else "too_many_calls",
        )
        case = TurnCase(
            environment=environment,
            query=task.query,
            trace=task.trace,
            messages=messages,
            executed=attempt.executed,
            before=facts_of(conversation),
            mode=context.match_mode,
        )
        history = calls_of(conversation)
        with pool.lease(task.trace.seed, history, branch="replay") as fresh:
            replayed = replay_calls(fresh, [step.call for step in executed])
        verdict = judge_turn(case, check_replays(executed, replayed))
        spent = state["round"] >= context.critic_rounds
        return {
            "attempt": attempt.to_json(),
            "verdict": verdict.to_json(),
            "rejection": verdict.failed[0] if spent and not verdict.accepted else None,
            "messages": [],
            "executed": [],
        }

    return verify


def _criticise(roles: RoleModels) -> Node[ReasonerState]:
    def criticise_attempt(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        task = TurnTask.model_validate(state["turn_task"])
        attempt = Attempt.model_validate(state["attempt"])
        verdict = Verdict.model_validate(state["verdict"])
        critique = criticise(roles.critiquing, task, attempt, verdict)
        return {
            "critiques": [*state["critiques"], critique.to_json()],
            "round": state["round"] + 1,
        }

    return criticise_attempt
