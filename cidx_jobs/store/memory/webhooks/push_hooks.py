"""Push hooks of projects in memory."""

from collections.abc import Sequence

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.webhooks.push_hook import KEPT_DELIVERIES, PushDelivery, PushHook
from cidx_jobs.store.memory.database import MemoryDatabase


class MemoryPushHooks(PushHookStore):
    """Push hooks by user and project."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Take where they are kept: they go with their projects."""
        self._database = database
        self._hooks = database.push_hooks
        self._deliveries: dict[str, tuple[PushDelivery, ...]] = {}

    @override
    async def save_hook(self, hook: PushHook) -> PushHook | None:
        self._database.check_writable()
        key = (hook.user_id, hook.project_id)
        if key not in self._database.projects:
            return None
        known = self._hooks.get(key)
        stored = hook if known is None else replace(hook, hook_id=known.hook_id)
        self._hooks[key] = stored
        return stored

    @override
    async def find_hook(self, hook_id: str) -> PushHook | None:
        return next((hook for hook in self._hooks.values() if hook.hook_id == hook_id), None)

    @override
    async def find_hook_of(self, user_id: UserId, project_id: ProjectId) -> PushHook | None:
        return self._hooks.get((user_id, project_id))

    @override
    async def list_hooks(self) -> Sequence[PushHook]:
        return tuple(hook for _, hook in sorted(self._hooks.items()))

    @override
    async def delete_hook(self, user_id: UserId, project_id: ProjectId) -> bool:
        self._database.check_writable()
        return self._hooks.pop((user_id, project_id), None) is not None

    @override
    async def delete_hooks_of(self, user_id: UserId) -> None:
        self._database.check_writable()
        for key in [key for key in self._hooks if key[0] == user_id]:
            del self._hooks[key]

    @override
    async def add_delivery(
        self, hook_id: str, delivery: PushDelivery, *, replaces_alike: bool = False
    ) -> None:
        self._database.check_writable()
        if await self.find_hook(hook_id) is None:
            return
        kept = self._deliveries.get(hook_id, ())
        if replaces_alike:
            kept = tuple(one for one in kept if one.verdict != delivery.verdict)
        self._deliveries[hook_id] = (delivery, *kept)[:KEPT_DELIVERIES]

    @override
    async def list_deliveries(self, hook_id: str) -> Sequence[PushDelivery]:
        is_there = await self.find_hook(hook_id) is not None
        return self._deliveries.get(hook_id, ()) if is_there else ()
