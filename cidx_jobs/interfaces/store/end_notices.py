"""Where notices of ends are kept until they are told, with the secrets that sign them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.webhooks.end_notice import EndNotice, NoticeTry


class EndNoticeStore(Protocol):
    """Keeps notices as long as their jobs, and longer while they are still to be told."""

    async def save_secret(self, user_id: UserId, sealed_secret: str, at: datetime) -> None:
        """Store the secret that signs a user's notices, in place of the one before."""

    async def find_secret(self, user_id: UserId) -> str | None:
        """Return the user's secret, as it was sealed."""

    async def list_secrets(self) -> Sequence[tuple[UserId, str]]:
        """Return all secrets, by user."""

    async def forget_user(self, user_id: UserId) -> None:
        """Delete a user's secret, and give up what is still to be told for them."""

    async def add_notices(self, notices: Sequence[EndNotice]) -> Sequence[EndNotice]:
        """Store notices, all or none; return those that are new.

        There is one for each end and URL: a second one is not stored.
        """

    async def find_untold(self, limit: int) -> Sequence[JobId]:
        """Return jobs that ended, want that told, and have no notice of this end."""

    async def list_pending(self) -> Sequence[EndNotice]:
        """Return what is still to be told, without bodies, the next one first."""

    async def load_notice(self, webhook_id: str) -> EndNotice | None:
        """Return a notice."""

    async def save_try(self, webhook_id: str, tried: NoticeTry, next_at: datetime | None) -> None:
        """Store a try, and when the next one is; without one the body is dropped."""

    async def list_tries(self, job_id: JobId) -> Sequence[NoticeTry]:
        """Return all tries to tell of the job's ends, oldest first."""
