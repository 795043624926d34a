"""One user cannot stop the others: places, turns and times that are each user's own share."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.queue.slots import Slots
from cidx_jobs.model.errors import UnavailableError, ValidationError
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Limits
from cidx_jobs.model.listing import JobQuery
from cidx_jobs.runtime.shares import Shares
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.jobs import lists
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.http.call import READS_PER_USER
from tests.fakes import WAIT_SECONDS, Gate
from tests.functional.web import House
from tests.stored import store_completed

ALICE, BOB = UserId("alice"), UserId("bob")


async def test_a_user_has_so_many_turns_and_another_their_own() -> None:
    """The third waits for one of the first two, and nobody else for any of them."""
    shares = Shares(2)
    async with AsyncExitStack() as taken:
        await taken.enter_async_context(shares.turn("alice"))
        second = await taken.enter_async_context(AsyncExitStack())
        await second.enter_async_context(shares.turn("alice"))
        await taken.enter_async_context(shares.turn("bob"))
        third = asyncio.create_task(taken.enter_async_context(shares.turn("alice")))
        await asyncio.sleep(0)

        was_waiting = not third.done()
        await second.aclose()
        async with asyncio.timeout(WAIT_SECONDS):
            await third

    assert was_waiting


async def test_the_last_free_unit_starts_no_second_job_of_a_user(tmp_path: Path) -> None:
    """Whoever has a unit since a start waits for two to be free, and is told so; others go."""
    gate = Gate("heavy", resources=("gpu",))
    settings = Settings(data_dir=tmp_path, resources={"gpu": 2}, shutdown_grace_seconds=0)
    memory = MemoryPersistence()
    async with JobSystem.open(settings, [gate.job_type], persistence=memory) as jobs:
        first = await jobs.submit(ALICE, "a", job_type="heavy")
        await gate.arrived(1)
        second = await jobs.submit(ALICE, "b", job_type="heavy")
        place = jobs.manager.queue_status(await jobs.get(second.job_id))
        other = await jobs.submit(BOB, "c", job_type="heavy")
        await gate.arrived(2)
        still = await jobs.get(second.job_id)
        gate.open()
        async with asyncio.timeout(WAIT_SECONDS):
            ended = [await jobs.wait(job.job_id) for job in (first, other, second)]

    assert place is not None
    assert place.blocked_by == ("resource:gpu",)
    assert still.status is JobStatus.QUEUED
    assert all(job.status is JobStatus.COMPLETED for job in ended)


def test_one_unit_alone_is_nobodys_share() -> None:
    """Where there is one unit of a resource, whoever is next has it; of two nobody has both."""
    slots = Slots(Limits(resources={"one": 1, "two": 2}))
    slots.take(JobId("1"), ALICE, ["two"])

    assert slots.has_room(ALICE, ["one"])
    assert not slots.has_room(ALICE, ["two"])
    assert slots.has_room(BOB, ["two"])


async def test_the_last_free_unit_is_for_another_user() -> None:
    """Whoever has one already waits; somebody else gets it at once."""
    slots = Slots(Limits(resources={"git": 2}))
    for number, user_id in enumerate((ALICE, ALICE, BOB)):
        slots.take(JobId(str(number)), user_id)
    async with AsyncExitStack() as held:
        first = await held.enter_async_context(AsyncExitStack())
        await first.enter_async_context(slots.hold_resource("git", JobId("0")))
        second = asyncio.create_task(hold(held, slots, "1"))
        await asyncio.sleep(0)
        was_waiting = not second.done()
        async with asyncio.timeout(WAIT_SECONDS):
            await hold(held, slots, "2")
            still_waiting = not second.done()
            await first.aclose()
            await second

    assert was_waiting
    assert still_waiting


async def test_an_only_unit_is_for_everybody() -> None:
    """Kept free it would be for nobody."""
    slots = Slots(Limits(resources={"gpu": 1}))
    slots.take(JobId("0"), ALICE)

    async with asyncio.timeout(WAIT_SECONDS), slots.hold_resource("gpu", JobId("0")):
        used = slots.snapshot().resources["gpu"].used

    assert used == 1


async def hold(held: AsyncExitStack, slots: Slots, job_id: str) -> None:
    """Hold a unit until the stack ends."""
    await held.enter_async_context(slots.hold_resource("git", JobId(job_id)))


async def test_a_list_that_takes_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for it; the next one is not held to what is left of its time."""
    store = JobPersistence(DataDirectory(tmp_path / "data"), clock=SystemClock())
    await store.open()
    try:
        await store_completed(store.jobs)
        query = JobQuery(labels=(("a", "b"),))
        with monkeypatch.context() as patch:
            patch.setattr(lists, "LIST_SECONDS", -1.0)
            patch.setattr(lists, "STEPS_BETWEEN_LOOKS", 1)
            with pytest.raises(UnavailableError, match="takes too long"):
                await store.jobs.query_jobs(query)

        page = await store.jobs.query_jobs(query)
    finally:
        await store.close()

    assert page.jobs == ()


@pytest.mark.parametrize("path", ["/api/jobs", "/api/events"])
async def test_two_lists_of_a_user_are_read_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Ten at once queue behind each other, and another user's comes in between."""
    gate, inside = asyncio.Event(), []

    async def wait_at_gate(query: JobQuery) -> tuple[()]:
        inside.append(query.user_id)
        await gate.wait()
        raise UnavailableError("enough")

    for name in ("query_jobs", "query_events"):
        monkeypatch.setattr(house.jobs.persistence.jobs, name, wait_at_gate)
    asked = [asyncio.create_task(house.ask("GET", path)) for _ in range(10)]
    asked.append(asyncio.create_task(house.ask("GET", path, user="bob")))
    async with asyncio.timeout(WAIT_SECONDS):
        while len(inside) < 3:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        at_a_time = sorted(map(str, inside))
        gate.set()
        answers = await asyncio.gather(*asked)

    assert at_a_time == ["alice", "alice", "bob"]
    assert {answer.status for answer in answers} == {503}


async def test_a_run_takes_no_longer_than_the_operator_allows(tmp_path: Path) -> None:
    """What a submit may ask for has a bound that is said."""
    settings = Settings(data_dir=tmp_path / "data", max_timeout_seconds=60)
    async with JobSystem(settings) as jobs:
        with pytest.raises(ValidationError, match="at most 60"):
            await jobs.submit("alice", "p", hold=True, timeout_seconds=61)


async def test_a_list_is_read_though_others_take_long(tmp_path: Path) -> None:
    """A user's share of lists leaves a reader for somebody else."""
    store, gate = JobPersistence(DataDirectory(tmp_path / "data"), clock=SystemClock()), Event()
    await store.open()
    try:
        long = [
            asyncio.create_task(store._database.search(lambda _: gate.wait(WAIT_SECONDS)))
            for _ in range(READS_PER_USER)
        ]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(WAIT_SECONDS / 2):
            page = await store.jobs.query_jobs(JobQuery())
        were_reading = not any(task.done() for task in long)
        gate.set()
        await asyncio.gather(*long)
    finally:
        gate.set()
        await store.close()

    assert page.jobs == ()
    assert were_reading
