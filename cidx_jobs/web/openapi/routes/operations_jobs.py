"""What the routes of jobs take and give."""

from collections.abc import Mapping

from cidx_jobs.web.openapi import examples_jobs as examples
from cidx_jobs.web.openapi.routes.contract import Operation, Reply
from cidx_jobs.web.openapi.routes.parameters import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIST_FILTERS,
    LIST_PAGES,
    PREFER,
    WATCHING,
)
from cidx_jobs.wire.jobs import CancelledJobDocument, JobDocument, JobListDocument, StatusDocument
from cidx_jobs.wire.request_bodies import (
    CancelBody,
    EmptyBody,
    RetryBody,
    ReviseBody,
    SubmitBody,
    SyncBody,
)

_TAGGED = ("ETag", "Retry-After")
_SUBMIT_HEADERS = (
    "Location",
    "ETag",
    "Retry-After",
    "Idempotency-Replayed",
    "Preference-Applied",
)
_SUBMIT_ABOUT = (
    "The answer is written after the job is durable. While an exclusive job of the project is "
    "active, `on_conflict` says whether the request joins it, is refused, or replaces it."
)
_SUBMIT_ERRORS = (
    "project_busy",
    "idempotency_key_reused",
    "user_queue_full",
    "queue_full",
    "draining",
)
_SUBMIT_REPLIES = (
    Reply(
        status=202,
        about="Stored: a new job, or the one that this Idempotency-Key made.",
        document=JobDocument,
        example=examples.JOB_QUEUED,
        headers=_SUBMIT_HEADERS,
    ),
    Reply(
        status=200,
        about="Joined a waiting job; or, with `Prefer: wait`, the job has ended.",
        document=JobDocument,
        example=examples.JOB_QUEUED,
        headers=_SUBMIT_HEADERS,
    ),
)
_WATCH_ABOUT = (
    "With `wait` the answer comes when what `until` names holds, when the job is done, or when "
    "the time is up. What it is counted from is `since`, else If-None-Match."
)
_UNCHANGED = Reply(status=304, about="The job is as If-None-Match says.", headers=_TAGGED)


def _job_reply(status: int, about: str, example: JobDocument) -> Reply:
    return Reply(
        status=status, about=about, document=JobDocument, example=example, headers=_TAGGED
    )


JOB_OPERATIONS: Mapping[str, Operation] = {
    "POST /jobs": Operation(
        name="submitJob",
        group="jobs",
        summary="Submit a job of any registered type.",
        about=_SUBMIT_ABOUT,
        parameters=(IDEMPOTENCY_KEY, PREFER),
        body=SubmitBody,
        body_is_required=True,
        body_example={
            "job_type": "repository_sync",
            "project_id": examples.PROJECT_ID,
            "options": {"repository_url": examples.URL, "branch": "main"},
            "priority": 5,
            "labels": {"origin": "ci"},
        },
        replies=_SUBMIT_REPLIES,
        errors=(*_SUBMIT_ERRORS, "unknown_job_type"),
    ),
    "POST /sync": Operation(
        name="syncRepository",
        group="jobs",
        summary="Submit the sync of a repository.",
        about="The same as a `repository_sync` by `POST /jobs`. " + _SUBMIT_ABOUT,
        parameters=(IDEMPOTENCY_KEY, PREFER),
        body=SyncBody,
        body_is_required=True,
        body_example={"project_id": examples.PROJECT_ID, "repository_url": examples.URL},
        replies=_SUBMIT_REPLIES,
        errors=_SUBMIT_ERRORS,
    ),
    "GET /jobs": Operation(
        name="listJobs",
        group="jobs",
        summary="List jobs, newest first.",
        about="The caller's own; an administrator's list holds everybody's.",
        parameters=(*LIST_FILTERS, *LIST_PAGES),
        replies=(
            Reply(
                status=200,
                about="One page.",
                document=JobListDocument,
                example=examples.JOB_LIST,
                headers=("Link",),
            ),
        ),
        errors=("invalid_cursor", "forbidden"),
    ),
    "GET /jobs/{job_id}": Operation(
        name="getJob",
        group="jobs",
        summary="Read the whole job, or wait for news of it.",
        about=_WATCH_ABOUT,
        parameters=WATCHING,
        replies=(_job_reply(200, "The job.", examples.JOB_RUNNING), _UNCHANGED),
        errors=("job_not_found",),
    ),
    "GET /jobs/{job_id}/status": Operation(
        name="getJobStatus",
        group="jobs",
        summary="Read the short form of the job, or wait for news of it.",
        about="`status` is never `created`, and `message` is always text. " + _WATCH_ABOUT,
        parameters=WATCHING,
        replies=(
            Reply(
                status=200,
                about="The short form.",
                document=StatusDocument,
                example=examples.STATUS,
                headers=_TAGGED,
            ),
            _UNCHANGED,
        ),
        errors=("job_not_found",),
    ),
    "POST /jobs/{job_id}/cancel": Operation(
        name="cancelJob",
        group="jobs",
        summary="Cancel the job; idempotent.",
        about="A job that waits is cancelled at once; one that runs is told to stop.",
        body=CancelBody,
        body_example={"reason": "not needed any more"},
        replies=(
            _job_reply(202, "It was told to stop, and runs until it has.", examples.JOB_STOPPING),
            _job_reply(200, "It is cancelled.", examples.JOB_STOPPING),
        ),
        errors=("job_not_found", "already_finished"),
    ),
    "DELETE /jobs/{job_id}": Operation(
        name="deleteJob",
        group="jobs",
        summary="Cancel the job, for clients that expect the verb.",
        about="It does not wait: `status` is `cancelled`, or `running` while the job stops.",
        body=CancelBody,
        body_example={"reason": "not needed any more"},
        replies=(
            Reply(
                status=200,
                about="The job.",
                document=CancelledJobDocument,
                example=examples.JOB_DELETED,
                headers=_TAGGED,
            ),
        ),
        errors=("job_not_found", "already_finished"),
    ),
    "POST /jobs/{job_id}/retry": Operation(
        name="retryJob",
        group="jobs",
        summary="Queue a failed or cancelled job again.",
        about="It goes on from its checkpoint unless `from_start` is true.",
        body=RetryBody,
        body_example={"from_start": True},
        replies=(_job_reply(202, "It is queued again.", examples.JOB_QUEUED),),
        errors=("job_not_found", "invalid_transition", "project_busy"),
    ),
    "POST /jobs/{job_id}/start": Operation(
        name="startJob",
        group="jobs",
        summary="Release a held or later job now.",
        body=EmptyBody,
        body_example={},
        replies=(_job_reply(202, "It is queued.", examples.JOB_QUEUED),),
        errors=("job_not_found", "invalid_transition"),
    ),
    "PATCH /jobs/{job_id}": Operation(
        name="reviseJob",
        group="jobs",
        summary="Change the priority or the labels of a job that waits.",
        parameters=(IF_MATCH,),
        body=ReviseBody,
        body_example={"priority": 7, "labels": {"origin": "ci"}},
        replies=(_job_reply(200, "The job with its new values.", examples.JOB_QUEUED),),
        errors=("job_not_found", "invalid_transition", "precondition_failed"),
    ),
}
"""By method and path, the path below the prefix."""
