"""Options of the command line that are more than one word."""

import pytest

from funreason_agents.cli.options import parse_hard_turns, parse_knobs, parse_pairs
from funreason_agents.cli.settings import read_options
from funreason_agents.config import SynthesisContext
from funreason_agents.errors import ConfigurationError


def test_shares_are_read_by_kind():
    assert parse_hard_turns(["irrelevance=0.2", "long_context=0.1"]) == {
        "irrelevance": 0.2,
        "long_context": 0.1,
    }
    assert parse_hard_turns(None) == {}


def test_all_is_spread_over_the_kinds():
    shares = parse_hard_turns(["all=0.6"])
    assert len(shares) == 6
    assert sum(shares.values()) == pytest.approx(0.6)


def test_knobs_are_json_or_text():
    assert parse_knobs(["samples_per_round=4", 'languages=["French"]', "match_mode=outcome"]) == {
        "samples_per_round": 4,
        "languages": ["French"],
        "match_mode": "outcome",
    }


@pytest.mark.parametrize("pair", ["irrelevance", "=1", "irrelevance=", "irrelevance=often"])
def test_malformed_pairs_are_refused_with_what_is_wanted(pair):
    with pytest.raises(ConfigurationError, match="--hard-turns"):
        parse_hard_turns([pair])


def test_name_given_twice_is_refused():
    with pytest.raises(ConfigurationError, match="'turns' is given twice"):
        parse_pairs("--set", ["turns=1", "turns=2"])


def test_what_concerns_several_fields_is_told_without_an_option():
    shares = {"irrelevance": 0.7, "long_context": 0.7}
    with pytest.raises(ConfigurationError, match=r"^Value error, "):
        read_options(SynthesisContext, {"hard_turns": shares})


def test_an_unknown_knob_is_told_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match=r"unknown knob 'turn'; there are .*, turns$"):
        read_options(SynthesisContext, {"turn": 2})


def test_all_that_is_out_of_bounds_is_told_by_the_name_it_was_given_under():
    given = {"turns": 0, "samples_per_round": 0}
    with pytest.raises(ConfigurationError, match=r"^--turns: .*; --samples-per-round: Input"):
        read_options(SynthesisContext, given)
    with pytest.raises(ConfigurationError, match=r"^turns: .*; samples_per_round: Input"):
        read_options(SynthesisContext, given, knobs=True)
