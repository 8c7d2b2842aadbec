"""The reasoner/critic loop: the paper's guided iterative chain.

The reasoner acts step by step in a session restored to the state before the trace, in several
samples at once if wanted; the verifier decides; the critic explains a failure without giving the
answer away; at most `critic_rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.graphs.agents import criticise
from funreason_agents.graphs.attempts import (
    Scene,
    advance_samples,
    begin_samples,
    judge_attempt,
    to_attempt,
)
from funreason_agents.graphs.conversation import from_state
from funreason_agents.graphs.state import (
    Json,
    Node,
    ReasonerInput,
    ReasonerOutput,
    ReasonerState,
    scope_of,
)
from funreason_agents.models.factory import ModelLike, RoleModels, load_models
from funreason_agents.schemas.tasks import TurnTask
from funreason_agents.schemas.trajectory import Attempt, Critique, Verdict


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
    `verdict`, the `critiques` on the way, how many samples each round had accepted, and
    `rejection` if no attempt was accepted.

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
    builder.add_node("reason", _reason(environment, roles, pool))
    builder.add_node("criticise", _criticise(roles))
    builder.add_edge(START, "reason")
    builder.add_conditional_edges("reason", _after_reason, ["reason", "criticise", END])
    builder.add_edge("criticise", "reason")
    return builder.compile(checkpointer=checkpointer, name=name)


def _after_reason(state: ReasonerState) -> str:
    if state["samples"]:
        return "reason"
    return END if state.get("rejection") or state["accepted_samples"][-1] else "criticise"


def _reason(environment: Environment, roles: RoleModels, pool: SessionPool) -> Node[ReasonerState]:
    """Take one step in each sample that goes on; when all have stopped, have them judged.

    A step is to ask the model, execute the calls that it makes, and judge what it closes, all in
    one superstep: what a crash in between would lose is one answer of the model, while a
    checkpoint more per answer costs every run.
    """

    def reason(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        context = SynthesisContext.resolve(runtime.context)
        task = TurnTask.model_validate(state["turn_task"])
        scene = Scene(
            environment=environment,
            client=roles.reasoning,
            pool=pool,
            task=task,
            conversation=from_state(state.get("conversation", [])),
            critiques=tuple(map(Critique.model_validate, state.get("critiques") or ())),
            scope=scope_of(runtime, "reason"),
        )
        update: Json = {}
        if state.get("task_id") != task.id:  # a new task, on whatever an earlier one has left
            update = {**_NOTHING, "task_id": task.id}
            scene = replace(scene, critiques=())
        now = cast(ReasonerState, {**state, **update})
        begun = now.get("samples") or begin_samples(scene, context.samples_per_round)
        samples = advance_samples(scene, begun)
        if all(sample["stop"] for sample in samples):
            return {**update, **_judge(now, samples, scene, context)}
        return {**update, "samples": samples}

    return reason


_NOTHING: Json = {
    "samples": [],
    "round": 1,
    "critiques": [],
    "accepted_samples": [],
    "attempt": None,
    "verdict": None,
    "rejection": None,
}


def _judge(
    state: ReasonerState, samples: Sequence[Json], scene: Scene, context: SynthesisContext
) -> Json:
    """Close a round: take the first sample that the verifier accepts, if there is one."""
    attempts = [to_attempt(sample, state["round"], number) for number, sample in enumerate(samples)]
    judged = (scene.task, scene.conversation, scene.environment, scene.pool, context.match_mode)
    verdicts = [judge_attempt(attempt, *judged) for attempt in attempts]
    accepted = [number for number, verdict in enumerate(verdicts) if verdict.accepted]
    # If there is none, the critic is shown the one that the fewest checks refuse.
    best = min(range(len(verdicts)), key=lambda number: (len(verdicts[number].failed), number))
    spent = not accepted and state["round"] >= context.critic_rounds
    update: Json = {
        "attempt": attempts[best].to_json(),
        "verdict": verdicts[best].to_json(),
        "accepted_samples": [*state["accepted_samples"], len(accepted)],
        "rejection": _find_reason(attempts[best], verdicts[best]) if spent else None,
        "samples": [],
    }
    # Over: whoever invokes this thread again wants a task solved anew.
    over = {"task_id": "", "conversation": Overwrite([])}
    return {**update, **over} if spent or accepted else update


def _find_reason(attempt: Attempt, verdict: Verdict) -> str:
    return f"{attempt.stop}: {attempt.trouble}" if attempt.trouble else verdict.failed[0]


def _criticise(roles: RoleModels) -> Node[ReasonerState]:
    def criticise_attempt(state: ReasonerState, runtime: Runtime[SynthesisContext]) -> Json:
        task = TurnTask.model_validate(state["turn_task"])
        attempt = Attempt.model_validate(state["attempt"])
        verdict = Verdict.model_validate(state["verdict"])
        scope = scope_of(runtime, "criticise")
        critique = criticise(roles.critiquing, task, attempt, verdict, scope)
        return {
            "critiques": [*state["critiques"], critique.to_json()],
            "round": state["round"] + 1,
        }

    return criticise_attempt
