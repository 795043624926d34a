"""Routes of webhooks: push hooks made, read, removed; the secret of notices."""

from cidx_jobs.client.calls.routes import Routes, quoted
from cidx_jobs.wire.projects import NewPushHookDocument, NotifySecretDocument, PushHookDocument


class WebhookRoutes(Routes):
    """One method for each of these routes; another user's project is for administrators."""

    async def create_hook(
        self, project_id: str, *, user_id: str | None = None
    ) -> NewPushHookDocument:
        """Make a push hook for a project, or a new secret for it; the secret is shown this once.

        Raises:
            NotFoundError: there is no such project.
        """
        # A repeat after an unknown outcome would make a secret that nobody is told of useless.
        return await self._read(
            NewPushHookDocument,
            "POST",
            _path(project_id),
            query={"user_id": user_id},
            is_safe=False,
        )

    async def get_hook(self, project_id: str, *, user_id: str | None = None) -> PushHookDocument:
        """Return the push hook of a project, and what came to it last.

        Raises:
            NotFoundError: there is no such project, or it has no hook.
        """
        return await self._get(PushHookDocument, _path(project_id), {"user_id": user_id})

    async def remove_hook(self, project_id: str, *, user_id: str | None = None) -> None:
        """Remove the push hook of a project: its address is unknown from then on.

        Raises:
            NotFoundError: there is no such project, or it has no hook.
        """
        query = {"user_id": user_id}
        await self._ask("DELETE", _path(project_id), query=query)

    async def create_notify_secret(self) -> NotifySecretDocument:
        """Make the secret that signs the caller's notices, in place of the one before.

        It is shown this once.
        """
        return await self._read(NotifySecretDocument, "POST", "/api/notify-secret", is_safe=False)


def _path(project_id: str) -> str:
    return f"/api/projects/{quoted(project_id)}/hook"
