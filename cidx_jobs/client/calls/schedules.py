"""Routes of schedules: make, list, read, change, remove, run."""

from collections.abc import Mapping
from typing import Any

from cidx_jobs.client.calls.routes import Routes, quoted
from cidx_jobs.model.schedules.schedule import CatchUp
from cidx_jobs.wire.jobs import JobDocument
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC
from cidx_jobs.wire.schedules import ScheduleBody, ScheduleDocument, ScheduleListDocument


class ScheduleRoutes(Routes):
    """One method for each of these routes; *user_id* is for administrators, to act for others."""

    async def create_schedule(
        self,
        name: str,
        project_id: str,
        *,
        job_type: str = REPOSITORY_SYNC,
        options: Mapping[str, Any] | None = None,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        notify: str | None = None,
        cron: str | None = None,
        every_seconds: int | None = None,
        timezone: str = "UTC",
        jitter_seconds: int = 0,
        catch_up: CatchUp | str = CatchUp.ONCE,
        enabled: bool = True,
        user_id: str | None = None,
    ) -> ScheduleDocument:
        """Make a schedule, by a *cron* line or by *every_seconds*.

        Raises:
            RequestRefusedError: a member is wrong; `errors` names it.
            ConflictError: there is one of that name.
        """
        body = ScheduleBody(
            name=name,
            user_id=user_id,
            job_type=job_type,
            project_id=project_id,
            options=dict(options or {}),
            priority=priority,
            labels=dict(labels or {}),
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            notify=notify,
            cron=cron,
            every_seconds=every_seconds,
            timezone=timezone,
            jitter_seconds=jitter_seconds,
            catch_up=CatchUp(catch_up),
            enabled=enabled,
        )
        # A repeat after an unknown outcome would find its own schedule in its way.
        return await self._read(ScheduleDocument, "POST", "/api/schedules", body, is_safe=False)

    async def list_schedules(
        self,
        *,
        user_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ScheduleListDocument:
        """Return a page of schedules by name: the caller's, another user's, or with ``*`` all."""
        query = {"user_id": user_id, "limit": limit, "cursor": cursor}
        return await self._get(ScheduleListDocument, "/api/schedules", query)

    async def get_schedule(self, name: str, *, user_id: str | None = None) -> ScheduleDocument:
        """Return a schedule: its next times, and what became of the last.

        Raises:
            NotFoundError: there is none of that name.
        """
        return await self._get(
            ScheduleDocument, f"/api/schedules/{quoted(name)}", {"user_id": user_id}
        )

    async def change_schedule(
        self, name: str, *, user_id: str | None = None, **members: Any
    ) -> ScheduleDocument:
        """Change the *members* of a schedule, by their names in the API; the others stay.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: it stands in the code of the application that serves it.
            RequestRefusedError: a member is wrong; `errors` names it.
        """
        path = f"/api/schedules/{quoted(name)}"
        return await self._read(
            ScheduleDocument, "PATCH", path, members, query={"user_id": user_id}
        )

    async def remove_schedule(self, name: str, *, user_id: str | None = None) -> None:
        """Remove a schedule; its jobs stay.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: it stands in the code of the application that serves it.
        """
        path = f"/api/schedules/{quoted(name)}"
        await self._ask("DELETE", path, query={"user_id": user_id})

    async def run_schedule(self, name: str, *, user_id: str | None = None) -> JobDocument:
        """Submit the job of a schedule now, also of one that is disabled.

        Raises:
            NotFoundError: there is none of that name.
            ServerBusyError: too many jobs wait, or the server drains.
        """
        path = f"/api/schedules/{quoted(name)}/run"
        return await self._read(
            JobDocument, "POST", path, query={"user_id": user_id}, is_safe=False
        )
