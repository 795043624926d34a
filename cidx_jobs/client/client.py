"""`JobsClient`: one method for each route of the API, documents in and out."""

from collections.abc import Awaitable, Callable
from typing import Self

from cidx_jobs.client.calls.access import AccessRoutes
from cidx_jobs.client.calls.admin import AdminRoutes
from cidx_jobs.client.calls.jobs import JobRoutes
from cidx_jobs.client.calls.schedules import ScheduleRoutes
from cidx_jobs.client.calls.server import ServerRoutes
from cidx_jobs.client.calls.webhooks import WebhookRoutes
from cidx_jobs.client.transport import Transport


class JobsClient(
    JobRoutes, ScheduleRoutes, ServerRoutes, WebhookRoutes, AccessRoutes, AdminRoutes
):
    """A client of one server; an async context manager.

    Every method raises `NetworkConnectionError` when no answer comes and another
    `JobsClientError` for each answer that is a problem; what is safe to repeat is repeated
    before that, with full jitter and the server's ``Retry-After``.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        refresh_token: Callable[[], Awaitable[str]] | None = None,
        retries: int = 3,
    ) -> None:
        """Take where the server is and who asks.

        Args:
            base_url: ``http://HOST:PORT``, with the prefix that the server is mounted under, or
                ``unix:PATH``.
            token: sent as bearer token.
            refresh_token: gives a new token when the server takes the old one no longer (a
                401); asked once for a request.
            retries: how often a safe request is repeated.

        Raises:
            ValueError: *base_url* is no such address.
        """
        super().__init__(Transport(base_url, token, refresh_token=refresh_token, retries=retries))

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._transport.close()
