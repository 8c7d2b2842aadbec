import threading

from funreason_agents.models.limiter import Limiter


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def take(limiter):
    """Take a place if there is one now: nobody waits while the run stops."""
    stopping = threading.Event()
    stopping.set()
    return limiter.acquire(stopping)


def test_provider_that_is_not_overloaded_is_not_limited():
    limiter = Limiter(most=50, clock=Clock())
    taken = [take(limiter) for _ in range(51)]
    assert taken.count(None) == 1
    assert limiter.in_flight == 50


def test_overload_halves_what_was_in_flight():
    limiter = Limiter(clock=Clock())
    taken = [take(limiter) for _ in range(40)]
    limiter.release(taken[0], "overloaded")
    assert limiter.limit == 20
    assert take(limiter) is None


def test_refusals_that_were_in_flight_together_count_once():
    clock = Clock()
    limiter = Limiter(clock=clock)
    taken = [take(limiter) for _ in range(40)]
    clock.now = 1
    for since in taken:
        limiter.release(since, "overloaded")
    assert limiter.limit == 20
    again = take(limiter)
    clock.now = 2
    limiter.release(again, "overloaded")
    assert limiter.limit < 1.5


def test_a_round_of_answers_adds_one():
    limiter = Limiter(clock=Clock())
    taken = [take(limiter) for _ in range(20)]
    limiter.release(taken[0], "overloaded")
    for since in taken[1:11]:
        limiter.release(since, "answered")
    assert 10.9 < limiter.limit < 11.1


def test_limit_never_falls_below_one_nor_rises_above_the_most():
    clock = Clock()
    limiter = Limiter(most=3, clock=clock)
    for now in range(10):
        clock.now = now
        limiter.release(take(limiter), "overloaded")
    assert limiter.limit == 1
    for _ in range(100):
        limiter.release(take(limiter), "answered")
    assert limiter.limit == 3


def test_trouble_that_is_no_overload_leaves_the_limit():
    limiter = Limiter(most=8, clock=Clock())
    limiter.release(take(limiter), "neither")
    assert limiter.limit == 8


def test_nobody_is_let_through_before_the_time_the_provider_named():
    clock = Clock()
    limiter = Limiter(clock=clock)
    limiter.release(take(limiter), "overloaded", retry_after=5)
    clock.now = 4.9
    assert take(limiter) is None
    clock.now = 5.1
    assert take(limiter) == 5.1


def test_waiting_ends_when_the_run_stops():
    limiter = Limiter(most=1)
    limiter.acquire()
    assert take(limiter) is None
    assert limiter.in_flight == 1


def test_place_given_back_is_taken_by_who_waits():
    limiter, got = Limiter(most=1), []
    first = limiter.acquire()
    thread = threading.Thread(target=lambda: got.append(limiter.acquire()))
    thread.start()
    limiter.release(first, "answered")
    thread.join(10)
    assert len(got) == 1
    assert got[0] >= first
