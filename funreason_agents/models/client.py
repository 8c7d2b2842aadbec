"""One client per role: asks a model for an object, or for one step of acting."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import BaseModel

from funreason_agents.errors import (
    FunReasonError,
    ModelOutputError,
    PermanentModelError,
    StoppedError,
    TransientModelError,
)
from funreason_agents.models.calls import (
    Answer,
    count_tokens,
    parse_object,
    read_usage,
    require_sound,
    split_reasoning,
)
from funreason_agents.models.ledger import Ledger, Reservation
from funreason_agents.models.limiter import Limiter, Outcome
from funreason_agents.models.means import Means, bind_schema, find_means, is_about_means
from funreason_agents.models.text_calls import find_text_calls, to_text_chat
from funreason_agents.models.trouble import classify_trouble
from funreason_agents.models.usage import CallScope, Usage

__all__ = ["CallScope", "ModelClient", "Retries"]

REPAIRS = 2
"""How often an answer that cannot be used is sent back with the error."""
QUOTED = 2000
"""Characters of such an answer that are sent back: it may be endless repetition."""

_REPAIRABLE = {"empty", "truncated", "malformed", "wrong_schema", "too_long", "too_many_calls"}
_logger = logging.getLogger(__name__)
_NOTHING = Usage(0, 0, 0, estimated=False)


@dataclass(frozen=True)
class Retries:
    """How often, and after how many seconds, a request that was not answered is sent again."""

    attempts: int = 8
    first: float = 0.5
    longest: float = 30.0
    total: float = 900.0
    """Seconds after the first sending in which it is sent again; requests may take long, too."""

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Return the seconds to wait after `attempt` requests: longer each time, with jitter."""
        backoff = min(self.longest, self.first * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)
        return max(backoff, min(self.longest, retry_after or 0.0))


@dataclass
class _Request:
    """One call, as often as it is sent."""

    runnable: Runnable[Any, Any]
    messages: Sequence[BaseMessage]
    tools: Sequence[dict[str, Any]]
    scope: CallScope
    sent: int = field(default=0)

    def count_tokens(self) -> int:
        return count_tokens(self.messages, self.tools)


class ModelClient:
    """The chat model of one role.

    Trouble of the provider is waited out here: the identical request is sent again, so that it
    leaves no trace in any record. What cannot be waited out is raised, by type.
    """

    def __init__(
        self,
        role: str,
        model: BaseChatModel,
        *,
        model_id: str = "",
        ledger: Ledger | None = None,
        limiter: Limiter | None = None,
        retries: Retries | None = None,
    ) -> None:
        """Speak to `model` as `role`.

        Args:
            role: Who speaks.
            model: The chat model.
            model_id: What identifies it in the ledger and in the price table.
            ledger: Counts and limits the calls; its `stopping` ends all waiting.
            limiter: Shared by the clients of one provider.
            retries: How provider trouble is waited out.
        """
        self.role = role
        self.model = model
        self.model_id = model_id or type(model).__name__
        self._ledger = ledger or Ledger()
        self._limiter = limiter or Limiter()
        self._retries = retries or Retries()
        self._settled: dict[Hashable, Means] = {}
        """The means that worked, by schema; `None` stands for acting."""
        self._settling = threading.Lock()
        self._bound: dict[tuple[Means, type[BaseModel]], Runnable[Any, Any]] = {}

    def ask(self, prompt: str, schema: type[Answer], scope: CallScope) -> Answer:
        """Ask for one JSON object and parse it; one that is not valid is sent back with the error.

        Raises:
            ModelOutputError: no valid object after `REPAIRS` repairs.
            TransientModelError: the provider could not answer, however often it was asked.
            PermanentModelError: the provider refused.
            BudgetExceededError: the call would exceed a limit.
            StoppedError: the run is stopping.
        """
        messages: list[BaseMessage] = [HumanMessage(prompt)]
        for _ in range(1 + REPAIRS):
            said = ""
            try:
                answer = self._ask_once(messages, schema, scope)
                said = _object_text(answer)
                return parse_object(said, schema)
            except ModelOutputError as exc:
                if exc.kind not in _REPAIRABLE:
                    raise
                fault = exc
            messages += [
                AIMessage(said[:QUOTED] or "..."),
                HumanMessage(
                    f"That was not valid: {str(fault)[:QUOTED]}\n"
                    "Answer again, with the JSON object only."
                ),
            ]
        msg = f"no valid {schema.__name__} after {REPAIRS} repairs: {str(fault)[:300]}"
        raise ModelOutputError(msg, fault.kind) from fault

    def act(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], scope: CallScope
    ) -> AIMessage:
        """Return one step of acting; calls that were written as text come as tool calls too.

        Args:
            messages: The chat so far.
            tools: The tools, in OpenAI's form.
            scope: Which call this is.

        Raises:
            ModelOutputError: the answer is cut off, withheld, out of bounds, or empty.
            TransientModelError: the provider could not answer, however often it was asked.
            PermanentModelError: the provider refused.
            BudgetExceededError: the call would exceed a limit.
            StoppedError: the run is stopping.
        """

        def send(means: Means) -> AIMessage:
            if means == "text":
                return self._send(self.model, to_text_chat(messages, tools), (), scope)
            return self._send(self.model.bind_tools(list(tools)), messages, tools, scope)

        profile = getattr(self.model, "profile", None) or {}
        offered: tuple[Means, ...] = ("tool", "text")
        answer = self._negotiate(
            None, offered[1:] if profile.get("tool_calling") is False else offered, send
        )
        names = {str(tool["function"]["name"]) for tool in tools}
        return answer if answer.tool_calls else _read_text_calls(answer, names)

    def _ask_once(
        self, messages: Sequence[BaseMessage], schema: type[BaseModel], scope: CallScope
    ) -> AIMessage:
        def send(means: Means) -> AIMessage:
            bound = self._bound.get((means, schema))
            if bound is None:
                bound = self._bound[means, schema] = bind_schema(self.model, means, schema)
            return self._send(bound, messages, (), scope)

        return self._negotiate(schema, find_means(self.model), send)

    def _negotiate(
        self, key: Hashable, offered: Sequence[Means], send: Callable[[Means], AIMessage]
    ) -> AIMessage:
        """Send by the best means that the server does not refuse, and remember it."""
        settled = self._settled.get(key)
        if settled is not None:
            return send(settled)
        for means, following in pairwise(offered):
            try:
                return self._try_means(key, means, offered, send)
            except NotImplementedError:
                why = "the model cannot bind tools"
            except PermanentModelError as exc:
                # Where another thread was answered by it meanwhile, the means is not the trouble.
                if not is_about_means(exc) or self._settled.get(key) == means:
                    raise
                why = str(exc)
            form = (self.role, self.model_id, following, means, why)
            _logger.warning("%s: %s is asked by %r, since %r is refused: %s", *form)
        return self._try_means(key, offered[-1], offered, send)

    def _try_means(
        self,
        key: Hashable,
        means: Means,
        offered: Sequence[Means],
        send: Callable[[Means], AIMessage],
    ) -> AIMessage:
        try:
            answer = send(means)
        except ModelOutputError as exc:
            if exc.kind != "context_too_long":  # the server did not mind the means
                self._settle_on(key, means, offered)
            raise
        self._settle_on(key, means, offered)
        return answer

    def _settle_on(self, key: Hashable, means: Means, offered: Sequence[Means]) -> None:
        """Remember a means that worked, or the better one that worked in another thread."""
        with self._settling:
            held = self._settled.get(key, means)
            self._settled[key] = min(held, means, key=offered.index)

    def _send(
        self,
        runnable: Runnable[Any, Any],
        messages: Sequence[BaseMessage],
        tools: Sequence[dict[str, Any]],
        scope: CallScope,
    ) -> AIMessage:
        """Make one call, and write down what it came to."""
        request = _Request(runnable, messages, tools, scope)
        reservation = self._ledger.reserve(
            scope,
            role=self.role,
            model=self.model_id,
            input_tokens=request.count_tokens() if self._ledger.limits_tokens else 0,
        )
        answer, outcome = None, "interrupted"
        try:
            answer = self._deliver(request, reservation)
            require_sound(answer, getattr(self.model, "max_tokens", None))
            outcome = "ok"
        except ModelOutputError as exc:
            outcome = exc.kind
            raise
        except FunReasonError as exc:
            outcome = type(exc).__name__
            raise
        finally:
            if request.sent:
                usage = read_usage(answer, request.count_tokens) if answer is not None else _NOTHING
                self._ledger.settle(
                    reservation,
                    usage,
                    outcome=outcome,
                    answered=answer is not None,
                    attempts=request.sent,
                )
            else:
                self._ledger.cancel(reservation)
        return answer

    def _deliver(self, request: _Request, reservation: Reservation) -> AIMessage:
        """Send the request until it is answered."""
        began = time.monotonic()
        while True:
            try:
                return self._send_once(request, reservation)
            except TransientModelError as exc:
                trouble = exc
            delay = self._retries.delay(request.sent, trouble.retry_after)
            spent = time.monotonic() - began + delay
            if request.sent >= self._retries.attempts or spent > self._retries.total:
                raise trouble
            if self._ledger.stopping.wait(max(0.0, min(delay, self._ledger.seconds_left))):
                raise StoppedError(_STOPPING) from trouble

    def _send_once(self, request: _Request, reservation: Reservation) -> AIMessage:
        since = self._limiter.acquire(self._ledger.stopping)
        if since is None:
            raise StoppedError(_STOPPING)
        outcome: Outcome = "neither"
        pause = None
        try:
            self._ledger.require_time(reservation)
            request.sent += 1
            try:
                answer = _invoke(request.runnable, list(request.messages))
            except Exception as exc:
                trouble = classify_trouble(exc, self.model)
                if isinstance(trouble, TransientModelError):
                    outcome = "overloaded" if trouble.overloaded else outcome
                    pause = trouble.retry_after
                if trouble is exc:
                    raise
                raise trouble from exc
            outcome = "answered"
        finally:
            pause = min(pause, self._retries.longest) if pause else None
            self._limiter.release(since, outcome, retry_after=pause)
        if not isinstance(answer, AIMessage):
            msg = f"the model answered with {type(answer).__name__}, not with an AIMessage"
            raise ModelOutputError(msg)
        return answer


def _invoke(runnable: Runnable[Any, Any], messages: list[BaseMessage]) -> Any:
    """Invoke a model; one with bound arguments directly, since a binding copies all callbacks."""
    if isinstance(runnable, RunnableBinding) and not (runnable.config or runnable.config_factories):
        return runnable.bound.invoke(messages, **runnable.kwargs)
    return runnable.invoke(messages)


_STOPPING = "the run is stopping; the call was given up while it waited"


def _object_text(answer: AIMessage) -> str:
    """Return the text in which the object should stand: a forced call's arguments, or the text."""
    if answer.tool_calls:
        return json.dumps(answer.tool_calls[0]["args"], ensure_ascii=False)
    if answer.invalid_tool_calls:
        return answer.invalid_tool_calls[0]["args"] or ""
    return split_reasoning(answer)[1]


def _read_text_calls(answer: AIMessage, names: set[str]) -> AIMessage:
    reasoning, text = split_reasoning(answer)
    calls, rest = find_text_calls(text, names)
    if not calls:
        return answer
    kept = {"reasoning_content": reasoning} if reasoning else {}
    found = AIMessage(
        rest,
        tool_calls=[
            {"name": name, "args": arguments, "id": f"text_{position}", "type": "tool_call"}
            for position, (name, arguments) in enumerate(calls)
        ],
        additional_kwargs={**answer.additional_kwargs, **kept},
    )
    require_sound(found)
    return found
