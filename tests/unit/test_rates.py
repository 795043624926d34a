"""A bucket of requests each: a burst at once, and so many a second on average."""

import pytest

from cidx_jobs.web.access import rate_limit as rates
from cidx_jobs.web.access.rate_limit import Rates
from tests.fakes import FakeClock


def test_a_burst_may_come_at_once_and_then_one_by_one() -> None:
    """The bucket fills up evenly."""
    clock = FakeClock()
    limited = Rates(2, 3, clock.monotonic)

    burst = [limited.take("a") for _ in range(5)]
    clock.advance(0.5)
    later = [limited.take("a") for _ in range(2)]

    assert [one.remaining for one in burst] == [2, 1, 0, 0, 0]
    assert [one.wait_seconds > 0 for one in burst] == [False] * 3 + [True] * 2
    assert [one.wait_seconds > 0 for one in later] == [False, True]


def test_each_has_a_bucket_of_their_own() -> None:
    """Who asks too often is refused alone."""
    limited = Rates(1, 1, FakeClock().monotonic)
    limited.take("a")

    assert limited.take("a").wait_seconds == 1
    assert limited.take("b").wait_seconds == 0


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """However long nobody asks, and however much is given back."""
    clock = FakeClock()
    limited = Rates(10, 2, clock.monotonic)
    limited.take("a")
    clock.advance(3_600)
    for _ in range(5):
        limited.give_back("a")

    assert [limited.take("a").wait_seconds > 0 for _ in range(3)] == [False, False, True]


def test_what_is_told_is_true() -> None:
    """When the time is up that was named, the request is allowed, and the bucket full."""
    clock = FakeClock()
    limited = Rates(0.3, 2, clock.monotonic)
    limited.take("a")
    limited.take("a")

    refused = limited.take("a")
    clock.advance(refused.wait_seconds)
    allowed = limited.take("a")
    clock.advance(allowed.reset_seconds)

    assert allowed.wait_seconds == 0
    assert limited.take("a").remaining == 1
    assert limited.policy == '"default";q=2;w=7'


def test_strangers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full buckets are forgotten first; who was refused stays refused."""
    monkeypatch.setattr(rates, "_MANY", 10)
    clock = FakeClock()
    limited = Rates(1, 2, clock.monotonic)
    for number in range(9):
        limited.take(f"stranger {number}")
    clock.advance(1)
    for _ in range(3):
        limited.take("busy")

    for number in range(5):
        limited.take(f"newcomer {number}")

    assert len(limited._buckets) <= 10
    assert limited.take("busy").wait_seconds == 1
