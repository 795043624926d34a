"""When remotes are asked for news: often or rarely, spread, and as if there were no restarts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.model.schedules.polling import catch_up, find_interval, find_next_poll

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


def project(name: str = "p", **members: Any) -> Project:
    """Return a project of alice's."""
    return Project(user_id=UserId("alice"), project_id=ProjectId(name), **members)


@pytest.mark.parametrize(
    ("age", "interval"),
    [
        (timedelta(0), timedelta(minutes=1)),
        (timedelta(minutes=40), timedelta(minutes=2)),
        (timedelta(days=1), timedelta(minutes=64)),
        (timedelta(days=30), timedelta(hours=8)),
    ],
)
def test_auto_follows_the_age_of_the_last_change(age: timedelta, interval: timedelta) -> None:
    """From a minute for what changes now, to eight hours for what has long been quiet."""
    followed = project(sync_every_seconds="auto", changed_at=NOW - age)

    assert find_interval(followed, NOW, is_told_of_pushes=False) == interval


def test_auto_is_rarer_where_pushes_are_told_of() -> None:
    """Eight times, and never beyond eight hours."""
    hour_old = project(sync_every_seconds="auto", changed_at=NOW - timedelta(hours=2))
    month_old = project(sync_every_seconds="auto", changed_at=NOW - timedelta(days=30))

    assert find_interval(hour_old, NOW, is_told_of_pushes=False) == timedelta(minutes=4)
    assert find_interval(hour_old, NOW, is_told_of_pushes=True) == timedelta(minutes=32)
    assert find_interval(month_old, NOW, is_told_of_pushes=True) == timedelta(hours=8)


def test_a_fixed_interval_is_what_was_asked_for() -> None:
    """Whatever changes when; and None is never."""
    assert find_interval(
        project(sync_every_seconds=600), NOW, is_told_of_pushes=True
    ) == timedelta(minutes=10)
    assert find_interval(project(), NOW, is_told_of_pushes=False) is None


def test_polls_are_spread_over_the_interval() -> None:
    """Of a thousand projects each tenth of the interval has its part; each keeps its grid."""
    moments = [find_next_poll(project(f"p{n}"), TEN_MINUTES, NOW) for n in range(1000)]

    parts = [(moment - NOW) // timedelta(minutes=1) for moment in moments]
    again = find_next_poll(project("p7"), TEN_MINUTES, moments[7])

    assert all(NOW < moment <= NOW + TEN_MINUTES for moment in moments)
    assert all(60 < parts.count(minute) < 140 for minute in range(10))
    assert again == moments[7] + TEN_MINUTES


def test_a_poll_of_the_time_of_a_stop_is_made_soon() -> None:
    """Within a minute after the start; a short stop changes nothing."""
    week = timedelta(days=7)
    regular = find_next_poll(project(), week, NOW)

    after_a_week = catch_up(project(), week, NOW - week, NOW)
    after_nothing = catch_up(project(), week, NOW, NOW)

    assert NOW <= after_a_week < NOW + timedelta(minutes=1)
    assert after_nothing == regular
