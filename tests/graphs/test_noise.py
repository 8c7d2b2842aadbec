"""The noise of a query."""

from __future__ import annotations

from funreason_agents.graphs.noise import DETAILS, ORDERS, PERSONAS, TONES, draw_noise

KEYS = [(seed, index, turn, attempt) for seed in (0, 1) for index in range(40)
        for turn in range(3) for attempt in (1, 2)]  # fmt: skip


def test_noise_depends_on_its_key_alone() -> None:
    assert [draw_noise(*key) for key in KEYS] == [draw_noise(*key) for key in reversed(KEYS)][::-1]
    for place in range(4):
        others = {tuple(n + (m == place) for m, n in enumerate((3, 4, 1, 1)))}
        assert draw_noise(3, 4, 1, 1) != draw_noise(*others.pop())


def test_every_field_takes_all_its_values() -> None:
    drawn = [draw_noise(*key, ("English", "German")) for key in KEYS]
    for name, values in (
        ("persona", PERSONAS), ("tone", TONES), ("detail", DETAILS), ("order", ORDERS),
        ("language", ("English", "German")),
    ):  # fmt: skip
        assert {noise[name] for noise in drawn} == set(values), name


def test_another_choice_of_languages_changes_nothing_else() -> None:
    for key in KEYS[:30]:
        plain, other = draw_noise(*key), draw_noise(*key, ["Norwegian"])
        assert (plain["language"], other["language"]) == ("English", "Norwegian")
        assert plain == {**other, "language": "English"}


def test_no_persona_or_tone_stands_twice() -> None:
    assert len(set(PERSONAS)) == len(PERSONAS) > 20
    assert len(set(TONES)) == len(TONES) > 12
