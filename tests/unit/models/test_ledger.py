import json
import threading

import pytest

from funreason_agents.errors import BudgetExceededError, ConfigurationError, ExportError
from funreason_agents.models.ledger import FIRST_GUESS, Ledger, Limits
from funreason_agents.models.prices import load_prices
from funreason_agents.models.usage import CallScope, Usage

PRICES = load_prices({"m": {"input": 1.0, "output": 10.0}})
ONE = CallScope("thread-1", "write_query")
TWO = CallScope("thread-2", "reason")


def spend(ledger, scope=ONE, *, role="querying", model="m", sent=100, received=10, answered=True):
    reservation = ledger.reserve(scope, role=role, model=model, input_tokens=sent)
    usage = Usage(sent, received, sent + received, estimated=False)
    outcome = "ok" if answered else "TransientModelError"
    ledger.settle(reservation, usage, outcome=outcome, answered=answered, attempts=1)


def test_calls_are_counted_by_role_node_and_trajectory():
    ledger = Ledger(PRICES)
    spend(ledger)
    spend(ledger, TWO, role="reasoning", sent=1000)
    cost = ledger.to_json(accepted=1)
    assert cost["total"]["tokens"] == 1120
    assert cost["total"]["usd"] == pytest.approx((1100 * 1 + 20 * 10) / 1e6)
    assert {role: each["tokens"] for role, each in cost["by_role"].items()} == {
        "querying": 110,
        "reasoning": 1010,
    }
    assert set(cost["by_node"]) == {"write_query", "reason"}
    assert ledger.by_trajectory["thread-1"].tokens == 110


def test_cost_of_an_accepted_trajectory_holds_what_the_others_cost():
    ledger = Ledger(PRICES)
    spend(ledger)
    spend(ledger, TWO)
    assert ledger.to_json(accepted=1)["per_accepted_trajectory"]["tokens"] == 220
    assert ledger.to_json(accepted=0)["per_accepted_trajectory"]["tokens"] is None


def test_money_is_unknown_as_soon_as_one_price_is():
    ledger = Ledger(PRICES)
    spend(ledger)
    spend(ledger, model="unheard-of")
    assert ledger.to_json(1)["total"]["usd"] is None


def test_money_spent_is_remembered_by_the_next_run(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for calls in (1, 2):
        ledger = Ledger(PRICES)
        with ledger.kept_in(path):
            spend(ledger)
        assert ledger.total.calls == calls
    assert Ledger(PRICES).read(path) == path.stat().st_size


def test_line_torn_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(PRICES)
    with ledger.kept_in(path):
        spend(ledger)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    ledger = Ledger(PRICES)
    with ledger.kept_in(path):
        spend(ledger)
    assert ledger.total.calls == 2
    assert [json.loads(line)["total"] for line in path.read_text().splitlines()] == [110, 110]


def test_line_that_is_none_of_ours_is_not_overlooked(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"usd": 3}\n')
    with pytest.raises(ExportError, match="line 1"):
        Ledger().read(path)


def test_reading_changes_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"torn')
    assert Ledger().read(path) == 0
    assert path.read_bytes() == b'{"torn'


def test_full_disk_is_told(tmp_path, monkeypatch):
    ledger = Ledger()
    with ledger.kept_in(tmp_path / "ledger.jsonl"):
        monkeypatch.setattr("os.write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(ExportError, match="free some space"):
            spend(ledger)


@pytest.mark.parametrize("scope", ["run", "trajectory"])
@pytest.mark.parametrize(
    ("name", "amount"), [("max_calls", 2), ("max_tokens", 3000), ("max_usd", 0.01)]
)
def test_limit_holds_and_says_which(scope, name, amount):
    limit = name if scope == "run" else f"trajectory_{name}"
    ledger = Ledger(PRICES, Limits.model_validate({limit: amount}))
    for _ in range(2):
        spend(ledger, sent=1000, received=FIRST_GUESS)
    with pytest.raises(BudgetExceededError, match=rf"^{limit} of {amount} reached") as caught:
        spend(ledger, sent=1000)
    assert (caught.value.limit, caught.value.scope) == (limit, scope)
    assert ledger.total.calls == 2


def test_limit_of_a_trajectory_leaves_the_others():
    ledger = Ledger(PRICES, Limits(trajectory_max_calls=1))
    spend(ledger, ONE)
    spend(ledger, TWO)
    with pytest.raises(BudgetExceededError, match="trajectory_max_calls of 1"):
        spend(ledger, ONE)


def test_calls_in_flight_are_set_aside():
    ledger = Ledger(PRICES, Limits(max_tokens=2 * (100 + FIRST_GUESS)))
    first = ledger.reserve(ONE, role="r", model="m", input_tokens=100)
    ledger.reserve(TWO, role="r", model="m", input_tokens=100)
    with pytest.raises(BudgetExceededError, match="712 set aside"):
        ledger.reserve(ONE, role="r", model="m", input_tokens=100)
    ledger.cancel(first)
    ledger.reserve(ONE, role="r", model="m", input_tokens=100)


def test_limit_holds_under_concurrency():
    ledger = Ledger(PRICES, Limits(max_calls=100))
    refused = []

    def work():
        for _ in range(20):
            try:
                spend(ledger)
            except BudgetExceededError as exc:
                refused.append(exc)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.total.calls == 100
    assert len(refused) == 220


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_no_call_begins_after_the_deadline():
    clock = Clock()
    ledger = Ledger(limits=Limits(deadline=10), clock=clock)
    spend(ledger)
    waiting = ledger.reserve(ONE, role="r", model="m", input_tokens=1)
    clock.now = 10.0
    assert ledger.seconds_left == 0
    with pytest.raises(BudgetExceededError, match="deadline of 10 seconds passed"):
        spend(ledger)
    with pytest.raises(BudgetExceededError) as caught:
        ledger.require_time(waiting)
    assert (caught.value.limit, caught.value.scope) == ("deadline", "run")


def test_deadline_of_a_trajectory_counts_from_its_first_call():
    clock = Clock()
    ledger = Ledger(limits=Limits(trajectory_deadline=10), clock=clock)
    spend(ledger, ONE)
    clock.now = 9.0
    spend(ledger, TWO)
    clock.now = 11.0
    spend(ledger, TWO)
    with pytest.raises(BudgetExceededError) as caught:
        spend(ledger, ONE)
    assert caught.value.scope == "trajectory"


def test_limit_in_money_without_a_price_is_refused_before_any_call():
    with pytest.raises(ConfigurationError, match=r"price of x: give a file with --prices"):
        Ledger(PRICES, Limits(max_usd=1)).require_prices(["m", "x"])
    assert Ledger(PRICES, Limits(max_usd=1)).require_prices(["m", "offline"]) is None
    assert Ledger(PRICES, Limits(max_tokens=1)).require_prices(["x"]) is None


def test_free_model_never_reaches_a_limit_of_no_money():
    ledger = Ledger(limits=Limits(max_usd=0))
    spend(ledger, model="offline")
    assert ledger.total.usd == 0


def test_prices_are_read_from_a_file(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text('["gpt-x-mini*"]\ninput = 1\noutput = 2\n["gpt-x*"]\ninput = 3\noutput = 4\n')
    prices = load_prices(path)
    assert prices.find("gpt-x-mini-2").of(1_000_000, 1_000_000) == 3
    assert prices.find("gpt-x-large").of(1_000_000, 0) == 3
    assert prices.find("other") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[m", "no TOML"),
        ("[m]\ninput = 1", "m.output"),
        ("[m]\ninput = -1\noutput = 1", "greater than or equal to 0"),
        ("m = 3", "prices: m"),
    ],
)
def test_prices_that_cannot_be_read_are_told(tmp_path, text, said):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        load_prices(path)
    with pytest.raises(ConfigurationError, match="cannot read the prices"):
        load_prices(tmp_path / "none.toml")
