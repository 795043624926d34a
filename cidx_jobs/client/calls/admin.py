"""Routes of administrators: tokens, stats, limits, pauses, cleanup, log, backups, doctor."""

from collections.abc import Iterable
from typing import Any

from cidx_jobs.client.calls.routes import Routes, quoted
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.wire.admin.backups import BackupDocument, BackupListDocument
from cidx_jobs.wire.admin.findings import DoctorDocument, MendDocument
from cidx_jobs.wire.admin.log import AdminLogDocument
from cidx_jobs.wire.request_bodies import (
    ChangeUserBody,
    CleanupBody,
    LimitsBody,
    PauseBody,
    TokenBody,
    UserBody,
)
from cidx_jobs.wire.server import (
    CleanupDocument,
    DrainProgressDocument,
    LimitsDocument,
    PausesDocument,
    StatsDocument,
)
from cidx_jobs.wire.tokens import (
    NewTokenDocument,
    TokenListDocument,
    UserDocument,
    UserListDocument,
)

_BACKUP_SECONDS = 3_600.0


class AdminRoutes(Routes):
    """One method for each of these routes; all raise `PermissionDeniedError` for others."""

    async def create_token(
        self,
        user_id: str,
        scope: str = "write",
        *,
        lifetime_seconds: float | None = None,
        label: str | None = None,
    ) -> NewTokenDocument:
        """Make an access token; its text is shown this once.

        Raises:
            RequestRefusedError: a member is wrong; `errors` names it.
        """
        body = TokenBody(
            user_id=user_id, scope=scope, lifetime_seconds=lifetime_seconds, label=label
        )
        # A repeat after an unknown outcome would leave a second token that nobody knows.
        return await self._read(NewTokenDocument, "POST", "/api/admin/tokens", body, is_safe=False)

    async def list_tokens(self) -> TokenListDocument:
        """Return all access tokens, without their texts."""
        return await self._get(TokenListDocument, "/api/admin/tokens")

    async def revoke_token(self, token_id: str) -> None:
        """Revoke an access token at once.

        Raises:
            NotFoundError: there is no such token.
        """
        await self._ask("DELETE", f"/api/admin/tokens/{quoted(token_id)}")

    async def revoke_tokens(self, user_id: str) -> None:
        """Revoke all access tokens of a user at once."""
        await self._ask("DELETE", "/api/admin/tokens", query={"user_id": user_id})

    async def create_user(
        self,
        user_id: str,
        password: str | None = None,
        *,
        scope: str = "write",
        password_hash: str | None = None,
    ) -> UserDocument:
        """Make an account, so that the user can log in.

        By a password, or by a hash of it from elsewhere: argon2id in the PHC form, or bcrypt.

        Raises:
            ConflictError: the user has one.
            RequestRefusedError: a member is wrong; `errors` names it.
        """
        body = UserBody(
            user_id=user_id, scope=scope, password=password, password_hash=password_hash
        )
        return await self._read(UserDocument, "POST", "/api/admin/users", body)

    async def list_users(self) -> UserListDocument:
        """Return all accounts, by name."""
        return await self._get(UserListDocument, "/api/admin/users")

    async def change_user(
        self, user_id: str, *, password: str | None = None, scope: str | None = None
    ) -> UserDocument:
        """Set a user's password or scope; logins from before are refused.

        Raises:
            NotFoundError: the user has no account.
            RequestRefusedError: a member is wrong; `errors` names it.
        """
        body = ChangeUserBody(password=password, scope=scope)
        return await self._read(UserDocument, "PATCH", f"/api/admin/users/{quoted(user_id)}", body)

    async def remove_user(self, user_id: str, *, projects: bool = False) -> None:
        """Remove a user: account, tokens and logins, at once; their jobs are cancelled.

        Raises:
            NotFoundError: the user has no account.
        """
        query = {"projects": "true" if projects else None}
        await self._ask("DELETE", f"/api/admin/users/{quoted(user_id)}", query=query)

    async def get_stats(self) -> StatsDocument:
        """Return the counts of the whole server, and what is in use now."""
        return await self._get(StatsDocument, "/api/admin/stats")

    async def examine(self, *, deep: bool = False) -> DoctorDocument:
        """Let the server compare rows, log, slots, queue, runs and children.

        Args:
            deep: also every index of its database, which takes longer.
        """
        query = {"deep": "true" if deep else None}
        return await self._get(DoctorDocument, "/api/admin/doctor", query)

    async def mend(self, *, deep: bool = False) -> MendDocument:
        """Let the server put right what it finds, as far as that can be done while it runs.

        Args:
            deep: also look for what takes longer to find.
        """
        query = {"deep": "true" if deep else None}
        return await self._read(MendDocument, "POST", "/api/admin/doctor", query=query)

    async def get_limits(self) -> LimitsDocument:
        """Return the limits in force."""
        return await self._get(LimitsDocument, "/api/admin/limits")

    async def change_limits(self, **limits: Any) -> LimitsDocument:
        """Put other limits in force, by the names of `LimitsBody`; the others stay.

        Raises:
            RequestRefusedError: a limit is out of its range; `errors` names it.
        """
        return await self._read(LimitsDocument, "PATCH", "/api/admin/limits", LimitsBody(**limits))

    async def pause(
        self, *, user_id: str | None = None, job_type: str | None = None
    ) -> PausesDocument:
        """Keep everything, a user's jobs, or those of a type from starting."""
        body = PauseBody(user_id=user_id, job_type=job_type)
        return await self._read(PausesDocument, "POST", "/api/admin/pause", body)

    async def resume(
        self, *, user_id: str | None = None, job_type: str | None = None
    ) -> PausesDocument:
        """Let them start again."""
        body = PauseBody(user_id=user_id, job_type=job_type)
        return await self._read(PausesDocument, "POST", "/api/admin/resume", body)

    async def drain(self) -> PausesDocument:
        """Let the server refuse new jobs, start none, and finish what runs."""
        return await self._read(PausesDocument, "POST", "/api/admin/drain", {})

    async def end_drain(self) -> PausesDocument:
        """Let the server take new jobs again."""
        return await self._read(PausesDocument, "DELETE", "/api/admin/drain")

    async def get_drain(self) -> DrainProgressDocument:
        """Return how far the drain is."""
        return await self._get(DrainProgressDocument, "/api/admin/drain")

    async def clean_up(
        self,
        older_than_seconds: float,
        *,
        statuses: Iterable[JobStatus] | None = None,
        dry_run: bool = False,
    ) -> CleanupDocument:
        """Delete the jobs that finished so long ago, with their events; or only count them.

        Raises:
            RequestRefusedError: the age is out of its range, or a status is not a final one.
        """
        body = CleanupBody(
            older_than_seconds=older_than_seconds,
            statuses=None if statuses is None else list(statuses),
            dry_run=dry_run,
        )
        return await self._read(CleanupDocument, "POST", "/api/admin/cleanup", body)

    async def make_backup(self) -> BackupDocument:
        """Let the server make a backup of its database; it is checked when this returns.

        Raises:
            ServerBusyError: there is no room for it, or it could not be made.
        """
        # However large the database is; a repeat would make a second one.
        return await self._read(
            BackupDocument,
            "POST",
            "/api/admin/backup",
            {},
            is_safe=False,
            wait_seconds=_BACKUP_SECONDS,
        )

    async def list_backups(self) -> BackupListDocument:
        """Return the backups that the server has, newest first."""
        return await self._get(BackupListDocument, "/api/admin/backups")

    async def list_log(self, *, limit: int = 50, cursor: str | None = None) -> AdminLogDocument:
        """Return a page of the admin log, newest first.

        Args:
            limit: 1 to 200 entries.
            cursor: `next_cursor` of the page before.
        """
        query = {"limit": limit, "cursor": cursor}
        return await self._get(AdminLogDocument, "/api/admin/log", query)
