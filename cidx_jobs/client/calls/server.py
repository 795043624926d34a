"""Routes of the server and of projects: events, queue, job types, search, health."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal

import msgspec

from cidx_jobs.client.calls.routes import Routes, quoted
from cidx_jobs.client.transport import Call
from cidx_jobs.wire.events import EventListDocument
from cidx_jobs.wire.projects import (
    ChangeProjectBody,
    ProjectDocument,
    ProjectListDocument,
    SearchDocument,
    SkippedListDocument,
)
from cidx_jobs.wire.server import (
    AliveDocument,
    JobTypeListDocument,
    QueueOverviewDocument,
    ReadyDocument,
)


class ServerRoutes(Routes):
    """One method for each of these routes."""

    async def list_events(
        self, job_id: str | None = None, *, cursor: str | None = None, limit: int | None = None
    ) -> EventListDocument:
        """Return a page of the transition log, oldest first: of one job, or of all one may see.

        Raises:
            NotFoundError: there is no such job, or the log no longer holds what comes next.
        """
        path = "/api/events" if job_id is None else f"/api/jobs/{quoted(job_id)}/events"
        return await self._get(EventListDocument, path, {"cursor": cursor, "limit": limit})

    def stream_events(
        self, job_id: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes] | None]:
        """Open the live stream of a job behind the row *after*; `follow_events` reads it.

        None in place of the stream when the job is done and there is no row behind that one.

        Raises:
            NotFoundError: there is no such job.
        """
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        path = f"/api/jobs/{quoted(job_id)}/events"
        return self._transport.stream(Call(method="GET", path=path, headers=headers))

    async def get_queue(self) -> QueueOverviewDocument:
        """Return limits, slots in use, and the caller's waiting jobs with their positions."""
        return await self._get(QueueOverviewDocument, "/api/queue")

    async def list_job_types(self) -> JobTypeListDocument:
        """Return the registered job types with the JSON Schema of their options."""
        return await self._get(JobTypeListDocument, "/api/job-types")

    async def list_projects(self, *, user_id: str | None = None) -> ProjectListDocument:
        """Return what is known of the caller's projects, or of another user's.

        Args:
            user_id: whose, for administrators and auditors; ``*`` is everybody's.

        Raises:
            PermissionDeniedError: *user_id* is given, and the caller is neither.
        """
        return await self._get(ProjectListDocument, "/api/projects", {"user_id": user_id})

    async def get_project(self, project_id: str, *, user_id: str | None = None) -> ProjectDocument:
        """Return what is known of one of the caller's projects, or of another user's.

        Raises:
            NotFoundError: the user has no such project.
            PermissionDeniedError: *user_id* is given, by no administrator or auditor.
        """
        return await self._get(
            ProjectDocument, f"/api/projects/{quoted(project_id)}", {"user_id": user_id}
        )

    async def change_project(
        self,
        project_id: str,
        *,
        sync_every_seconds: int | Literal["auto"] | None = None,
        user_id: str | None = None,
    ) -> ProjectDocument:
        """Say how often a project's remote is asked for news; None is never.

        Raises:
            NotFoundError: there is no such project.
            RequestRefusedError: there is no such interval.
        """
        return await self._read(
            ProjectDocument,
            "PATCH",
            f"/api/projects/{quoted(project_id)}",
            ChangeProjectBody(sync_every_seconds=sync_every_seconds),
            query={"user_id": user_id},
        )

    async def remove_project(self, project_id: str, *, user_id: str | None = None) -> None:
        """Remove one of the caller's projects: its copy, its index, and what is known of it.

        Of another user's where *user_id* names one; for administrators.

        Raises:
            NotFoundError: the caller has no such project.
            ConflictError: a job of the project is not done.
        """
        path = f"/api/projects/{quoted(project_id)}"
        await self._ask("DELETE", path, query={"user_id": user_id})

    async def search(
        self,
        project_id: str,
        text: str,
        *,
        limit: int | None = None,
        path: str | None = None,
        cursor: str | None = None,
        user_id: str | None = None,
    ) -> SearchDocument:
        """Return the lines of the project's index that hold *text*, by path, then line.

        Args:
            project_id: which project of the caller.
            text: at least three characters; letter case does not count.
            limit: how many lines at most; the server's choice if None.
            path: only below this path.
            cursor: the `next_cursor` of the page before.
            user_id: whose project it is, if not the caller's; for administrators.

        Raises:
            NotFoundError: the caller has no such project.
            ConflictError: it has no index yet, or a damaged one.
            RequestRefusedError: the text is too short.
        """
        return await self._get(
            SearchDocument,
            f"/api/projects/{quoted(project_id)}/search",
            {"q": text, "limit": limit, "path": path, "cursor": cursor, "user_id": user_id},
        )

    async def list_skipped(
        self,
        project_id: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        user_id: str | None = None,
    ) -> SkippedListDocument:
        """Return a page of what of the project's last commit is not in its index, and why.

        Raises:
            NotFoundError: the caller has no such project.
        """
        path = f"/api/projects/{quoted(project_id)}/skipped"
        return await self._get(
            SkippedListDocument, path, {"cursor": cursor, "limit": limit, "user_id": user_id}
        )

    async def get_livez(self) -> AliveDocument:
        """Tell that the server's loop turns."""
        return await self._get(AliveDocument, "/livez")

    async def get_readyz(self) -> ReadyDocument:
        """Tell that the server takes work; asked once.

        Raises:
            ServerBusyError: it does not; `members` has the reasons.
        """
        return await self._read(ReadyDocument, "GET", "/readyz", is_safe=False)

    async def get_version(self) -> str:
        """Return the server's version, as its description of the API (``/openapi.json``) says it.

        No token is needed for it.

        Raises:
            UnexpectedAnswerError: it is no such server.
        """
        return (await self._read(_Description, "GET", "/openapi.json")).info.version

    async def get_metrics(self) -> str:
        """Return the server's metrics, in the text of Prometheus.

        Raises:
            PermissionDeniedError: they are for administrators and auditors there.
            ServerError: the server has not the extra ``metrics``.
        """
        return (await self._ask("GET", "/metrics")).body.decode()


class _Info(msgspec.Struct, frozen=True):
    version: str


class _Description(msgspec.Struct, frozen=True):
    """What is read of the document of the API."""

    info: _Info
