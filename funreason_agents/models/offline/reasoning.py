"""The offline model as reasoning agent: one step of acting, from the messages alone.

The next tool comes from the hint's composition, else from the likeness of request and tool
descriptions. Arguments come by label from the request, else by key from results, latest first.
Each critique of a parameter moves that parameter on to its next candidate: a real correction.
Without a hint it may find that no tool fits, or that a value is missing, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from funreason_agents.models.offline.binding import Binding, bind, find_unbound, is_about
from funreason_agents.models.offline.language import describe_result, effect_of, split_requests
from funreason_agents.models.offline.likeness import ENOUGH, effects_of, likeness
from funreason_agents.models.offline.scene import Call, Scene, read_scene
from funreason_agents.schemas.words import content_words, humanize

_TRIES = 2
"""A planned step that failed this often is given up."""

_MOST_AT_ONCE = 16

Tool = dict[str, Any]


def reason(
    notes: dict[str, Any], messages: Sequence[BaseMessage], tools: Sequence[Tool]
) -> AIMessage:
    """Take the next step: tool calls, a question, a refusal, or the closing reply."""
    scene = read_scene(notes, messages, tools)
    named = {tool["name"]: tool for tool in tools}
    hinted = list(notes.get("composition") or [])
    plan = [named[name] for name in hinted if name in named]
    if not hinted and tools:
        decision = _decide(scene, tools)
        if isinstance(decision, AIMessage):
            return decision
        plan = decision
    left = _find_left(plan, scene)
    if not left:
        return _reply(scene, tools)
    batch = _bind_batch(left, scene)
    if not batch:
        return _give_up(left[0][1])
    number = sum(isinstance(message, ToolMessage) for message in messages)
    thoughts = [
        f"Next: {effect_of(tool.get('description', ''))}. {binding.told}" for tool, binding in batch
    ]
    return AIMessage(
        content=[{"type": "reasoning", "reasoning": " ".join(thoughts).strip()}],
        tool_calls=[
            {"name": tool["name"], "args": binding.arguments, "id": f"call_{number + position}"}
            for position, (tool, binding) in enumerate(batch)
        ],
    )


def _find_left(plan: Sequence[Tool], scene: Scene) -> list[tuple[int, Tool]]:
    """Return the steps of the plan, with their places, that no call has done yet."""
    done = [call.name for call in scene.calls]
    left = []
    for step, tool in enumerate(plan):
        if tool["name"] in done:
            done.remove(tool["name"])
        else:
            left.append((step, tool))
    return left


def _bind_batch(left: Sequence[tuple[int, Tool]], scene: Scene) -> list[tuple[Tool, Binding]]:
    """Bind the next step, and in parallel mode those after it that need none of its results.

    Returns:
        Nothing if the next step failed too often or has no arguments left to try.
    """
    batch: list[tuple[Tool, Binding]] = []
    most = _largest_batch(scene)
    for step, tool in left[:most]:
        failures = sum(call.name == tool["name"] for call in scene.failed)
        binding = bind(tool, scene, step) if failures < _TRIES else None
        if binding is None:
            break
        before = [earlier for earlier, _ in batch]
        if batch and not _is_independent(tool, binding, before, scene, step):
            break
        batch.append((tool, binding))
        # What a call of the batch has used up is not for the next one.
        pending = Call(tool["name"], binding.arguments, None, failed=False)
        scene = replace(scene, calls=[*scene.calls, pending], made=scene.made + 1)
    return batch


def _largest_batch(scene: Scene) -> int:
    """Return how many calls may stand in one message.

    Where the calls were batched in a wrong way, the first one, a login perhaps, goes alone; then
    no more than two go together.
    """
    blamed = sum(critique.get("kind") == "separate_calls" for critique in scene.critiques)
    if not scene.parallel or (blamed and not scene.calls):
        return 1
    return 2 if blamed > 1 else _MOST_AT_ONCE


def _is_independent(
    tool: Tool, binding: Binding, before: Sequence[Tool], scene: Scene, step: int
) -> bool:
    """Whether nothing in a call's arguments is likely to come from calls whose results are due."""
    blamed = any(
        critique.get("kind") in ("wrong_source", "wrong_tool")
        and is_about(critique, tool, scene, step)
        for critique in scene.critiques
    )
    if blamed or find_unbound(tool, scene):
        return False
    due = [content_words(each.get("description", "")) for each in before]
    return not any(
        option.source != "the request" and any(content_words(name) <= words for words in due)
        for name, option in binding.chosen.items()
    )


def _decide(scene: Scene, tools: Sequence[Tool]) -> AIMessage | list[Tool]:
    """Without a hint: return what to call for the request, or say why nothing can be called."""
    kinds = [critique.get("kind") for critique in scene.critiques]
    wanted = _choose_tools(scene, tools, skip=kinds.count("wrong_tool"))
    plan: list[Tool] = []
    lacking = None
    for _, tool, _ in wanted:
        plan, needed = _resolve(tool, scene, tools, plan, ())
        lacking = lacking or (needed, tool) if needed else lacking
    if scene.calls or scene.failed or "missing_call" in kinds:
        return plan
    last = scene.critiques[-1] if scene.critiques else {}
    if last.get("kind") == "bad_reply" and last.get("parameter"):
        return _ask(str(last["parameter"]), wanted[0][1])
    unserved = next((effect for effect, _, score in wanted if score < ENOUGH), None)
    if unserved is not None:
        return _decline(unserved)
    if "extra_call" in kinds:
        lacking = lacking or _find_untold(plan, scene)
    if lacking is None and "extra_call" not in kinds:
        return plan
    if lacking is None or last.get("kind") == "bad_reply":
        return _decline(wanted[0][0])
    return _ask(*lacking)


def _choose_tools(scene: Scene, tools: Sequence[Tool], skip: int) -> list[tuple[str, Tool, float]]:
    """Return (what is asked for, the tool most like it, how like) for each request.

    Args:
        scene: What is known.
        tools: The bound tools.
        skip: How many of the best tools were wrong.
    """
    effects, chosen = effects_of(tools), []
    for effect, said in split_requests(scene.asked) or [("", scene.asked)]:
        scores = likeness(said, effects)
        names = [tool["name"] for tool in tools]
        ranked = sorted(range(len(tools)), key=lambda n: (-scores[n], names[n]))
        best = ranked[skip % len(ranked)]
        chosen.append((effect, tools[best], scores[best]))
    return chosen


def _resolve(
    tool: Tool, scene: Scene, tools: Sequence[Tool], plan: list[Tool], path: tuple[str, ...]
) -> tuple[list[Tool], str | None]:
    """Return the plan with a tool and what it needs, and the first value that only the user has.

    A required value that is nowhere to be found may be what another tool is there for.
    """
    lacking = None
    path = (*path, tool["name"])
    for name in find_unbound(tool, scene):
        if any(_gives(each, name) for each in plan):
            continue
        others = (each for each in tools if each["name"] not in path and _gives(each, name))
        provider = next((each for each in others if _is_there_for(each, name)), None)
        needed: str | None = name
        if provider is not None:
            plan, needed = _resolve(provider, scene, tools, plan, path)
        lacking = lacking or needed
    return [*plan, tool], lacking


def _gives(tool: Tool, parameter: str) -> bool:
    """Whether a tool's description, which says what it returns, speaks of a parameter."""
    return content_words(parameter) <= content_words(tool.get("description", ""))


def _is_there_for(tool: Tool, parameter: str) -> bool:
    """Whether a parameter is what a tool is for, and not just something it returns as well."""
    return bool(content_words(parameter) & content_words(effect_of(tool.get("description", ""))))


def _find_untold(plan: Sequence[Tool], scene: Scene) -> tuple[str, Tool] | None:
    """Return the first required value that neither the request nor a step before gives."""
    for step, tool in enumerate(plan):
        for name in find_unbound(tool, scene, by_user=True):
            if not any(_gives(each, name) for each in plan[:step]):
                return name, tool
    return None


def _ask(parameter: str, tool: Tool) -> AIMessage:
    purpose = _spoken(effect_of(tool.get("description", "")))
    return AIMessage(f"What is the {humanize(parameter)}? I need it to {purpose or 'go on'}.")


def _decline(effect: str) -> AIMessage:
    wanted = _spoken(effect)
    return AIMessage(f"I cannot do that: none of my tools can {wanted or 'do what you ask for'}.")


def _give_up(tool: Tool) -> AIMessage:
    purpose = _spoken(effect_of(tool.get("description", "")))
    return AIMessage(f"That did not work. I could not {purpose or 'do what you asked for'}.")


def _spoken(effect: str) -> str:
    """Return an effect as it can stand in a reply; empty if it holds what reads as a value."""
    return "" if re.search(r"[\d\"\[\]{}:]", effect) else effect


def _reply(scene: Scene, tools: Sequence[Tool]) -> AIMessage:
    if not scene.calls:
        return AIMessage("There is nothing that I can do for this request.")
    asked_for = content_words(scene.query)
    described = {tool["name"]: tool.get("description", "") for tool in tools}
    said = [
        describe_result(call.content)
        for step, call in enumerate(scene.calls)
        if step == len(scene.calls) - 1 or _is_asked_for(described.get(call.name, ""), asked_for)
    ]
    told = ". ".join(part for part in said if part)
    return AIMessage(f"Done. {told}." if told else "Done.")


def _is_asked_for(description: str, asked_for: frozenset[str]) -> bool:
    """Whether the request speaks of what this call does; otherwise it was only a means."""
    words = content_words(effect_of(description))
    return bool(words) and len(words & asked_for) >= 0.8 * len(words)
