"""Slots: who holds them, how many there are, and what happens when that changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from cidx_jobs import JobStatus, JobSystem
from cidx_jobs.engine.concurrency import ConcurrencyController
from cidx_jobs.engine.queue.slots import (
    Freed,
    ResourceUse,
    SlotError,
    Slots,
    UnknownResourceError,
)
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import DispatchKey
from cidx_jobs.model.job.key_limits import KeyLimit, LimitKey
from cidx_jobs.model.limits import Limits
from cidx_jobs.testing import open_for_tests
from tests.fakes import WAIT_SECONDS, Gate
from tests.queueing import make_waiting_job

ALICE, BOB = UserId("alice"), UserId("bob")
J1, J2, J3, J4 = map(JobId, ("j1", "j2", "j3", "j4"))
LIMITS = Limits(max_running_per_user=2, max_running_total=3, resources={"git": 1, "disk": 2})


@pytest.fixture
def slots() -> Slots:
    """Give slots: 2 slots a user, 3 in all, 1 git and 2 disk."""
    return Slots(LIMITS)


@pytest.fixture
async def jobs() -> AsyncIterator[JobSystem]:
    """Give a job system with the same limits."""
    gate = Gate()
    async with open_for_tests(
        [gate.job_type], max_running_per_user=2, max_running_total=3
    ) as opened:
        yield opened
        gate.open()


@pytest.fixture
def controller(jobs: JobSystem) -> ConcurrencyController:
    """Give its slots under the names of the design."""
    return jobs.concurrency


class Holding:
    """A run that holds a resource, or waits for it, until it is told to let go."""

    def __init__(self, slots: Slots, name: str, job_id: JobId) -> None:
        """Ask at once."""
        self.holds = False
        self._let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots, name, job_id))

    async def _hold(self, slots: Slots, name: str, job_id: JobId) -> None:
        async with slots.hold_resource(name, job_id):
            self.holds = True
            await self._let_go.wait()
        self.holds = False

    async def let_go(self) -> None:
        """Give the unit back, and end."""
        self._let_go.set()
        await self.task


async def turn_the_loop() -> None:
    """Let every task go on until it waits; what is tested takes no time."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_user_at_the_limit_gets_no_slot_and_others_do(
    controller: ConcurrencyController,
) -> None:
    """The limit of a user, then the total one, refuses; nothing is taken by a refusal."""
    assert [await controller.acquire_slot(ALICE, job_id) for job_id in (J1, J2, J3)] == [
        True,
        True,
        False,
    ]
    assert not await controller.check_limits(ALICE)
    assert await controller.check_limits(BOB)
    assert await controller.acquire_slot(BOB, J3)
    assert not await controller.acquire_slot(BOB, J4)
    assert controller.holders() == {J1: ALICE, J2: ALICE, J3: BOB}


async def test_a_slot_that_is_given_back_is_free(controller: ConcurrencyController) -> None:
    """A user at the limit may run again once a job of theirs gave its slot back."""
    await controller.acquire_slot(ALICE, J1)
    await controller.acquire_slot(ALICE, J2)

    await controller.release_slot(J1)

    assert await controller.acquire_slot(ALICE, J3)
    assert controller.count_running() == controller.count_running(ALICE) == 2


async def test_a_slot_goes_back_once(controller: ConcurrencyController) -> None:
    """A second release raises: it would free the slot of somebody else."""
    await controller.acquire_slot(ALICE, J1)
    await controller.release_slot(J1)

    with pytest.raises(SlotError, match="j1 holds no slot"):
        await controller.release_slot(J1)

    assert controller.count_running() == 0


async def test_a_job_holds_one_slot(controller: ConcurrencyController) -> None:
    """A job that holds a slot cannot take another."""
    await controller.acquire_slot(ALICE, J1)

    with pytest.raises(SlotError, match="holds a slot already"):
        await controller.acquire_slot(ALICE, J1)

    assert controller.count_running() == 1


async def test_a_holder_who_asks_again_is_told_so_when_all_is_full(
    controller: ConcurrencyController,
) -> None:
    """A job that holds a slot never reads False, which would say that it holds none."""
    await controller.acquire_slot(ALICE, J1)
    await controller.acquire_slot(ALICE, J2)

    with pytest.raises(SlotError):
        await controller.acquire_slot(ALICE, J1)


@pytest.mark.parametrize(
    ("user", "resources"),
    [(ALICE, ()), (BOB, ("git",)), (BOB, ("unheard-of",)), (ALICE, ("git", "disk"))],
)
def test_a_take_beyond_a_limit_raises(
    slots: Slots, user: UserId, resources: tuple[str, ...]
) -> None:
    """Who takes without looking is refused, and nothing changes (guarantees.md, G10)."""
    slots.take(J1, ALICE, ("git",))
    slots.take(J2, ALICE)
    before = slots.snapshot()

    assert not slots.has_room(user, resources)
    with pytest.raises(SlotError, match="a limit is reached"):
        slots.take(J3, user, resources)

    assert slots.snapshot() == before


def test_a_take_beyond_the_total_raises(slots: Slots) -> None:
    """The total limit holds for users who have room."""
    for number, user in enumerate((ALICE, ALICE, BOB)):
        slots.take(JobId(f"job{number}"), user)

    assert not slots.has_total_room()
    with pytest.raises(SlotError, match="a limit is reached"):
        slots.take(J4, BOB)


def test_a_lower_limit_ends_nothing_and_keeps_others_out(slots: Slots) -> None:
    """Holders beyond a lowered limit stay; room comes only when enough of them ended."""
    slots.take(J1, ALICE)
    slots.take(J2, ALICE)

    slots.set_limits(replace(LIMITS, max_running_per_user=1))

    assert slots.count_running(ALICE) == 2
    slots.give_back(J1)
    assert not slots.has_room(ALICE)
    slots.give_back(J2)
    assert slots.has_room(ALICE)


def test_a_higher_limit_makes_room_at_once(slots: Slots) -> None:
    """Raised limits count for the next look."""
    slots.take(J1, ALICE)
    slots.take(J2, ALICE)
    assert not slots.has_room(ALICE)

    slots.set_limits(replace(LIMITS, max_running_per_user=3))

    assert slots.has_room(ALICE)


def test_resources_of_a_type_are_held_from_start_to_end(slots: Slots) -> None:
    """A type's resources are taken with the slot, each once, and go back with it."""
    slots.take(J1, ALICE, ("git", "git", "disk"))

    assert not slots.has_unit("git")
    assert slots.has_unit("disk")
    assert slots.snapshot().resources["git"].used == 1

    slots.give_back(J1)
    assert slots.has_unit("git")


def test_running_jobs_are_taken_over_whatever_the_limits_are() -> None:
    """What ran before a restart holds its slots again, also beyond limits lowered meanwhile."""
    slots = Slots(Limits(max_running_per_user=1, resources={"git": 1}))
    key = DispatchKey(0.0, 0, 0)
    jobs = [make_waiting_job(f"j{number}", "alice", key) for number in (1, 2)]

    slots.restore(jobs, lambda _: ("git",))

    assert slots.count_running(ALICE) == 2
    assert slots.snapshot().resources["git"] == ResourceUse(used=2, limit=1, waiting=0)
    with pytest.raises(SlotError, match="already"):
        slots.restore(jobs)


def test_the_snapshot_shows_who_holds_what(slots: Slots) -> None:
    """Counts and limits of users, resources and in all, at that moment."""
    slots.take(J1, ALICE, ("git",))
    slots.take(J2, BOB)

    now = slots.snapshot()

    assert (now.running, now.max_running_total, now.max_running_per_user) == (2, 3, 2)
    assert now.users == {ALICE: 1, BOB: 1}
    assert now.holders == {J1: ALICE, J2: BOB}
    assert now.resources == {
        "disk": ResourceUse(used=0, limit=2, waiting=0),
        "git": ResourceUse(used=1, limit=1, waiting=0),
    }


def test_who_gives_back_says_what_that_was(slots: Slots) -> None:
    """Whoever keeps gates looks again at the user's and at those of the resources."""
    slots.take(J1, ALICE, ("git",))

    assert slots.give_back(J1) == Freed(ALICE, ("git",), ())


def test_of_a_key_no_more_places_are_taken_than_its_newest_number(slots: Slots) -> None:
    """Whoever looks late is stopped by the take itself; what was taken is given back once."""
    key = LimitKey("tenant:7", ALICE)
    limits = (KeyLimit(key=key, limit=1, set_at=0.0),)
    slots.keys.note(None, make_waiting_job(J1, ALICE, DispatchKey(0.0, 0, 0), limits=limits))
    slots.take(J1, ALICE, keys=(key,))

    with pytest.raises(SlotError):
        slots.take(J2, ALICE, keys=(key,))

    assert slots.give_back(J1) == Freed(ALICE, (), (key,))
    assert (slots.keys.count(key), slots.keys.used()) == (0, {})


async def test_a_slot_that_is_taken_by_its_design_name_closes_the_gate_of_its_user(
    jobs: JobSystem, controller: ConcurrencyController
) -> None:
    """And one that is given back opens it: who waited starts."""
    await controller.acquire_slot(ALICE, J1)
    await controller.acquire_slot(ALICE, J2)
    job = await jobs.submit(ALICE, "p", job_type="gated")
    place = jobs.manager.queue_status(job)

    await controller.release_slot(J1)
    running = await jobs.manager.wait(
        job.job_id, lambda now: now.status is JobStatus.RUNNING, WAIT_SECONDS
    )

    assert place is not None
    assert place.blocked_by == ("user_limit",)
    assert running.status is JobStatus.RUNNING


async def test_the_design_names_reach_the_queue_and_the_scheduler(
    jobs: JobSystem, controller: ConcurrencyController
) -> None:
    """Positions come from the queue, promotions from the scheduler."""
    assert jobs._engine is not None
    await jobs._engine.scheduler.stop()
    job = await jobs.submit(ALICE, "p", job_type="gated")

    assert await controller.get_queue_position(J1) is None
    assert await controller.get_queue_position(job.job_id) == 1
    assert await controller.promote_queued_jobs() == 1
    assert await controller.promote_queued_jobs() == 0
    assert await controller.get_queue_position(job.job_id) is None


async def test_runs_wait_in_line_for_a_resource(slots: Slots) -> None:
    """A unit goes to who asked first; nobody passes the line; all is free in the end."""
    for job_id, user in ((J1, ALICE), (J2, ALICE), (J3, BOB)):
        slots.take(job_id, user)
    first, second, third = (Holding(slots, "git", job_id) for job_id in (J1, J2, J3))
    await turn_the_loop()

    assert [run.holds for run in (first, second, third)] == [True, False, False]
    assert slots.snapshot().resources["git"] == ResourceUse(used=1, limit=1, waiting=2)
    await first.let_go()
    await turn_the_loop()
    assert [run.holds for run in (first, second, third)] == [False, True, False]
    await second.let_go()
    await third.let_go()
    assert slots.snapshot().resources["git"] == ResourceUse(used=0, limit=1, waiting=0)


async def test_units_held_from_the_start_and_inside_are_counted_together(
    slots: Slots,
) -> None:
    """A run waits while a type holds the unit, and keeps it from starting in turn."""
    slots.take(J1, ALICE, ("git",))
    slots.take(J2, BOB)
    inside = Holding(slots, "git", J2)
    await turn_the_loop()
    assert not inside.holds

    slots.give_back(J1)
    await turn_the_loop()

    assert inside.holds
    assert not slots.has_unit("git")
    await inside.let_go()
    assert slots.has_unit("git")


async def test_a_run_holds_one_resource_at_a_time(slots: Slots) -> None:
    """A second one inside a run raises, whether the first is held or waited for."""
    slots.take(J1, ALICE)
    slots.take(J2, ALICE)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(slots.hold_resource("git", J1))
        with pytest.raises(SlotError, match="one resource at a time: git"):
            await stack.enter_async_context(slots.hold_resource("disk", J1))
        waiting = Holding(slots, "git", J2)
        await turn_the_loop()
        with pytest.raises(SlotError, match="one resource at a time: git"):
            await stack.enter_async_context(slots.hold_resource("disk", J2))

    await waiting.let_go()


async def test_a_run_may_hold_one_resource_after_the_other(slots: Slots) -> None:
    """A resource that was let go leaves room for the next."""
    slots.take(J1, ALICE)

    for name in ("git", "disk", "git"):
        async with slots.hold_resource(name, J1):
            assert slots.snapshot().resources[name].used == 1


async def test_what_no_limit_names_cannot_be_held(slots: Slots) -> None:
    """An unknown resource raises at once; nobody waits for ever."""
    slots.take(J1, ALICE)

    with pytest.raises(UnknownResourceError, match="no resource gpu"):
        async with slots.hold_resource("gpu", J1):
            pass


async def test_who_does_not_run_cannot_hold(slots: Slots) -> None:
    """A resource belongs to a run."""
    with pytest.raises(SlotError, match="does not run"):
        async with slots.hold_resource("git", J1):
            pass


async def test_a_cancelled_waiter_leaves_the_line(slots: Slots) -> None:
    """A run that is cancelled while it waits takes no unit, and delays nobody."""
    for job_id in (J1, J2):
        slots.take(job_id, ALICE)
    slots.take(J3, BOB)
    first, second, third = (Holding(slots, "git", job_id) for job_id in (J1, J2, J3))
    await turn_the_loop()

    second.task.cancel()
    await turn_the_loop()
    assert second.task.cancelled()
    await first.let_go()
    await turn_the_loop()

    assert third.holds
    await third.let_go()
    async with slots.hold_resource("git", J2):
        pass


async def test_a_unit_that_comes_in_the_moment_of_a_cancel_is_not_lost(
    slots: Slots,
) -> None:
    """The waiter was handed the unit and cancelled before it went on: the next one gets it."""
    for job_id in (J1, J2):
        slots.take(job_id, ALICE)
    slots.take(J3, BOB)
    first, second, third = (Holding(slots, "git", job_id) for job_id in (J1, J2, J3))
    await turn_the_loop()

    slots.give_back(J1)
    second.task.cancel()
    await turn_the_loop()

    assert third.holds
    await third.let_go()
    await first.let_go()
    assert slots.snapshot().resources["git"].used == 0


async def test_a_unit_that_comes_just_after_a_cancel_passes_the_cancelled(
    slots: Slots,
) -> None:
    """A waiter who was cancelled, and has not noticed yet, is handed nothing."""
    for job_id in (J1, J2):
        slots.take(job_id, ALICE)
    slots.take(J3, BOB)
    first, second, third = (Holding(slots, "git", job_id) for job_id in (J1, J2, J3))
    await turn_the_loop()

    second.task.cancel()
    slots.give_back(J1)
    await turn_the_loop()

    assert third.holds
    assert second.task.cancelled()
    await third.let_go()
    await first.let_go()
    assert slots.snapshot().resources["git"] == ResourceUse(used=0, limit=1, waiting=0)


def test_a_unit_beyond_the_limit_cannot_be_handed_out(slots: Slots) -> None:
    """The check of the limit stands in the step that counts the unit, whoever calls it."""
    slots._use_unit("git", ALICE)

    with pytest.raises(SlotError, match="no free unit"):
        slots._use_unit("git", ALICE)


async def test_a_slot_that_goes_back_takes_all_along(slots: Slots) -> None:
    """What a run still held or waited for inside is free once its slot is given back."""
    slots.take(J1, ALICE)
    slots.take(J2, ALICE)
    holding, waiting = Holding(slots, "git", J1), Holding(slots, "git", J2)
    await turn_the_loop()

    slots.give_back(J2)
    slots.give_back(J1)
    await turn_the_loop()

    assert waiting.task.cancelled()
    assert slots.snapshot().resources["git"] == ResourceUse(used=0, limit=1, waiting=0)
    await holding.let_go()
    assert slots.snapshot().resources["git"].used == 0


async def test_raised_limits_serve_the_line_at_once(slots: Slots) -> None:
    """More units wake those who wait, in line, and not more of them than there are units."""
    slots.set_limits(replace(LIMITS, max_running_total=4))
    for job_id, user in ((J1, ALICE), (J2, ALICE), (J3, BOB), (J4, BOB)):
        slots.take(job_id, user)
    runs = [Holding(slots, "git", job_id) for job_id in (J1, J2, J3, J4)]
    await turn_the_loop()

    slots.set_limits(replace(LIMITS, resources={"git": 3}))
    await turn_the_loop()

    assert [run.holds for run in runs] == [True, True, True, False]
    for run in runs:
        await run.let_go()


async def test_lowered_limits_take_no_unit_away(slots: Slots) -> None:
    """Holders stay; those who wait are served once fewer hold than may."""
    for job_id, user in ((J1, ALICE), (J2, ALICE), (J3, BOB)):
        slots.take(job_id, user)
    first, second = Holding(slots, "disk", J1), Holding(slots, "disk", J2)
    await turn_the_loop()

    slots.set_limits(replace(LIMITS, resources={"disk": 1}))
    third = Holding(slots, "disk", J3)
    await first.let_go()
    await turn_the_loop()
    assert not third.holds
    await second.let_go()
    await turn_the_loop()

    assert third.holds
    await third.let_go()


async def test_runs_cannot_wait_for_each_other(slots: Slots) -> None:
    """Whoever would close the circle gets an error, so the other goes on."""
    slots.set_limits(replace(LIMITS, resources={"git": 1, "disk": 1}))
    slots.take(J1, ALICE, ("git",))
    slots.take(J2, ALICE, ("disk",))
    waiting = Holding(slots, "disk", J1)
    await turn_the_loop()

    with pytest.raises(SlotError, match="circle"):
        async with slots.hold_resource("git", J2):
            pass

    slots.give_back(J2)
    await turn_the_loop()
    assert waiting.holds
    await waiting.let_go()


async def test_a_run_cannot_wait_for_what_it_holds_alone(slots: Slots) -> None:
    """The shortest circle: the only unit is held by the run's own type."""
    slots.take(J1, ALICE, ("git",))

    with pytest.raises(SlotError, match="circle"):
        async with slots.hold_resource("git", J1):
            pass


async def test_waiting_for_a_resource_that_is_switched_off_is_no_circle(
    slots: Slots,
) -> None:
    """With a limit of none a run waits until there is one again, whatever else it holds."""
    slots.set_limits(replace(LIMITS, resources={"git": 0, "disk": 1}))
    slots.take(J1, ALICE, ("disk",))
    waiting = Holding(slots, "git", J1)
    await turn_the_loop()
    assert not waiting.task.done()

    slots.set_limits(LIMITS)
    await turn_the_loop()

    assert waiting.holds
    await waiting.let_go()


async def test_a_crowd_is_no_circle(slots: Slots) -> None:
    """A run that holds one thing may wait for another while its holders can end."""
    slots.take(J1, ALICE, ("git",))
    slots.take(J2, ALICE, ("disk",))
    slots.take(J3, BOB, ("disk",))
    first = Holding(slots, "git", J2)
    await turn_the_loop()

    second = Holding(slots, "disk", J1)
    await turn_the_loop()

    assert not second.task.done()
    slots.give_back(J3)
    await turn_the_loop()
    assert second.holds
    slots.give_back(J1)
    await turn_the_loop()
    assert first.holds
    await first.let_go()
    await second.let_go()
