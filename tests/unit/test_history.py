"""The check of what readers were answered: what it lets pass, and what it blames."""

import pytest

from torture.observed import Listed, Poll, Record, Seen, find_faults, find_untold, wake_seconds

LATE = 2.0


def seen(version: int, asked: float, answered: float, status: str | None = "running") -> Seen:
    """Give an answer about the one job."""
    return Seen("job", version, status, asked, answered, "read")


def faults(record: Record) -> list[str]:
    """Give what the check blames."""
    return list(find_faults(record, late_seconds=LATE))


def test_answers_in_the_order_of_versions_pass() -> None:
    """The same version may be shown over and over."""
    record = Record(seen=[seen(3, 0, 1), seen(3, 2, 3), seen(4, 4, 5), seen(4, 6, 7, None)])

    assert faults(record) == []


def test_answers_that_overlap_may_be_in_any_order() -> None:
    """A read that began before the newer answer was known may show the older version."""
    record = Record(seen=[seen(4, 0, 2), seen(3, 1, 3)])

    assert faults(record) == []


def test_an_older_version_after_a_newer_answer_is_blamed() -> None:
    """Whoever was told of the newer one, and whatever came in between."""
    record = Record(seen=[seen(4, 0, 1), seen(4, 1, 2), seen(3, 3, 4, None)])

    assert [text for text in faults(record) if "from version 4 to 3" in text]


def test_one_version_with_two_statuses_is_blamed() -> None:
    """A version names one state of the job."""
    record = Record(seen=[seen(3, 0, 1), seen(3, 0, 1, "queued")])

    assert len(faults(record)) == 1


def test_the_short_form_may_say_queued_for_created() -> None:
    """That is one state under two names."""
    record = Record(seen=[seen(2, 0, 1, "created"), seen(2, 0, 1, "queued")])

    assert faults(record) == []


@pytest.mark.parametrize("asked", [3.0, 1.0])
def test_a_job_missing_in_a_list_is_blamed_if_it_was_known_before(asked: float) -> None:
    """A list that was asked for before the submit was answered may lack it."""
    record = Record(
        lists=[Listed("p", frozenset(), asked, 4.0)],
        projects={"job": ("p", 2.0), "other": ("q", 0.0)},
    )

    assert len(faults(record)) == (asked > 2.0)


@pytest.mark.parametrize(("answered", "count"), [(11.5, 0), (12.5, 1)])
def test_a_long_poll_that_sleeps_through_a_change_is_blamed(answered: float, count: int) -> None:
    """Counted from when anybody was told of a newer version than its baseline."""
    record = Record(
        seen=[seen(3, 0, 1), seen(4, 9, 10)], polls=[Poll("job", 3, asked=5, answered=answered)]
    )

    assert len(faults(record)) == count
    assert wake_seconds(record) == [answered - 10]


def test_a_long_poll_that_was_late_already_counts_from_its_beginning() -> None:
    """What was known before it was asked holds at once."""
    record = Record(seen=[seen(4, 0, 1)], polls=[Poll("job", 3, asked=50, answered=51)])

    assert faults(record) == []
    assert wake_seconds(record) == []


@pytest.mark.parametrize("is_retried", [False, True])
def test_a_long_poll_for_the_end_is_blamed_unless_the_job_came_back(is_retried: bool) -> None:
    """A retry may have made it unfinished before the long-poll looked."""
    record = Record(
        seen=[seen(3, 0, 1, "completed")],
        polls=[Poll("job", None, asked=0, answered=9)],
        retried={"job"} if is_retried else set(),
    )

    assert bool(faults(record)) != is_retried


def test_an_answer_that_the_log_does_not_tell_is_blamed() -> None:
    """A version between two rows is progress, and has the status of the row before."""
    log = {"job": [(1, "created"), (2, "queued"), (4, "running")]}
    record = Record(seen=[seen(2, 0, 1, "queued"), seen(5, 0, 1), seen(4, 0, 1, "completed")])

    assert list(find_untold(record, log)) == [
        "job job was shown as completed at version 4 by read, and its log says running"
    ]
    assert list(find_untold(record, {})) != []
