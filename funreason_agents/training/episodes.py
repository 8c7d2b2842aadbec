"""Live episodes: a turn of a record, played anew in our environment through TRL's tool loop.

TRL generates, executes the calls, appends their results and generates again until the model
answers in text. It has no place for a second message of the user, so an episode is one turn: the
turns before it are in the prompt, and the world stands where they left it. A record of several
turns gives an episode for each of them.

Within an episode TRL puts the results after the very tokens that were generated. So from its second
message on, the model sees its own reasoning of this turn, which step rows, serving and the probe
leave out of the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from funreason_agents.environments.base import Environment, EnvSession, Snapshot
from funreason_agents.environments.execution import (
    PlannedCall,
    execute,
    execute_plan,
    replay_calls,
)
from funreason_agents.errors import EnvError, TrainingError
from funreason_agents.export.formats import to_chat_message
from funreason_agents.schemas.base import content_hash, result_text
from funreason_agents.schemas.record import CertifiedTurn, TrainingRecord
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.schemas.trajectory import calls_of
from funreason_agents.training.answers import parse_answer
from funreason_agents.training.tool_methods import make_method
from funreason_agents.verification.checks import (
    TurnCase,
    check_calls_match,
    check_calls_valid,
    check_end_state,
)
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.matching import match_calls, missing_results
from funreason_agents.verification.replay import split_turns


@dataclass(frozen=True)
class Episode:
    """One turn to be played: what the model is shown, where the world stands, what is right."""

    id: str
    prompt: tuple[dict[str, Any], ...]
    """The conversation up to and with the message of the user, in chat form."""
    offered: tuple[ToolSpec, ...]
    start: Snapshot
    trace: CallTrace
    """The gold calls, as executed from `start`."""
    certified: CertifiedTurn

    @property
    def world(self) -> str:
        """Names the tools that are offered: episodes that offer the same ones share a world."""
        return content_hash([tool.to_json() for tool in self.offered])


@dataclass(frozen=True)
class EpisodeScore:
    """How a played episode compares with its gold calls."""

    success: bool
    """Calls valid and matching, end state equal, template respected, closed with a reply."""
    progress: float
    """Share of the gold calls that were made, in order, up to the first that was missed."""
    failed: tuple[str, ...] = ()
    """Names of the checks that did not pass; also `template` and `closed`."""

    def to_reward(self, progress_weight: float) -> float:
        """Return `(1 - w) * success + w * progress`, which with w = 0 is EGPO's 0 or 1."""
        return (1 - progress_weight) * self.success + progress_weight * self.progress


def make_episodes(records: Sequence[TrainingRecord], environment: Environment) -> list[Episode]:
    """Return an episode for each turn of `records`, in order.

    Raises:
        TrainingError: a record is of another environment or version of its tools, or replaying
            its calls does not give the states of its certificate.
        EnvError: the environment broke.
    """
    episodes = []
    for record in records:
        certificate = record.certificate
        own = (environment.id, environment.tools_hash)
        if (certificate.environment_id, certificate.tools_hash) != own:
            msg = (
                f"record {record.id} is of {certificate.environment_id!r} or of another version "
                f"of its tools, not of this {environment.id!r}; synthesize records with it"
            )
            raise TrainingError(msg)
        session = environment.open(certificate.environment_seed)
        try:
            episodes += _replay_record(record, environment, session)
        finally:
            session.close()
    return episodes


def _replay_record(
    record: TrainingRecord, environment: Environment, session: EnvSession
) -> list[Episode]:
    """Replay the turns of a record; the session ends up after the last."""
    episodes, before = [], 0
    turns = split_turns(record.messages)
    for number, (messages, certified) in enumerate(
        zip(turns, record.certificate.turns, strict=True)
    ):
        start = session.snapshot()
        plan = [PlannedCall(call.name, call.arguments, call.origins) for call in certified.gold]
        gold = execute_plan(session, plan)
        if gold is None:
            raise _mismatch(record, number, "its gold calls cannot be executed")
        trace = CallTrace(
            environment_id=environment.id,
            seed=session.seed,
            target=certified.target,
            state_before=start.state_hash,
            calls=tuple(gold),
        )
        # A message of the user opens each turn, and what was said before is context.
        shown = record.messages[: before + 1]
        hard = certified.hard
        episode = Episode(
            id=f"{record.id}/{number}",
            prompt=tuple(to_chat_message(each, reasoning=False) for each in shown),
            offered=hard.offer(environment.tools) if hard else environment.tools,
            start=start,
            trace=trace,
            certified=certified,
        )
        episodes.append(episode)
        session.restore(start)
        done = replay_calls(session, calls_of(messages))
        if [step.state_after for step in done] != [call.state_hash for call in certified.calls]:
            raise _mismatch(record, number, "its calls give other states than its certificate")
        before += len(messages)
    return episodes


def _mismatch(record: TrainingRecord, turn: int, why: str) -> TrainingError:
    return TrainingError(
        f"record {record.id}, turn {turn}: {why}; `funreason verify` tells which records to drop"
    )


class Sessions:
    """The live copies of an environment that the episodes of a run are played in.

    TRL keeps instances of each class of world for good. The sessions are shared among them: there
    are never more than episodes played at once.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._all: list[EnvSession] = []
        self._free: list[EnvSession] = []

    def take(self, start: Snapshot) -> EnvSession:
        """Return a session that stands at `start`.

        Raises:
            EnvError: the world could not be opened or brought there.
        """
        if self._free:
            session = self._free.pop()
        else:
            session = self._environment.open(start.seed)
            self._all.append(session)
        session.restore(start)
        return session

    def give_back(self, session: EnvSession) -> None:
        """Take a session back, in whatever state it is."""
        self._free.append(session)

    def close(self) -> None:
        """Close all sessions."""
        for session in self._all:
            with suppress(EnvError):  # the run is over, or ends by another error
                session.close()
        self._all, self._free = [], []


class World:
    """What TRL takes for an environment: `reset` and one method for each tool, nothing else.

    TRL shows every public method to the model, so all that belongs to the trainer is private. Made
    by `make_world`.
    """

    _environment: ClassVar[Environment]
    _sessions: ClassVar[Sessions]
    _episodes: ClassVar[Mapping[str, Episode]]

    def __init__(self) -> None:
        self._session: EnvSession | None = None
        self._episode: Episode | None = None
        self._executed: list[ExecutedCall] = []
        self._trouble: EnvError | None = None

    def reset(self, episode: str, **_: Any) -> None:
        """Go to the start of an episode.

        Raises:
            EnvError: the world could not be opened or brought there.
        """
        self._episode = self._episodes[episode]
        self._executed, self._trouble = [], None
        self._leave()
        self._session = self._sessions.take(self._episode.start)

    def _leave(self) -> None:
        if self._session is not None:
            self._sessions.give_back(self._session)
            self._session = None

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        """Execute a call and return its result as the text of a tool message."""
        assert self._session is not None, "TRL resets before it calls"
        if self._trouble is not None:
            raise self._trouble
        planned = PlannedCall(name, arguments)
        try:
            done = execute(self._session, planned, f"call_{len(self._executed)}")
        except EnvError as exc:
            # TRL would take it for the tool's answer. The world failed here, not the model.
            self._trouble = exc
            raise
        self._executed.append(done)
        return result_text(done.result.content)

    def _score(
        self, messages: Sequence[str], *, finished: bool = True, require_reasoning: bool = True
    ) -> EpisodeScore | None:
        """End the episode and return its score as played; None if the world broke on the way.

        Args:
            messages: What the model wrote, message by message.
            finished: It ended the last of them itself.
            require_reasoning: A message without reasoning breaks the template.
        """
        assert self._episode is not None, "TRL resets before it scores"
        self._leave()
        if self._trouble is not None:
            return None
        answers = [parse_answer(message) for message in messages]
        reasoned = all((each.reasoning or "").strip() for each in answers)
        if not all(each.well_formed for each in answers) or (require_reasoning and not reasoned):
            return EpisodeScore(False, 0.0, ("template",))
        closed = finished and bool(answers) and not answers[-1].tool_calls
        # Calls of unknown tools are answered by TRL and never come here.
        unknown = sum(len(each.tool_calls) for each in answers) != len(self._executed)
        return score_calls(
            self._environment, self._episode, self._executed, closed=closed, unknown=unknown
        )


def make_world(
    environment: Environment,
    tools: Sequence[ToolSpec],
    episodes: Sequence[Episode],
    sessions: Sessions | None = None,
) -> type[World]:
    """Return a class for TRL's `environment_factory`, with one typed method for each of `tools`.

    The methods are kept under names of their own, and called by the tool's: so a tool may be
    called `reset`, or something that is no Python name.
    """
    members: dict[str, Any] = {f"tool_{n}": make_method(tool) for n, tool in enumerate(tools)}
    members["_environment"] = environment
    members["_sessions"] = sessions or Sessions(environment)
    members["_episodes"] = {episode.id: episode for episode in episodes}
    return type("World", (World,), members)


def make_worlds(
    environment: Environment, episodes: Sequence[Episode], sessions: Sessions | None = None
) -> dict[str, type[World]]:
    """Return a class for each set of tools that is offered, by `Episode.world`.

    All of them play in the same `sessions`.
    """
    sessions = sessions or Sessions(environment)
    sharing: dict[str, list[Episode]] = {}
    for episode in episodes:
        sharing.setdefault(episode.world, []).append(episode)
    return {
        name: make_world(environment, each[0].offered, each, sessions)
        for name, each in sharing.items()
    }


def score_calls(
    environment: Environment,
    episode: Episode,
    executed: Sequence[ExecutedCall],
    *,
    closed: bool = True,
    unknown: bool = False,
) -> EpisodeScore:
    """Judge the calls of an episode by the verifier's checks.

    The checks are `calls_valid`, `calls_match` in the record's mode, and `end_state`. What the
    reply says is not judged.

    Args:
        environment: Where it was played.
        episode: What was played.
        executed: The calls that were made.
        closed: The model ended the turn with a reply.
        unknown: It called a tool that was not offered.
    """
    case = TurnCase(
        environment=environment,
        query=str(episode.prompt[-1]["content"]),
        trace=episode.trace,
        messages=(),
        executed=tuple(executed),
        before=Facts(),
        mode=episode.certified.mode,
        hard=episode.certified.hard,
    )
    checks = (check_calls_valid(case), check_calls_match(case), check_end_state(case))
    failed: list[str] = [check.name for check in checks if not check.passed]
    failed += ["calls_valid"] if unknown and "calls_valid" not in failed else []
    failed += [] if closed else ["closed"]
    progress = 0.0 if failed else 1.0
    if failed and episode.trace.calls:
        progress = _progress(episode, executed)
    return EpisodeScore(not failed, progress, tuple(failed))


def _progress(episode: Episode, executed: Sequence[ExecutedCall]) -> float:
    gold = episode.trace.calls
    if episode.certified.mode == "outcome":
        return 1 - len(missing_results(gold, executed)) / len(gold)
    return len(match_calls(gold, executed).pairs) / len(gold)
