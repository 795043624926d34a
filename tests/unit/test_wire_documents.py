"""Documents show a job as the contract says, and come back the same on the other side."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import Fault
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import (
    AttemptRecord,
    CheckpointInfo,
    Job,
    JobStatus,
    JobWarning,
    Outcome,
    PhaseState,
    PhaseStatus,
    ProgressDetail,
    Transition,
)
from cidx_jobs.model.job.queue_status import QueueStatus
from cidx_jobs.model.listing import Token
from cidx_jobs.wire.encode import decode, encode
from cidx_jobs.wire.events import EventDocument
from cidx_jobs.wire.jobs import (
    CancelledJobDocument,
    JobDocument,
    ListedJobDocument,
    StatusDocument,
    describe,
)
from cidx_jobs.wire.problems import ProblemDocument, encode_problem
from cidx_jobs.wire.tokens import NewTokenDocument

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
MEMBERS = [
    "job_id",
    "job_type",
    "user_id",
    "project_id",
    "status",
    "done",
    "version",
    "priority",
    "labels",
    "parent_id",
    "children",
    "attempt",
    "max_attempts",
    "limits",
    "progress",
    "phase",
    "message",
    "progress_detail",
    "queue",
    "created_at",
    "queued_at",
    "start_at",
    "schedule",
    "scheduled_at",
    "started_at",
    "finished_at",
    "updated_at",
    "timeout_seconds",
    "cancel_requested_at",
    "cancel_reason",
    "checkpoint",
    "result",
    "error",
    "warnings",
    "removed",
    "phases",
    "links",
    "options",
    "attempts",
    "attempts_omitted",
    "notify",
    "deliveries",
]
QUEUE = QueueStatus(
    position=3, length=10, blocked_by=("user_limit",), estimated_wait_seconds=(20.0, 90.5)
)
ERROR = make_error("GIT-001", "no such repository", at=NOW, phase="git_sync")


def make_job(**members: Any) -> Job:
    """Build a queued job; *members* override what it says."""
    job = Job(
        job_id=JobId("019a0000-0000-7000-8000-000000000000"),
        job_type="repository_sync",
        user_id=UserId("alice"),
        project_id=ProjectId("code-indexer"),
        status=JobStatus.QUEUED,
        version=2,
        priority=5,
        labels={"origin": "ci"},
        options={"branch": "main"},
        max_attempts=3,
        attempts_granted=3,
        timeout_seconds=3600.0,
        created_at=NOW,
        queued_at=NOW,
        updated_at=NOW,
    )
    return replace(job, **members)


def make_running_job(**members: Any) -> Job:
    """Build a running job with something in every member that a running job may have."""
    values = {
        "status": JobStatus.RUNNING,
        "version": 7,
        "attempt": 2,
        "started_at": NOW,
        "progress": 42,
        "phase": "indexing",
        "message": "150 of 500 files",
        "progress_detail": ProgressDetail(
            done=150, total=500, unit="files", current_item="src/api.py", eta_seconds=8.0
        ),
        "phases": (
            PhaseState(
                name="git_sync",
                status=PhaseStatus.COMPLETED,
                weight=0.35,
                progress=100,
                started_at=NOW,
                finished_at=NOW,
                result={"commit": "abc"},
            ),
        ),
        "checkpoint": CheckpointInfo(phase="indexing", saved_at=NOW),
        "warnings": (JobWarning(code="file_too_large", message="big.bin", count=2),),
        "attempts": (
            AttemptRecord(
                attempt=1,
                started_at=NOW,
                finished_at=NOW + timedelta(seconds=1),
                outcome=Outcome.FAILED,
                error=ERROR,
            ),
        ),
    }
    return make_job(**(values | members))


def test_a_job_document_has_the_members_of_the_contract_in_their_order() -> None:
    """A reader finds what every form shows first, then a list's, then what only the job has."""
    document = msgspec.json.decode(encode(JobDocument.of(make_running_job(), None, "/api")))

    assert list(document) == MEMBERS
    assert list(document["progress_detail"]) == (
        [
            "done",
            "total",
            "unit",
            "current_item",
            "rate_per_second",
            "eta_seconds",
            "progress_at",
            "waiting_for",
            "stalled",
            "memory_bytes",
            "cpu_seconds",
        ]
    )
    assert list(document["phases"][0]) == (
        ["name", "status", "weight", "progress", "started_at", "finished_at", "message", "result"]
    )
    assert list(document["attempts"][0]) == [
        "attempt",
        "started_at",
        "finished_at",
        "outcome",
        "error",
    ]
    assert list(document["attempts"][0]["error"]) == (
        ["code", "category", "severity", "retryable", "message", "phase", "occurred_at", "actions"]
    )


def test_times_are_utc_and_whole_seconds_are_whole() -> None:
    """Times end in Z; 3600 seconds are not 3600.0."""
    body = encode(JobDocument.of(make_running_job(), None, "/api"))

    assert b'"created_at":"2026-01-02T03:04:05.600000Z"' in body
    assert b'"timeout_seconds":3600,' in body
    assert b'"eta_seconds":8,' in body


@pytest.mark.parametrize("job", [make_job(), make_running_job()], ids=["queued", "running"])
@pytest.mark.parametrize("kind", [JobDocument, ListedJobDocument, CancelledJobDocument])
def test_a_job_document_comes_back_as_it_went(job: Job, kind: type[JobDocument]) -> None:
    """The client reads what the server wrote with the same class."""
    queue = QUEUE if job.status.is_waiting else None
    document = kind.of(job, queue, "/api")

    assert decode(encode(document), kind) == document


def test_links_stand_under_the_prefix() -> None:
    """An application that mounts the routes elsewhere has links that lead there."""
    job = make_job()

    document = msgspec.json.decode(encode(JobDocument.of(job, QUEUE, "/host/api")))

    assert document["links"] == {
        "self": f"/host/api/jobs/{job.job_id}",
        "events": f"/host/api/jobs/{job.job_id}/events",
        "cancel": f"/host/api/jobs/{job.job_id}/cancel",
    }


def test_a_waiting_job_says_where_it_stands() -> None:
    """The place in line is a member of the job."""
    document = msgspec.json.decode(encode(JobDocument.of(make_job(), QUEUE, "/api")))

    assert document["queue"] == {
        "position": 3,
        "length": 10,
        "blocked_by": ["user_limit"],
        "until": None,
        "estimated_wait_seconds": [20, 90.5],
    }


def test_a_listed_job_has_the_names_of_the_cidx_client_too() -> None:
    """Each is the same as a member of ours."""
    document = ListedJobDocument.of(make_job(finished_at=NOW), None, "/api")

    assert (document.operation_type, document.username) == ("repository_sync", "alice")
    assert document.completed_at == NOW


@pytest.mark.parametrize("status", [JobStatus.CREATED, JobStatus.QUEUED])
def test_the_short_form_of_a_waiting_job_is_queued(status: JobStatus) -> None:
    """A poller that knows no ``created`` need not learn it."""
    document = StatusDocument.of(make_job(status=status), QUEUE)

    assert (document.status, document.phase) == (JobStatus.QUEUED, "queued")
    assert document.message == "waiting at position 3 of 10 (user_limit)"


def test_the_short_form_leaves_out_the_long_members() -> None:
    """It has 1.2's members less phases, options, attempts and links, and seven names more."""
    document = msgspec.json.decode(encode(StatusDocument.of(make_running_job(), None)))

    assert set(MEMBERS) - set(document) == {
        "phases",
        "options",
        "attempts",
        "attempts_omitted",
        "links",
        "notify",
        "deliveries",
    }
    assert set(document) - set(MEMBERS) == {
        *("id", "operation_type", "username", "repository_id", "error_details", "completed_at")
    }


def test_the_short_form_of_a_failed_job_says_why() -> None:
    """`error_details` is text, and so is the message."""
    job = make_running_job(status=JobStatus.FAILED, finished_at=NOW, error=ERROR, message=None)

    document = StatusDocument.of(job, None)

    assert document.error_details == "GIT-001: no such repository"
    assert document.message == "no such repository"


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({}, "150 of 500 files"),
        ({"message": "indexing"}, "indexing (150 of 500 files)"),
        ({"message": None}, "150 of 500 files"),
        ({"message": None, "progress_detail": ProgressDetail()}, "indexing"),
        ({"message": None, "phase": None, "progress_detail": ProgressDetail()}, "running"),
        ({"status": JobStatus.COMPLETED, "message": None}, "completed"),
        ({"status": JobStatus.QUEUED}, "waiting"),
    ],
)
def test_there_is_always_a_line_that_says_where_a_job_stands(
    members: dict[str, Any], line: str
) -> None:
    """Counts go into it, once; without anything to say it names the status."""
    assert describe(make_running_job(**members), None) == line


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (JobStatus.CANCELLED, "Job cancelled"),
        (JobStatus.RUNNING, "Job is being cancelled"),
    ],
)
def test_the_answer_to_delete_says_what_became_of_it(status: JobStatus, message: str) -> None:
    """`message` is about the request, `success` is true."""
    document = CancelledJobDocument.of(make_running_job(status=status), None, "/api")

    assert (document.success, document.message) == (True, message)


def test_an_event_is_from_one_status_to_another() -> None:
    """The members are called ``from`` and ``to``, and come back."""
    row = Transition(
        job_id=JobId("j"),
        user_id=UserId("alice"),
        version=1,
        event="submit",
        from_status=None,
        to_status=JobStatus.CREATED,
        at=NOW,
        attempt=0,
        run=0,
        sequence=9,
    )
    document = EventDocument.of(row)

    body = encode(document)

    assert list(msgspec.json.decode(body)) == (
        ["seq", "job_id", "version", "event", "from", "to", "at", "attempt", "reason", "actor"]
    )
    assert decode(body, EventDocument) == document


def test_a_document_is_made_of_a_value_by_the_names_that_they_share() -> None:
    """What it has by another name is given, and what nobody gives is an error, not a null."""
    token = Token(
        token_id="9f2c", user_id=UserId("alice"), scope="write", digest="d", created_at=NOW
    )

    new = NewTokenDocument.like(token, token="cidxj_0")

    assert (new.token_id, new.scope, new.label, new.token) == ("9f2c", "write", None, "cidxj_0")
    with pytest.raises(AttributeError, match="token"):
        NewTokenDocument.like(token)


def test_text_that_is_no_text_does_not_stop_an_answer() -> None:
    """A file name with half a surrogate pair in it is shown with a question mark."""
    job = make_job(message="bad \udcff name", options={"\udc00": ["\udc01", {"a": "\udc02"}]})

    document = msgspec.json.decode(encode(JobDocument.of(job, None, "/api")))

    assert document["message"] == "bad ? name"
    assert document["options"] == {"?": ["?", {"a": "?"}]}


def test_a_problem_keeps_its_own_members() -> None:
    """What an error names stands beside them and never in their place."""
    problem = ProblemDocument(
        type="urn:x",
        title="Wrong",
        status=422,
        detail="wrong",
        code="validation_failed",
        instance="/api/jobs",
        request_id="r1",
    )

    body = encode_problem(problem, [Fault("/a", "no")], {"limit": 3, "status": 200})

    assert msgspec.json.decode(body) == {
        "type": "urn:x",
        "title": "Wrong",
        "status": 422,
        "detail": "wrong",
        "code": "validation_failed",
        "instance": "/api/jobs",
        "request_id": "r1",
        "errors": [{"pointer": "/a", "message": "no"}],
        "limit": 3,
    }


@pytest.mark.parametrize(("ended", "shown", "omitted"), [(3, 3, 0), (20, 20, 0), (1_000, 20, 980)])
def test_the_newest_attempts_are_shown(ended: int, shown: int, omitted: int) -> None:
    """A job that is tried for ever has a document that stays short."""
    at = datetime(2030, 1, 1, tzinfo=UTC)
    attempts = tuple(
        AttemptRecord(attempt=number, started_at=at, finished_at=at, outcome=Outcome.FAILED)
        for number in range(1, ended + 1)
    )

    document = JobDocument.of(replace(make_job(), attempts=attempts), None, "/api")

    assert (len(document.attempts), document.attempts_omitted) == (shown, omitted)
    assert document.attempts[-1].attempt == ended
