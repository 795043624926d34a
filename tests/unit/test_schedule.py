"""What a schedule says: it is checked when it is made."""

from datetime import timedelta
from typing import Any

import pytest

from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.schedules.schedule import CatchUp, Schedule


def make(**members: Any) -> Schedule:
    """Make a schedule of alice's with other members."""
    return Schedule(**{"name": "nightly", "user_id": "alice", "project_id": "p", **members})


@pytest.mark.parametrize(
    ("members", "pointers"),
    [
        ({}, ["/cron"]),
        ({"cron": "* * * * *", "every_seconds": 60}, ["/every_seconds"]),
        ({"cron": "* * * * * *"}, ["/cron"]),
        ({"cron": "@reboot"}, ["/cron"]),
        ({"cron": "0 0 30 2 *"}, ["/cron"]),
        ({"cron": 5}, ["/cron"]),
        ({"every_seconds": 0}, ["/every_seconds"]),
        ({"every_seconds": 366 * 86_400 + 1}, ["/every_seconds"]),
        ({"every_seconds": True}, ["/every_seconds"]),
        ({"every_seconds": 60, "timezone": "Mars/Olympus"}, ["/timezone"]),
        ({"every_seconds": 60, "timezone": "../etc/passwd"}, ["/timezone"]),
        ({"every_seconds": 60, "timezone": "right/UTC"}, ["/timezone"]),
        ({"every_seconds": 60, "timezone": "Europe"}, ["/timezone"]),
        ({"every_seconds": 60, "jitter_seconds": -1}, ["/jitter_seconds"]),
        ({"every_seconds": 60, "jitter_seconds": 86_401}, ["/jitter_seconds"]),
        ({"every_seconds": 60, "catch_up": "always"}, ["/catch_up"]),
        ({"every_seconds": 60, "enabled": 1}, ["/enabled"]),
        ({"every_seconds": 60, "name": "a b", "user_id": ""}, ["/name", "/user_id"]),
        ({"every_seconds": 60, "project_id": "-x", "job_type": ""}, ["/project_id", "/job_type"]),
        ({"every_seconds": 60, "priority": 10}, ["/priority"]),
        ({"every_seconds": 60, "priority": "high"}, ["/priority"]),
        ({"every_seconds": 60, "max_attempts": 0}, ["/max_attempts"]),
        ({"every_seconds": 60, "timeout_seconds": 0}, ["/timeout_seconds"]),
        ({"every_seconds": 60, "labels": {"A": "x"}}, ["/labels/A"]),
        ({"every_seconds": 60, "labels": {"a": 1}}, ["/labels"]),
        ({"every_seconds": 60, "options": {"a": object()}}, ["/options"]),
    ],
)
def test_a_wrong_schedule_cannot_be_made(members: dict[str, Any], pointers: list[str]) -> None:
    """Each wrong member is named, when the schedule is made."""
    with pytest.raises(ValidationError) as caught:
        make(**members)

    assert [fault.pointer for fault in caught.value.faults] == pointers


def test_jitter_delays_each_schedule_by_its_own_time() -> None:
    """The delay is within the jitter, the same again, and another for another schedule."""
    delays = [make(name=f"s{n}", every_seconds=60, jitter_seconds=30).delay for n in range(100)]

    again = make(name="s7", every_seconds=60, jitter_seconds=30).delay

    assert again == delays[7]
    assert len(set(delays)) == 100
    assert all(timedelta(0) <= delay < timedelta(seconds=30) for delay in delays)
    assert max(delays) - min(delays) > timedelta(seconds=20)


def test_a_plain_word_says_how_to_catch_up() -> None:
    """``catch_up`` may be given as text."""
    schedule = make(every_seconds=1, catch_up="skip")

    assert schedule.catch_up == CatchUp.SKIP
