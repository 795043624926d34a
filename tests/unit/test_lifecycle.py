"""The state machine, exhaustively: every status with every event."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import InvalidTransitionError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.events import (
    EVENT_NAMES,
    Cancel,
    Complete,
    Enqueue,
    Event,
    Fail,
    Hold,
    Interrupt,
    RequestCancel,
    Retry,
    RetryLater,
    Revise,
    Start,
    Submit,
    Suspend,
)
from cidx_jobs.model.job.job import (
    CheckpointInfo,
    DispatchKey,
    Job,
    JobStatus,
    Outcome,
    Place,
)
from cidx_jobs.model.job.lifecycle import TRANSITIONS, advance, record_progress

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
KEY = DispatchKey(1.0, 2, 3)
ERROR = make_error("TIMEOUT", "too long", at=NOW)

EVENTS: tuple[Event, ...] = (
    Submit(),
    Enqueue(key=KEY),
    Revise(priority=7),
    Start(epoch=4),
    Complete(result={"n": 1}, elapsed_seconds=2.0),
    Fail(error=ERROR, elapsed_seconds=2.0),
    RetryLater(error=ERROR, retry_at=LATER, key=KEY, elapsed_seconds=2.0),
    Interrupt(elapsed_seconds=2.0, is_clean=True),
    RequestCancel(reason="enough"),
    Cancel(error=ERROR, elapsed_seconds=2.0),
    Retry(key=KEY),
    Suspend(joins=(JobId("019a0000-0000-7000-8000-000000000001"),), elapsed_seconds=1.0),
    Hold(reason="restored"),
)


def make_job(status: JobStatus = JobStatus.CREATED) -> Job:
    """Give a job that has come to *status* by the edges there are."""
    job = Job(
        job_id=JobId("019a0000-0000-7000-8000-000000000000"),
        job_type="t",
        user_id=UserId("u"),
        project_id=ProjectId("p"),
        status=JobStatus.CREATED,
        version=1,
        priority=5,
        max_attempts=3,
        attempts_granted=3,
        timeout_seconds=60,
        created_at=NOW,
        updated_at=NOW,
    )
    ways: dict[JobStatus, tuple[Event, ...]] = {
        JobStatus.CREATED: (),
        JobStatus.QUEUED: (EVENTS[1],),
        JobStatus.RUNNING: (EVENTS[1], EVENTS[3]),
        JobStatus.COMPLETED: (EVENTS[1], EVENTS[3], EVENTS[4]),
        JobStatus.FAILED: (EVENTS[1], EVENTS[3], EVENTS[5]),
        JobStatus.CANCELLED: (EVENTS[9],),
    }
    for event in ways[status]:
        job, _ = advance(job, event, NOW)
    return job


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Complete(result={}, elapsed_seconds=2.0), "the handler returned"),
        (Fail(error=ERROR, elapsed_seconds=2.0), "TIMEOUT"),
        (RetryLater(error=ERROR, retry_at=LATER, key=KEY, elapsed_seconds=2.0), "TIMEOUT"),
        (Cancel(error=ERROR), "TIMEOUT"),
        (Cancel(error=ERROR, reason="enough"), "enough"),
        (Interrupt(elapsed_seconds=2.0, is_clean=True, reason="it stopped"), "it stopped"),
    ],
    ids=["complete", "fail", "retry_later", "cancel", "cancel with a reason", "interrupt"],
)
def test_what_ends_an_attempt_says_why(event: Event, reason: str) -> None:
    """Its row in the log has a reason: somebody's own, or the code of the error."""
    _, row = advance(make_job(JobStatus.RUNNING), event, LATER)

    assert row.reason == reason


def test_every_event_has_a_name_and_an_edge() -> None:
    """The table, the events and their names speak of the same things."""
    assert {EVENT_NAMES[type(event)] for event in EVENTS} == set(EVENT_NAMES.values())
    assert {name for _, name in TRANSITIONS} == set(EVENT_NAMES.values())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: EVENT_NAMES[type(event)])
@pytest.mark.parametrize("status", list(JobStatus))
def test_only_the_edges_of_the_table_can_be_taken(status: JobStatus, event: Event) -> None:
    """Each status takes each event as the table says, or refuses it and changes nothing."""
    job = make_job(status)
    name = EVENT_NAMES[type(event)]
    is_new = isinstance(event, Submit) and status is JobStatus.CREATED
    before = None if is_new else status
    expected = TRANSITIONS.get((before, name))

    if expected is None:
        with pytest.raises(InvalidTransitionError) as caught:
            advance(job, event, LATER)
        assert caught.value.members["current_status"] == status
        return
    after, row = advance(job, event, LATER)

    assert after.status is expected
    assert (row.from_status, row.to_status, row.event) == (before, expected, name)
    assert row.version == after.version == job.version + (0 if before is None else 1)
    assert after.done == (after.finished_at is not None)
    assert (after.result is not None) == (after.status is JobStatus.COMPLETED)


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_final_status_is_left_only_by_a_retry(status: JobStatus) -> None:
    """No other event leads out of completed, failed or cancelled; completed has no way out."""
    ways_out = {name for (before, name) in TRANSITIONS if before is status}

    if status is JobStatus.COMPLETED:
        assert ways_out == set()
    elif status.is_final:
        assert ways_out == {"retry"}
    else:
        assert ways_out


def test_an_interruption_gives_the_attempt_back_and_not_the_run() -> None:
    """The attempt was nobody's fault; the run number fences the old run's late writes."""
    running = make_job(JobStatus.RUNNING)

    waiting, _ = advance(running, Interrupt(elapsed_seconds=1, is_clean=True), LATER)

    assert (running.attempt, running.run) == (1, 1)
    assert (waiting.attempt, waiting.run) == (0, 1)
    assert waiting.dispatch_key == running.dispatch_key
    assert waiting.attempts[0].outcome is Outcome.INTERRUPTED


def test_who_is_held_has_no_place_and_no_time_to_go_on() -> None:
    """Another of its type may go before it; only a release queues it again."""
    waiting = replace(make_job(JobStatus.QUEUED), place=Place.HEAD, retry_at=LATER)

    held, _ = advance(waiting, Hold(), LATER)

    assert (held.status, held.hold, held.place, held.retry_at) == ("created", True, None, None)


def test_who_runs_is_held_where_it_is() -> None:
    """The run has its slot and its place until it has ended."""
    running = replace(make_job(JobStatus.RUNNING), place=Place.HEAD)

    held, _ = advance(running, Hold(), LATER)

    assert (held.status, held.hold, held.place) == ("running", True, Place.HEAD)


@pytest.mark.parametrize(
    ("progress", "has_checkpoint", "losses"), [(0, False, 1), (5, False, 0), (0, True, 0)]
)
def test_only_deaths_without_progress_are_counted(
    progress: int, has_checkpoint: bool, losses: int
) -> None:
    """A life in which progress or a checkpoint was stored is not suspect."""
    running = make_job(JobStatus.RUNNING)
    info = CheckpointInfo(phase=None, saved_at=LATER) if has_checkpoint else None
    running = record_progress(running, LATER, progress=progress, checkpoint=info)

    waiting, _ = advance(running, Interrupt(elapsed_seconds=1, is_clean=False), LATER)

    assert waiting.losses == losses


def test_the_end_is_the_start_plus_the_monotonic_duration() -> None:
    """A wall clock that goes back makes no negative duration (guarantees.md, G11)."""
    running = make_job(JobStatus.RUNNING)

    done, _ = advance(running, EVENTS[4], NOW - timedelta(hours=1))

    assert running.started_at is not None
    assert done.finished_at == running.started_at + timedelta(seconds=2)
    assert done.updated_at >= running.updated_at


def test_a_retry_on_request_grants_the_attempts_anew() -> None:
    """Attempts go on counting, and as many more are allowed as at first (api.md 1.2)."""
    failed = replace(make_job(JobStatus.FAILED), attempt=3)

    again, _ = advance(failed, Retry(key=KEY), LATER)

    assert (again.attempt, again.max_attempts) == (3, 6)
    assert len(again.attempts) == 1
    assert (again.error, again.finished_at, again.done) == (None, None, False)


@pytest.mark.parametrize(("from_start", "is_kept"), [(False, True), (True, False)])
def test_a_retry_keeps_the_checkpoint_unless_told_otherwise(
    from_start: bool, is_kept: bool
) -> None:
    """Only ``from_start`` drops it."""
    info = CheckpointInfo(phase="x", saved_at=NOW)
    failed = replace(make_job(JobStatus.FAILED), checkpoint=info)

    again, _ = advance(failed, Retry(key=KEY, from_start=from_start), LATER)

    assert (again.checkpoint is not None) == is_kept


def test_progress_is_for_running_jobs_only() -> None:
    """A report that comes late changes nothing."""
    with pytest.raises(InvalidTransitionError):
        record_progress(make_job(JobStatus.QUEUED), LATER, progress=3)


def test_a_request_to_cancel_keeps_the_job_running() -> None:
    """Stopping is not a status (architecture.md)."""
    running = make_job(JobStatus.RUNNING)

    stopping, _ = advance(running, RequestCancel(reason="enough"), LATER)

    assert stopping.status is JobStatus.RUNNING
    assert (stopping.cancel_requested_at, stopping.cancel_reason) == (LATER, "enough")
