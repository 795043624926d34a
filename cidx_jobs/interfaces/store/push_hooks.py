"""Where the push hooks of projects are kept, with their last deliveries."""

from collections.abc import Sequence
from typing import Protocol

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.webhooks.push_hook import PushDelivery, PushHook


class PushHookStore(Protocol):
    """Keeps push hooks, one for each project at most; they go with their project."""

    async def save_hook(self, hook: PushHook) -> PushHook | None:
        """Store a hook, and return it as it is stored; None when there is no such project.

        Where the project has one, that one keeps its id and takes the new secret.
        """

    async def find_hook(self, hook_id: str) -> PushHook | None:
        """Return the hook of this id."""

    async def find_hook_of(self, user_id: UserId, project_id: ProjectId) -> PushHook | None:
        """Return the project's hook."""

    async def list_hooks(self) -> Sequence[PushHook]:
        """Return all hooks, by user and project."""

    async def delete_hook(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Delete the project's hook with its deliveries; False when there is none."""

    async def delete_hooks_of(self, user_id: UserId) -> None:
        """Delete all hooks of a user."""

    async def add_delivery(
        self, hook_id: str, delivery: PushDelivery, *, replaces_alike: bool = False
    ) -> None:
        """Store a delivery, and keep the newest `KEPT_DELIVERIES`; nothing without the hook.

        Args:
            hook_id: whose it is.
            delivery: what came.
            replaces_alike: in place of those with the same verdict.
        """

    async def list_deliveries(self, hook_id: str) -> Sequence[PushDelivery]:
        """Return the deliveries that are kept, newest first."""
