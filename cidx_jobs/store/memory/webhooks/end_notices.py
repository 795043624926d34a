"""Notices of ends in memory, and the secrets that sign them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.webhooks.end_notice import EndNotice, NoticeTry
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryEndNotices(EndNoticeStore):
    """Notices by their ids, secrets by user."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Take where the jobs are: notices go with them."""
        self._database = database
        self._notices = database.end_notices
        self._secrets: dict[UserId, str] = {}

    @override
    async def save_secret(self, user_id: UserId, sealed_secret: str, at: datetime) -> None:
        self._database.check_writable()
        self._secrets[user_id] = sealed_secret

    @override
    async def find_secret(self, user_id: UserId) -> str | None:
        return self._secrets.get(user_id)

    @override
    async def list_secrets(self) -> Sequence[tuple[UserId, str]]:
        return tuple(sorted(self._secrets.items()))

    @override
    async def forget_user(self, user_id: UserId) -> None:
        self._database.check_writable()
        self._secrets.pop(user_id, None)
        for webhook_id, notice in self._notices.items():
            if notice.user_id == user_id:
                self._notices[webhook_id] = replace(notice, next_at=None, body=b"")

    @override
    async def add_notices(self, notices: Sequence[EndNotice]) -> Sequence[EndNotice]:
        self._database.check_writable()
        known = {(one.job_id, one.version, one.url) for one in self._notices.values()}
        added = [one for one in notices if (one.job_id, one.version, one.url) not in known]
        self._notices.update((notice.webhook_id, notice) for notice in added)
        return tuple(added)

    @override
    async def find_untold(self, limit: int) -> Sequence[JobId]:
        told = {(one.job_id, one.version) for one in self._notices.values()}
        found = (
            job.job_id
            for job in self._database.table.jobs.values()
            # The version of the end: the removal of a payload, which comes after it, is one more.
            if job.notify and job.done and (job.job_id, job.end_version) not in told
        )
        return tuple(job_id for job_id, _ in zip(found, range(limit), strict=False))

    @override
    async def list_pending(self) -> Sequence[EndNotice]:
        pending = [
            (notice.next_at, notice.webhook_id, replace(notice, body=b"", tries=()))
            for notice in self._notices.values()
            if notice.next_at is not None
        ]
        return tuple(notice for *_, notice in sorted(pending, key=lambda one: one[:2]))

    @override
    async def load_notice(self, webhook_id: str) -> EndNotice | None:
        return self._notices.get(webhook_id)

    @override
    async def save_try(self, webhook_id: str, tried: NoticeTry, next_at: datetime | None) -> None:
        self._database.check_writable()
        notice = self._notices.get(webhook_id)
        if notice is None:
            return
        due = None if notice.next_at is None else next_at
        notice = replace(notice, tries=(*notice.tries, tried), next_at=due)
        self._notices[webhook_id] = notice if due else replace(notice, body=b"")
        if due is None and notice.job_id not in self._database.table.jobs:
            del self._notices[webhook_id]

    @override
    async def list_tries(self, job_id: JobId) -> Sequence[NoticeTry]:
        tries = [
            tried
            for notice in self._notices.values()
            if notice.job_id == job_id
            for tried in notice.tries
        ]
        return tuple(sorted(tries, key=lambda tried: tried.at))
