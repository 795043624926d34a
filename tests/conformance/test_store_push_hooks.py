"""What every `PushHookStore` promises."""

from datetime import timedelta

from msgspec.structs import replace

from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.model.webhooks.push_hook import KEPT_DELIVERIES, PushDelivery, PushHook
from tests.stored import NOON

ALICE, BOB = UserId("alice"), UserId("bob")
CODE = ProjectId("code")


def hook_of(user: UserId, hook_id: str, sealed: str = "sealed") -> PushHook:
    """Return a hook as it might be stored."""
    return PushHook(
        hook_id=hook_id, user_id=user, project_id=CODE, sealed_secret=sealed, created_at=NOON
    )


def delivery(number: int, verdict: str = "submitted") -> PushDelivery:
    """Return a delivery, later than those with a lower number."""
    at = NOON + timedelta(seconds=number)
    return PushDelivery(at=at, sender="github", kind="push", verdict=verdict)


async def add_project(projects: ProjectStore, user: UserId) -> None:
    """Store a project of the user."""
    await projects.save_project(Project(user_id=user, project_id=CODE))


async def test_a_hook_belongs_to_a_project_that_is_there(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """Without the project nothing is stored; with it, the hook is found by id and by project."""
    hook = hook_of(ALICE, "one")

    assert await push_hooks.save_hook(hook) is None
    await add_project(projects, ALICE)
    assert await push_hooks.save_hook(hook) == hook
    assert await push_hooks.find_hook("one") == hook
    assert await push_hooks.find_hook_of(ALICE, CODE) == hook
    assert await push_hooks.find_hook("two") is None
    assert await push_hooks.find_hook_of(BOB, CODE) is None


async def test_a_project_has_one_hook_that_keeps_its_id(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """Made again, it has the new secret and time, and what came to it stays."""
    await add_project(projects, ALICE)
    await push_hooks.save_hook(hook_of(ALICE, "one"))
    await push_hooks.add_delivery("one", delivery(1))
    later = replace(hook_of(ALICE, "two", "another"), created_at=NOON + timedelta(hours=1))

    stored = await push_hooks.save_hook(later)

    assert stored == replace(later, hook_id="one")
    assert await push_hooks.list_hooks() == (stored,)
    assert await push_hooks.find_hook("two") is None
    assert await push_hooks.list_deliveries("one") == (delivery(1),)


async def test_the_newest_deliveries_are_kept(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """Twenty, newest first, each hook's own."""
    for user, hook_id in ((ALICE, "one"), (BOB, "two")):
        await add_project(projects, user)
        await push_hooks.save_hook(hook_of(user, hook_id))
    await push_hooks.add_delivery("two", delivery(0))

    for number in range(KEPT_DELIVERIES + 5):
        await push_hooks.add_delivery("one", delivery(number))

    kept = await push_hooks.list_deliveries("one")
    assert kept == tuple(delivery(number) for number in range(KEPT_DELIVERIES + 4, 4, -1))
    assert await push_hooks.list_deliveries("two") == (delivery(0),)


async def test_a_delivery_can_take_the_place_of_those_like_it(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """What anybody could send without end crowds nothing out."""
    await add_project(projects, ALICE)
    await push_hooks.save_hook(hook_of(ALICE, "one"))
    await push_hooks.add_delivery("one", delivery(1))

    for number in range(2, 30):
        await push_hooks.add_delivery("one", delivery(number, "refused"), replaces_alike=True)

    assert await push_hooks.list_deliveries("one") == (delivery(29, "refused"), delivery(1))


async def test_a_hook_goes_on_request_and_with_its_project(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """With its deliveries; what comes to it later leaves nothing."""
    for user, hook_id in ((ALICE, "one"), (BOB, "two")):
        await add_project(projects, user)
        await push_hooks.save_hook(hook_of(user, hook_id))
        await push_hooks.add_delivery(hook_id, delivery(1))

    assert await push_hooks.delete_hook(ALICE, CODE)
    assert not await push_hooks.delete_hook(ALICE, CODE)
    await projects.delete_project(BOB, CODE)

    for hook_id in ("one", "two"):
        await push_hooks.add_delivery(hook_id, delivery(2))
        assert await push_hooks.find_hook(hook_id) is None
        assert await push_hooks.list_deliveries(hook_id) == ()


async def test_all_hooks_of_a_user_go_at_once(
    push_hooks: PushHookStore, projects: ProjectStore
) -> None:
    """And nobody else's."""
    for user, hook_id in ((ALICE, "one"), (BOB, "two")):
        await add_project(projects, user)
        await push_hooks.save_hook(hook_of(user, hook_id))

    await push_hooks.delete_hooks_of(ALICE)

    assert await push_hooks.list_hooks() == (hook_of(BOB, "two"),)
