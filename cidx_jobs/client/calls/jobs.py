"""Routes of jobs: submit, read, list, change."""

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

import attrs

from cidx_jobs.client.calls.routes import Routes, instant, quoted
from cidx_jobs.client.transport import Answer
from cidx_jobs.model.job.submit import OnConflict
from cidx_jobs.wire.jobs import JobDocument, JobListDocument, StatusDocument
from cidx_jobs.wire.request_bodies import CancelBody, RetryBody, ReviseBody, SubmitBody, SyncBody


@attrs.frozen(kw_only=True)
class PolledJob:
    """A job as it was read, with what the next reading needs."""

    job: JobDocument
    tag: str | None = None
    """The entity tag, as it stands in the header; changes with whatever there is to see. None
    where the job came without one: its version then stands for it."""
    retry_after_seconds: float | None = None
    """When a plain poller should ask again."""


class JobRoutes(Routes):
    """One method for each route of jobs."""

    async def submit(
        self,
        job_type: str,
        project_id: str,
        *,
        options: Mapping[str, Any] | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        start_at: datetime | None = None,
        hold: bool = False,
        on_conflict: OnConflict | str = OnConflict.COALESCE,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        notify: str | None = None,
        idempotency_key: str | None = None,
        user_id: str | None = None,
    ) -> JobDocument:
        """Submit a job; return it as it was stored, or the one that it joined.

        Sent with *idempotency_key*, or one made for this call, so that a repeat after an unknown
        outcome gives the one job. Of all jobs of the user with a key in *limits* at most so many
        run at a time. Its end is posted to *notify*, signed with the secret of
        `create_notify_secret`. What is None is the server's choice. With *user_id* an
        administrator submits it for that user, whose job it is.

        Raises:
            RequestRefusedError: a member is wrong; `errors` names it.
            ConflictError: the project is busy and *on_conflict* is ``reject``.
            ServerBusyError: too many jobs wait, or the server drains.
        """
        body = SubmitBody(
            job_type=job_type,
            project_id=project_id,
            options=dict(options or {}),
            priority=priority,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            start_at=start_at,
            hold=hold,
            on_conflict=OnConflict(on_conflict),
            labels=dict(labels or {}),
            limits=dict(limits or {}),
            notify=notify,
            user_id=user_id,
        )
        return await self._submit("/api/jobs", body, idempotency_key)

    async def sync(
        self,
        project_id: str,
        *,
        repository_url: str | None = None,
        branch: str | None = None,
        full_reindex: bool | None = None,
        skip_indexing: bool | None = None,
        priority: int | None = None,
        on_conflict: OnConflict | str = OnConflict.COALESCE,
        labels: Mapping[str, str] | None = None,
        notify: str | None = None,
        idempotency_key: str | None = None,
        user_id: str | None = None,
    ) -> JobDocument:
        """Submit a ``repository_sync``; url and branch are those of the last one unless given.

        Its end is posted to *notify*. With *user_id* an administrator submits it for that user,
        whose project it is.

        Raises:
            RequestRefusedError: a member is wrong; `errors` names it.
            ConflictError: the project is busy and *on_conflict* is ``reject``.
            ServerBusyError: too many jobs wait, or the server drains.
        """
        options = {
            "repository_url": repository_url,
            "branch": branch,
            "full_reindex": full_reindex,
            "skip_indexing": skip_indexing,
        }
        body = SyncBody(
            project_id=project_id,
            options={name: value for name, value in options.items() if value is not None},
            priority=priority,
            on_conflict=OnConflict(on_conflict),
            labels=dict(labels or {}),
            notify=notify,
            user_id=user_id,
        )
        return await self._submit("/api/sync", body, idempotency_key)

    async def get_job(self, job_id: str) -> JobDocument:
        """Return the job as it is now.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
        """
        return await self._get(JobDocument, f"/api/jobs/{quoted(job_id)}")

    async def get_status(self, job_id: str) -> StatusDocument:
        """Return the short form of the job, with a message that is always text.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
        """
        return await self._get(StatusDocument, f"/api/jobs/{quoted(job_id)}/status")

    async def poll_job(
        self,
        job_id: str,
        *,
        known: PolledJob | None = None,
        wait_seconds: float = 0,
        until: str | None = None,
    ) -> PolledJob:
        """Return the job once it differs from *known*, or after *wait_seconds* as it is.

        Asks once and repeats nothing: who polls asks again anyway.

        Args:
            job_id: which one.
            known: the job as it was last read.
            wait_seconds: how long the server may wait; it counts whole seconds, so a part of
                one is rounded up.
            until: what it waits for, ``change``, ``status`` or ``done``; None is any change,
                or the end where nothing is known.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
        """
        answer = await self._ask(
            "GET",
            f"/api/jobs/{quoted(job_id)}",
            query={
                "wait": math.ceil(wait_seconds) or None,
                "until": until if wait_seconds else None,
                "since": known.job.version if known and wait_seconds and not known.tag else None,
            },
            headers={"If-None-Match": known.tag} if known and known.tag else {},
            wait_seconds=math.ceil(wait_seconds),
            is_safe=False,
        )
        if known and answer.status == HTTPStatus.NOT_MODIFIED:
            return attrs.evolve(known, retry_after_seconds=answer.retry_after_seconds)
        return _polled(answer)

    async def list_jobs(
        self,
        *,
        status: Sequence[str] = (),
        job_type: str | None = None,
        project_id: str | None = None,
        schedule: str | None = None,
        parent_id: str | None = None,
        user_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        order: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> JobListDocument:
        """Return one page of the jobs that fit, newest first unless *order* is ``created_at``.

        Raises:
            RequestRefusedError: a filter is out of its range.
        """
        query = {
            "status": ",".join(status) or None,
            "job_type": job_type,
            "project_id": project_id,
            "schedule": schedule,
            "parent_id": parent_id,
            "user_id": user_id,
            "label": [f"{key}:{value}" for key, value in (labels or {}).items()],
            "created_after": instant(created_after),
            "created_before": instant(created_before),
            "order": order,
            "limit": limit,
            "offset": offset,
            "cursor": cursor,
        }
        return await self._get(JobListDocument, "/api/jobs", query)

    async def cancel_job(self, job_id: str, reason: str | None = None) -> JobDocument:
        """Ask for the job to stop; it is cancelled at once if it waits, else soon.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
            ConflictError: it has completed or failed.
        """
        return await self._change(job_id, "cancel", CancelBody(reason=reason), is_safe=True)

    async def delete_job(self, job_id: str) -> JobDocument:
        """Do the same as `cancel_job`, by the verb DELETE.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
            ConflictError: it has completed or failed.
        """
        return await self._read(JobDocument, "DELETE", f"/api/jobs/{quoted(job_id)}")

    async def retry_job(self, job_id: str, *, from_start: bool = False) -> JobDocument:
        """Queue a failed or cancelled job again, from its checkpoint unless *from_start*.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
            ConflictError: it is not failed or cancelled, or its project is busy.
        """
        return await self._change(job_id, "retry", RetryBody(from_start=from_start))

    async def start_job(self, job_id: str) -> JobDocument:
        """Release a job that is held, waits for its time, or for its next attempt.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
            ConflictError: it is neither.
        """
        return await self._change(job_id, "start", None)

    async def revise_job(
        self,
        job_id: str,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> JobDocument:
        """Change what a waiting job asks for; None leaves a member, *labels* replace all.

        Raises:
            NotFoundError: there is no such job, or it is another user's.
            ConflictError: it does not wait any more.
            PreconditionFailedError: it is not at *if_version*.
        """
        return await self._read(
            JobDocument,
            "PATCH",
            f"/api/jobs/{quoted(job_id)}",
            ReviseBody(priority=priority, labels=None if labels is None else dict(labels)),
            headers={} if if_version is None else {"If-Match": f'W/"{if_version}"'},
            is_safe=if_version is None,
        )

    async def _submit(
        self, path: str, body: SubmitBody | SyncBody, idempotency_key: str | None
    ) -> JobDocument:
        key = idempotency_key or str(uuid.uuid4())
        return await self._read(JobDocument, "POST", path, body, headers={"Idempotency-Key": key})

    async def _change(
        self, job_id: str, verb: str, body: Any, *, is_safe: bool = False
    ) -> JobDocument:
        return await self._read(
            JobDocument, "POST", f"/api/jobs/{quoted(job_id)}/{verb}", body, is_safe=is_safe
        )


def _polled(answer: Answer) -> PolledJob:
    job = answer.decode(JobDocument)
    return PolledJob(
        job=job,
        tag=answer.headers.get("ETag"),
        retry_after_seconds=answer.retry_after_seconds,
    )
