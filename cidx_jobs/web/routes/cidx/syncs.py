"""The three routes by which the client of CIDX asks for a sync."""

from aiohttp import web

from cidx_jobs.handlers.repository_sync.options import SyncOptions
from cidx_jobs.model.errors import RepositoryNotFoundError
from cidx_jobs.model.job.submit import OnConflict, Submission, SubmitRequest
from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.route import Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.cidx.documents import (
    CidxOptionsDocument,
    CidxSyncDocument,
)
from cidx_jobs.web.routes.cidx.groups import CIDX, load_repository
from cidx_jobs.web.routes.jobs.submit import ADMISSION_ERRORS
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC, CidxNamedSyncBody, CidxSyncBody

_ABOUT = (
    "A sync that waits is joined, and the answer is the same. `ignore_patterns`, `timeout`, "
    "`remote`, `progress_webhook` and members that nobody knows are taken without effect."
)
_REPLY = Reply(
    202,
    "Stored, or a waiting one was joined.",
    CidxSyncDocument.of(
        examples.QUEUED_JOB,
        CidxOptionsDocument(force=False, full_reindex=False, incremental=True),
        message="Sync submitted",
        prefix=examples.PREFIX,
    ),
    headers=("Location",),
)
_EXAMPLE = {"incremental": True, "force_sync": False}


@route(
    "POST /repositories/{alias}/sync",
    CIDX,
    scope="write",
    body=CidxSyncBody,
    body_example=_EXAMPLE,
    about=_ABOUT,
    documents=[SyncOptions],
    replies=[_REPLY],
    errors=ADMISSION_ERRORS,
)
async def sync_repository_of_cidx(call: Call, body: CidxSyncBody) -> web.Response:
    """Sync a project that is known."""
    return await _sync(call, call.request.match_info["alias"], body)


@route(
    "POST /repos/{alias}/sync",
    CIDX,
    scope="write",
    body=CidxSyncBody,
    body_example=_EXAMPLE,
    about=_ABOUT,
    replies=[_REPLY],
    errors=ADMISSION_ERRORS,
)
async def sync_repo_of_cidx(call: Call, body: CidxSyncBody) -> web.Response:
    """Sync a project that is known, by another path."""
    return await _sync(call, call.request.match_info["alias"], body)


@route(
    "POST /repos/sync",
    CIDX,
    scope="write",
    body=CidxNamedSyncBody,
    body_example={"repository_alias": examples.PROJECT_ID, **_EXAMPLE},
    about=_ABOUT,
    replies=[_REPLY],
    errors=[*ADMISSION_ERRORS, RepositoryNotFoundError],
)
async def sync_named_repo_of_cidx(call: Call, body: CidxNamedSyncBody) -> web.Response:
    """Sync a project that is known, named in the body."""
    return await _sync(call, body.repository_alias, body, "/repository_alias")


async def _sync(
    call: Call, alias: str, body: CidxSyncBody, pointer: str = "/alias"
) -> web.Response:
    project = await load_repository(call, alias, pointer)
    submission = await call.manager.create_job(
        SubmitRequest(
            user_id=call.user_id,
            project_id=project.project_id,
            job_type=REPOSITORY_SYNC,
            options={"full_reindex": True} if body.is_full else {},
            on_conflict=OnConflict.REPLACE if body.is_forced else OnConflict.COALESCE,
            actor=call.user_id,
        )
    )
    options = CidxOptionsDocument(
        force=body.is_forced, full_reindex=body.is_full, incremental=not body.is_full
    )
    document = CidxSyncDocument.of(
        submission.job, options, message=_message(submission, body), prefix=call.prefix
    )
    return call.answer(document, status=202, headers={"Location": document.job_url})


def _message(submission: Submission, body: CidxSyncBody) -> str:
    told = "Joined a sync that waits" if submission.is_joined else "Sync submitted"
    if body.pull_remote is False:
        return f"{told}; it fetches from the remote all the same"
    return told
