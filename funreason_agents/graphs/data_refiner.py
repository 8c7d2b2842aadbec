"""The data refiner: anybody's rows -> kept rows, by FCDR, BalanceSFT's split and loop, or EGPO.

Rows stay where they are: state holds one outcome per row, with a new answer only where there is
one. A superstep is one batch, so a run that is killed loses at most that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.config import RunnableConfig, get_executor_for_config
from langgraph.channels import DeltaChannel, EphemeralValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from funreason_agents.errors import ConfigurationError
from funreason_agents.graphs.state import SNAPSHOTS, Growing
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.models.factory import ModelLike, load_model, model_id
from funreason_agents.models.ledger import Ledger
from funreason_agents.models.limiter import Limiter
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.refinement.agents import (
    Answer,
    make_judge,
    make_needs_call,
    make_regenerate,
    score_answer,
)
from funreason_agents.refinement.counts import apply_outcomes, count_outcomes
from funreason_agents.refinement.options import RefinementContext
from funreason_agents.refinement.rows import Step, read_rows, read_tools
from funreason_agents.refinement.stages import (
    Mode,
    attempt,
    find_passing,
    prepare_row,
    refine_row,
    split_row,
    unreadable_row,
)

Json = dict[str, Any]
Train = Callable[[Sequence[Json], int], None]
"""Retrains the student on the new rows of a round, counted from 1. Asked once per round, or once
more if the run was killed meanwhile."""


def _keep_last(present: list[Json], writes: Sequence[list[Json]]) -> list[Json]:
    """Hold what was written last; in a delta channel, it is stored once."""
    return list(writes[-1]) if writes else present


Rows = Annotated[list[Json], DeltaChannel(_keep_last, snapshot_frequency=SNAPSHOTS)]


class RefinerInput(TypedDict, total=False):
    """Which rows to refine, and how; each run on a thread says it anew."""

    # Ephemeral, so that what one run was given does not stick to the next.
    data: Annotated[str, EphemeralValue(str)]
    """A file of JSON lines; the rows stay there."""
    rows: Rows
    """The rows themselves, where there is no file."""
    mode: Annotated[Mode, EphemeralValue(str)]


class RefinerOutput(TypedDict, total=False):
    """What became of each row."""

    outcomes: Growing
    """One per row, in order: `key` is its position; see `refinement.stages`."""
    counts: Json


class RefinerState(RefinerInput, RefinerOutput, total=False):
    """Working state of the data refiner."""

    source: str
    """The file of the rows; empty if they are in the state."""
    data_hash: str
    chosen: Mode
    next: int
    """Position of the first row that is not refined yet; in HDR rounds, not asked yet."""
    round: int
    """HDR: the round that is under way, from 1; 0 before."""
    tally: Json
    """HDR: counts of that round so far."""
    rounds: list[Json]
    """HDR: counts of the rounds that are over."""


@dataclass(frozen=True)
class _Parts:
    """What the nodes work with."""

    find_client: Callable[[], ModelClient | None]
    """Gives None offline: then code alone decides."""
    judges: tuple[ModelClient, ...]
    answer: Answer | None
    train: Train | None


Node = Callable[..., Json]


def create_data_refiner(
    *,
    model: ModelLike | Callable[[], ModelLike] = "offline",
    answer: Answer | None = None,
    train: Train | None = None,
    judges: Sequence[ModelLike] | None = None,
    ledger: Ledger | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    name: str = "data_refiner",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that refines anybody's step rows (`prompt`, `completion`, `tools`).

    Input: `data` (a file of JSON lines) or `rows`, and `mode`: `fcdr` (five checks; save, drop, or
    answer anew), `split` (qualified, hard, dropped), `hdr` (split, then rounds in which the
    student answers the hard rows), or `egpo` (judge and answer anew; then AST). Output: `outcomes`
    and `counts`; `apply_outcomes` gives the rows. Knobs: `RefinementContext`.

    Args:
        model: Judges the checks and answers anew. Offline, code alone checks and repairs. A
            function that returns it is asked by the first node that needs it.
        answer: HDR's student: from rows and a number to that many messages for each row.
        train: Retrains the student on a round's new rows; without it the student stays as it is.
        judges: HDR's judges of the student's answers; all must agree. Without, the gates decide.
        ledger: Counts and limits the model calls.
        checkpointer: None inherits the parent's, or the server's.
        name: Shown in Studio and logs.

    Raises:
        ConfigurationError: a model string is unknown or its key is missing, or a judge is offline.
    """
    counted = ledger or Ledger()
    parts = _Parts(
        find_client=_find_client(model, counted),
        judges=tuple(_judge_client(each, counted) for each in judges or ()),
        answer=answer,
        train=train,
    )
    builder = StateGraph(
        RefinerState,
        context_schema=RefinementContext,
        input_schema=RefinerInput,
        output_schema=RefinerOutput,
    )
    builder.add_node("plan", _plan(parts))
    builder.add_node("check_rows", _check_rows(parts))
    builder.add_node("begin_round", _begin_round)
    builder.add_node("answer_hard", _answer_hard(parts))
    builder.add_node("train_student", _train_student(parts))
    builder.add_node("settle", _settle)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", _after_check, ["check_rows", "begin_round", "settle"])
    builder.add_conditional_edges(
        "check_rows", _after_check, ["check_rows", "begin_round", "settle"]
    )
    builder.add_conditional_edges("begin_round", _after_answers, ["answer_hard", "train_student"])
    builder.add_conditional_edges("answer_hard", _after_answers, ["answer_hard", "train_student"])
    builder.add_conditional_edges("train_student", _after_round, ["begin_round", "settle"])
    builder.add_edge("settle", END)
    graph = builder.compile(checkpointer=checkpointer, name=name)
    return graph.with_config(recursion_limit=1_000_000)  # a step per batch, whatever they need


def _find_client(
    model: ModelLike | Callable[[], ModelLike], ledger: Ledger
) -> Callable[[], ModelClient | None]:
    if isinstance(model, str | BaseChatModel):
        client = _client("refine_judge", model, ledger)
        return lambda: client
    return cache(lambda: _client("refine_judge", model(), ledger))


def _client(role: str, model: ModelLike, ledger: Ledger) -> ModelClient | None:
    loaded = load_model(model)
    if isinstance(loaded, OfflineChatModel):
        return None
    return ModelClient(role, loaded, model_id=model_id(loaded), ledger=ledger, limiter=Limiter())


def _judge_client(model: ModelLike, ledger: Ledger) -> ModelClient:
    client = _client("refine_score", model, ledger)
    if client is None:
        msg = "the offline model cannot be one of `judges`; name chat models, or pass no judges"
        raise ConfigurationError(msg)
    return client


def _scope(runtime: Runtime[RefinementContext], node: str) -> CallScope:
    info = runtime.execution_info
    return CallScope(thread_id=(info.thread_id if info else None) or "", node=node)


def _load(state: RefinerState) -> tuple[Sequence[Json], str]:
    """Return the rows and their hash.

    Raises:
        ConfigurationError: they cannot be read, or have changed since the run began.
    """
    if state["source"]:
        rows, found = read_rows(state["source"])
    else:
        rows, found = tuple(state.get("rows") or ()), ""  # they cannot change in the thread
    expected = state.get("data_hash")
    if expected and expected != found:
        msg = f"{state['source']!r} has changed since this run began; begin another thread for it"
        raise ConfigurationError(msg)
    return rows, found


def _plan(parts: _Parts) -> Node:
    def plan(state: RefinerState) -> Json:
        mode = state.get("mode") or "fcdr"
        if mode not in get_args(Mode):
            msg = f"unknown mode {mode!r}; use one of {list(get_args(Mode))}"
            raise ConfigurationError(msg)
        if mode == "hdr" and parts.answer is None:
            msg = "mode 'hdr' needs a student: --student, or create_data_refiner(answer=...)"
            raise ConfigurationError(msg)
        source = state.get("data") or ""
        rows, found = _load({**state, "source": source, "data_hash": ""})
        if not rows:
            msg = "there are no rows to refine; pass `data` (a file of JSON lines) or `rows`"
            raise ConfigurationError(msg)
        # An earlier run on the same thread may have left some.
        return {
            **({"rows": []} if source else {}),
            "chosen": mode,
            "source": source,
            "data_hash": found,
            "next": 0,
            "round": 0,
            "tally": {},
            "rounds": [],
            "outcomes": Overwrite([]),
            "counts": {"planned": len(rows)},
        }

    return plan


def _check_rows(parts: _Parts) -> Node:
    def check_rows(
        state: RefinerState, config: RunnableConfig, runtime: Runtime[RefinementContext]
    ) -> Json:
        context = RefinementContext.resolve(runtime.context)
        rows, _ = _load(state)
        first = state["next"]
        batch = rows[first : first + context.batch]
        refine = _row_refiner(state["chosen"], parts, context, _scope(runtime, "check_rows"))
        results = _map(refine, batch, config, parallel=parts.find_client() is not None)
        outcomes = [
            {"key": str(number), **result} for number, result in enumerate(results, start=first)
        ]
        return {"outcomes": outcomes, "next": first + len(batch)}

    return check_rows


def _row_refiner(
    mode: Mode, parts: _Parts, context: RefinementContext, scope: CallScope
) -> Callable[[Json], Json]:
    client = parts.find_client()
    refine: Callable[..., Json]
    asked: dict[str, Callable[..., Any]] = {"judge": make_judge(client, scope)} if client else {}
    if mode in ("split", "hdr"):
        refine = split_row
    else:
        refine = partial(refine_row if mode == "fcdr" else prepare_row, most=context.regenerations)
        asked |= {"regenerate": make_regenerate(client, scope)} if client else {}
    if client and mode == "egpo":
        asked["needs_call"] = make_needs_call(client, scope)
    return lambda row: attempt(refine, row, otherwise=unreadable_row(), **asked)


def _map(
    work: Callable[[Any], Any], items: Sequence[Any], config: RunnableConfig, *, parallel: bool
) -> list[Any]:
    """Apply `work` to each item in order; where it waits for a model, to several at once."""
    if not parallel:
        return [work(item) for item in items]
    with get_executor_for_config(config) as executor:
        return list(executor.map(work, items))


def _begin_round(state: RefinerState) -> Json:
    tally = {"round": state["round"] + 1, "asked": 0, "answers": 0, "passed_gates": 0, "kept": 0}
    return {"round": state["round"] + 1, "next": 0, "tally": tally}


def _hard_keys(state: RefinerState) -> list[int]:
    return [int(each["key"]) for each in state["outcomes"] if each["outcome"] == "hard"]


def _answer_hard(parts: _Parts) -> Node:
    def answer_hard(
        state: RefinerState, config: RunnableConfig, runtime: Runtime[RefinementContext]
    ) -> Json:
        assert parts.answer is not None  # `plan` has made sure
        context = RefinementContext.resolve(runtime.context)
        scope = _scope(runtime, "answer_hard")
        rows, _ = _load(state)
        keys = [key for key in _hard_keys(state) if key >= state["next"]][: context.batch]
        asked = [
            {"prompt": rows[key]["prompt"], "tools": read_tools(rows[key].get("tools"))}
            for key in keys
        ]
        answers = parts.answer(asked, context.samples)
        if len(answers) != len(keys):
            msg = f"the student answered {len(answers)} of {len(keys)} rows; it must answer each"
            raise ConfigurationError(msg)
        client = parts.find_client()
        judge = make_judge(client, scope) if client else None
        judged = {int(each["key"]) for each in state["outcomes"] if each.get("judged")}

        def gate(pair: tuple[int, Sequence[Json]]) -> tuple[list[Json], Json | None]:
            row = rows[pair[0]]
            passing = find_passing(row, pair[1], judge, judged=pair[0] in judged)
            for each in passing:
                if score_answer(parts.judges, Step(row, each), context.tau, scope) == 1:
                    return passing, each
            return passing, None

        parallel = bool(parts.judges or client)
        gated = _map(gate, list(zip(keys, answers, strict=True)), config, parallel=parallel)
        return _note_answers(state, keys, answers, gated)

    return answer_hard


def _note_answers(
    state: RefinerState,
    keys: Sequence[int],
    answers: Sequence[Sequence[Json]],
    gated: Sequence[tuple[list[Json], Json | None]],
) -> Json:
    before = {each["key"]: each for each in state["outcomes"]}
    won = [
        {
            **before[str(key)],
            "outcome": "recovered",
            "round": state["round"],
            "completion": kept,
        }
        for key, (_, kept) in zip(keys, gated, strict=True)
        if kept is not None
    ]
    added = {
        "asked": len(keys),
        "answers": sum(map(len, answers)),
        "passed_gates": sum(len(passing) for passing, _ in gated),
        "kept": len(won),
    }
    tally = {name: value + added.get(name, 0) for name, value in state["tally"].items()}
    return {"outcomes": won, "tally": tally, "next": keys[-1] + 1}


def _train_student(parts: _Parts) -> Node:
    def train_student(state: RefinerState) -> Json:
        new = [each for each in state["outcomes"] if each.get("round") == state["round"]]
        if new and parts.train is not None:
            rows, _ = _load(state)
            parts.train(apply_outcomes(rows, new, ("recovered",)), state["round"])
        return {"rounds": [*state["rounds"], state["tally"]]}

    return train_student


def _settle(state: RefinerState) -> Json:
    return {"counts": count_outcomes(state["outcomes"], state["rounds"])}


def _after_check(state: RefinerState) -> str:
    if state["next"] < state["counts"]["planned"]:
        return "check_rows"
    return "begin_round" if state["chosen"] == "hdr" and _hard_keys(state) else "settle"


def _after_answers(state: RefinerState) -> str:
    waiting = any(key >= state["next"] for key in _hard_keys(state))
    return "answer_hard" if waiting else "train_student"


def _after_round(state: RefinerState, runtime: Runtime[RefinementContext]) -> str:
    most = RefinementContext.resolve(runtime.context).max_rounds
    return "begin_round" if _hard_keys(state) and state["round"] < most else "settle"
