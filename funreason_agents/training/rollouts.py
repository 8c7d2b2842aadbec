"""What a policy is set to do and how it is rewarded: single messages, or live episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from funreason_agents.environments.base import Environment
from funreason_agents.errors import EnvError, TrainingError
from funreason_agents.training.egpo import OPEN, Written
from funreason_agents.training.episodes import Episode, Sessions, World, make_worlds
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rewards import Outcome, judge_answer
from funreason_agents.training.rows import Row
from funreason_agents.training.run_record import hash_rows
from funreason_agents.training.template import render

Reward = Callable[..., list[float | None]]
"""A reward function as TRL calls it: with a list for each column, one entry for each rollout."""


@dataclass(frozen=True)
class Assignment:
    """Prompts, their reward, and for live episodes the worlds that they are played in."""

    prompts: Dataset
    reward: Reward
    data_hash: str
    given: int
    """Items that there were, before those with too long a prompt were left out."""
    worlds: dict[str, type[World]] | None = None
    offered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Schemas of the tools of each world."""
    sessions: Sessions | None = None
    """Where the worlds are played."""

    def close(self) -> None:
        """Close the sessions of the worlds."""
        if self.sessions is not None:
            self.sessions.close()


def assign_messages(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, config: ReinforceConfig
) -> Assignment:
    """Return the assignment to write the single messages that step rows hold (EGPO).

    Prompts are passed to TRL as text: the tools differ from row to row, and TRL would render the
    same ones for all.

    Raises:
        TrainingError: there are too few rows, or one cannot be rendered.
    """
    texts = [_render_prompt(tokenizer, number, row) for number, row in enumerate(rows, start=1)]
    kept = [n for n, (_, size) in enumerate(texts) if size <= config.max_prompt_length]
    _require_enough(len(kept), len(rows), config)
    _require_readable(tokenizer, [rows[n] for n in kept])

    def reward(
        item: Sequence[int],
        written: Sequence[Sequence[Written]],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        judged = []
        for number, messages in zip(item, written, strict=True):
            opening = _find_opening(texts[number][0])
            message = messages[0] if messages else Written("", finished=False)
            judged.append(
                judge_answer(
                    opening + message.text,
                    rows[number]["completion"][0],
                    rows[number]["tools"],
                    finished=message.finished,
                    require_reasoning=config.require_reasoning,
                )
            )
        counts = Counter(each.outcome for each in judged)
        for outcome in get_args(Outcome):
            log_metric(f"outcome/{outcome}", counts[outcome] / len(judged))
        return [each.reward for each in judged]

    prompts = Dataset.from_dict({"prompt": [texts[n][0] for n in kept], "item": kept})
    return Assignment(prompts, reward, hash_rows(rows), len(rows))


def _find_opening(prompt: str) -> str:
    """Return what stands of the answer already at the end of the prompt: an open think tag."""
    return f"{OPEN}\n" if prompt.rstrip().endswith(OPEN) else ""


def _require_readable(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> None:
    """Check that the reward reads a call in the form in which the template writes it.

    Raises:
        TrainingError: it does not, so that no answer could ever be right.
    """
    row = next((each for each in rows if each["completion"][0].get("tool_calls")), None)
    if row is None:
        return
    # Not every template trims what it is given, but here it is judged, not the row.
    answer = {
        name: each.strip() if isinstance(each, str) else each
        for name, each in row["completion"][0].items()
    }
    start = len(render(tokenizer, row["prompt"], row["tools"], add_generation_prompt=True))
    whole = render(tokenizer, [*row["prompt"], answer], row["tools"])
    written = str(tokenizer.decode(whole[start:])).partition(str(tokenizer.eos_token))[0]
    text = _find_opening(str(tokenizer.decode(whole[:start]))) + written
    if not judge_answer(text, answer, row["tools"], require_reasoning=False).reward:
        msg = (
            f"the chat template writes a call as {text[-200:]!r}, which the reward does not read; "
            "pass a template that writes calls as JSON in <tool_call> tags, or none to take ours"
        )
        raise TrainingError(msg)


def _render_prompt(tokenizer: PreTrainedTokenizerBase, number: int, row: Row) -> tuple[str, int]:
    """Return the text of a prompt, and its length in tokens."""
    ids = render(tokenizer, row["prompt"], row["tools"], add_generation_prompt=True)
    text = str(
        tokenizer.apply_chat_template(
            row["prompt"], tools=row["tools"] or None, add_generation_prompt=True, tokenize=False
        )
    )
    begin = tokenizer.bos_token or ""
    # TRL tokenizes the text, whereby some tokenizers put a token before it that it already has.
    for each in (text, text.removeprefix(begin)):
        if tokenizer(each)["input_ids"] == ids:
            return each, len(ids)
    msg = (
        f"row {number}: as text its prompt has other tokens than as a conversation. Does a message "
        "hold a special token of the model? Leave the row out"
    )
    raise TrainingError(msg)


def assign_episodes(
    episodes: Sequence[Episode],
    environment: Environment,
    tokenizer: PreTrainedTokenizerBase,
    config: ReinforceConfig,
) -> Assignment:
    """Return the assignment to play episodes.

    Raises:
        TrainingError: there are too few episodes, one cannot be rendered, or calls in the form of
            the template cannot be read.
    """
    offered = {each.world: [tool.to_function() for tool in each.offered] for each in episodes}
    kept = [
        each
        for each in episodes
        if len(render(tokenizer, each.prompt, offered[each.world], add_generation_prompt=True))
        <= config.max_prompt_length
    ]
    _require_enough(len(kept), len(episodes), config)
    rows = [_to_row(each, offered[each.world], config) for each in kept]
    _require_readable(tokenizer, rows)
    prompt = render(tokenizer, rows[0]["prompt"], rows[0]["tools"], add_generation_prompt=True)
    opening = _find_opening(str(tokenizer.decode(prompt)))

    def reward(
        environments: Sequence[World],
        written: Sequence[Sequence[Written]],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        scores = [
            world._score(
                [opening + message.text for message in messages],
                finished=bool(messages) and messages[-1].finished,
                require_reasoning=config.require_reasoning,
            )
            for world, messages in zip(environments, written, strict=True)
        ]
        done = [score for score in scores if score is not None]
        if not done:
            msg = (
                "the world broke in every episode that this process played; `funreason doctor` may "
                "tell why"
            )
            raise EnvError(msg)
        log_metric("episode/success", sum(score.success for score in done) / len(done))
        log_metric("episode/progress", sum(score.progress for score in done) / len(done))
        log_metric("episode/broken", 1 - len(done) / len(scores))
        weight = config.progress_weight
        return [None if score is None else score.to_reward(weight) for score in scores]

    def show(batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        # Made when it is read: a table would fill the arguments of calls up with each other's.
        chosen = [kept[number] for number in batch["item"]]
        return {
            "prompt": [list(each.prompt) for each in chosen],
            "environment": [each.world for each in chosen],
            "episode": [each.id for each in chosen],
        }

    prompts = Dataset.from_dict({"item": list(range(len(kept)))}).with_transform(show)
    told = [{"id": each.id, "prompt": list(each.prompt)} for each in episodes]
    sessions = Sessions(environment)
    worlds = make_worlds(environment, kept, sessions)
    return Assignment(prompts, reward, hash_rows(told), len(episodes), worlds, offered, sessions)


def _to_row(episode: Episode, tools: list[dict[str, Any]], config: ReinforceConfig) -> Row:
    """Return an episode's first answer as a step row."""
    answer: dict[str, Any] = {"role": "assistant", "content": ""}
    if config.require_reasoning:
        answer["reasoning_content"] = "First things first."
    answer["tool_calls"] = [
        {"type": "function", "function": {"name": each.call.name, "arguments": each.call.arguments}}
        for each in episode.trace.calls[:1]
    ]
    return {"prompt": list(episode.prompt), "completion": [answer], "tools": tools}


def _require_enough(kept: int, given: int, config: ReinforceConfig) -> None:
    if kept < config.prompts_per_generation:
        long = given - kept
        msg = (
            f"{kept} prompts of {given} can be used, and a round of rollouts needs "
            f"{config.prompts_per_generation} (prompts_per_step x steps_per_generation): lower "
            "prompts_per_step or give more rows"
        )
        if long:
            msg += (
                f"; {long} were left out, since they have more than max_prompt_length="
                f"{config.max_prompt_length} tokens, or no room in the model's context for "
                f"max_completion_length={config.max_completion_length} more"
            )
        raise TrainingError(msg)
