"""A job system without HTTP: opened, closed, opened again, and called from other threads."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cidx_jobs import (
    Job,
    JobContext,
    JobNotFoundError,
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    StartRefusedError,
    StorageUnavailableError,
)
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import DispatchKey, Outcome, Transition
from cidx_jobs.model.listing import UnreadJob
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.jobs import MemoryJobs
from cidx_jobs.testing import Gate, MemoryPersistence, run_until_idle
from tests.fakes import WAIT_SECONDS
from tests.leftovers import nothing_left_behind, open_readers


async def double(context: JobContext) -> dict[str, object]:
    """Double a number."""
    return {"doubled": context.options["number"] * 2}


DOUBLE = JobType("double", double)


def make_jobs(folder: Path, *job_types: JobType) -> JobSystem:
    """Build a system over a database; it is not open."""
    settings = Settings(data_dir=folder / "data", shutdown_grace_seconds=0)
    return JobSystem(settings, [DOUBLE, *job_types])


async def submit(jobs: JobSystem, number: int = 21) -> Job:
    """Submit a job that doubles."""
    return await jobs.submit("alice", "p", job_type="double", options={"number": number})


async def test_it_is_opened_and_closed_twice_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """No task, thread, descriptor or lock; what was stored is found again."""
    jobs = make_jobs(tmp_path)
    ids = []
    with nothing_left_behind():
        for _ in range(2):
            async with jobs:
                ids.append((await submit(jobs)).job_id)
                await run_until_idle(jobs)
        async with make_jobs(tmp_path) as others:
            found = [await others.get(job_id) for job_id in ids]

    assert [job.result for job in found] == [{"doubled": 42}] * 2


def test_it_belongs_to_the_loop_that_opens_it(tmp_path: Path) -> None:
    """Made without a loop, it can be opened by one after the other."""
    jobs = make_jobs(tmp_path)

    async def run_one() -> Job:
        async with jobs:
            return await jobs.wait((await submit(jobs)).job_id, timeout=WAIT_SECONDS)

    with nothing_left_behind():
        ended = [asyncio.run(run_one()) for _ in range(2)]

    assert {job.status for job in ended} == {JobStatus.COMPLETED}
    assert ended[0].job_id != ended[1].job_id


async def test_it_is_opened_once_at_a_time(tmp_path: Path) -> None:
    """A second opening is refused, also while the first is under way, and harms nothing."""
    jobs = make_jobs(tmp_path)

    first, second = await asyncio.gather(
        jobs.__aenter__(), jobs.__aenter__(), return_exceptions=True
    )
    job = await submit(jobs)
    with pytest.raises(RuntimeError, match="open already"):
        await jobs.__aenter__()
    after = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
    await jobs.close()
    await jobs.close()

    assert first is jobs
    assert isinstance(second, RuntimeError)
    assert (after.done, jobs.is_open) == (True, False)


async def test_a_directory_that_is_owned_is_refused_and_its_owner_unharmed(
    tmp_path: Path,
) -> None:
    """The one that may not open leaves nothing behind."""
    other = make_jobs(tmp_path)

    async def try_to_open() -> None:
        with nothing_left_behind(), pytest.raises(StartRefusedError):
            await other.__aenter__()

    async with make_jobs(tmp_path) as owner:
        await open_readers(owner)
        # On a loop of its own, so that the owner's tasks are not counted.
        await asyncio.to_thread(asyncio.run, try_to_open())
        after = await owner.wait((await submit(owner)).job_id, timeout=WAIT_SECONDS)

    assert (after.status, other.is_open) == (JobStatus.COMPLETED, False)


class ReadsLater(MemoryJobs):
    """A store that gives the jobs that wait unread, and counts what is read of them."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Begin with nothing read."""
        super().__init__(database)
        self.read: list[JobId] = []

    async def load_for_recovery(self) -> Sequence[Job | UnreadJob]:
        """Give the queued jobs unread."""
        return [
            job if job.dispatch_key is None else self._leave(job, job.dispatch_key)
            for job in await self.load_unfinished_jobs()
        ]

    def _leave(self, job: Job, key: DispatchKey) -> UnreadJob:
        def read() -> Job:
            self.read.append(job.job_id)
            return job

        return UnreadJob(
            job_id=job.job_id,
            user_id=job.user_id,
            job_type=job.job_type,
            priority=job.priority,
            dispatch_key=key,
            read=read,
        )


async def test_a_start_reads_of_jobs_that_wait_their_place_alone(tmp_path: Path) -> None:
    """Each is read once, when somebody asks for it, and ends as any other."""
    database = MemoryDatabase()
    store = ReadsLater(database)
    persistence = MemoryPersistence(database, jobs=store)
    settings = Settings(data_dir=tmp_path, max_running_total=1)
    async with JobSystem(settings, [DOUBLE], persistence=persistence) as before:
        await before.pause()
        jobs = [await submit(before, number) for number in range(20)]

    async with JobSystem(settings, [DOUBLE], persistence=persistence) as after:
        read_at_start = list(store.read)
        waiting = after.manager.place(jobs[7])
        found = [await after.get(jobs[7].job_id) for _ in range(2)]
        read_for_one = list(store.read)
        await after.resume()
        await run_until_idle(after)
        results = [(await after.get(job.job_id)).result for job in jobs]

    assert read_at_start == []
    assert waiting == (20, 8, ("paused",))
    assert found == [jobs[7]] * 2
    assert read_for_one == [jobs[7].job_id]
    assert sorted(store.read) == sorted(job.job_id for job in jobs)
    assert results == [{"doubled": 2 * number} for number in range(20)]


class CannotRecover(MemoryJobs):
    """A store that opens, and then cannot be read."""

    async def load_unfinished_jobs(self) -> Sequence[Job]:
        """Fail, as a disk may."""
        raise StorageUnavailableError


async def test_a_recovery_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The parts that had been started are stopped; the next opening is free to succeed."""
    database = MemoryDatabase()
    store = MemoryPersistence(database, jobs=CannotRecover(database))
    jobs = JobSystem(Settings(data_dir=tmp_path), [DOUBLE], persistence=store)
    with nothing_left_behind(), pytest.raises(StorageUnavailableError):
        await jobs.__aenter__()
    could_write = store.can_write

    async with JobSystem(Settings(data_dir=tmp_path), persistence=MemoryPersistence()) as again:
        is_open = again.is_open

    assert (jobs.is_open, could_write, is_open) == (False, False, True)


async def test_an_opening_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    """At whatever step it was."""
    for steps in range(1, 40, 3):
        jobs = make_jobs(tmp_path)
        with nothing_left_behind():
            opening = asyncio.create_task(jobs.__aenter__(), name="opening")
            for _ in range(steps):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
            await jobs.close()

        assert not jobs.is_open


async def test_a_close_that_is_cancelled_is_a_close_all_the_same(tmp_path: Path) -> None:
    """No run goes on without a store: the grace time is cut short, and each is given back."""
    gate = Gate()
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=3_600)
    for steps in (1, 13):
        jobs = JobSystem(settings, [gate.job_type])
        with nothing_left_behind():
            await jobs.__aenter__()
            job = await jobs.submit("alice", "p", job_type="gated")
            await jobs.wait(job.job_id, until="change", since=job.version, timeout=WAIT_SECONDS)
            closing = asyncio.create_task(jobs.close(), name="closing")
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing

    async with make_jobs(tmp_path) as again:
        found = await again.list("alice")

    assert again.recovery.interrupted == 0
    assert {each.attempts[-1].outcome for each in found} == {Outcome.INTERRUPTED}


def test_a_loop_that_is_torn_down_in_the_middle_of_a_close_comes_to_an_end(
    tmp_path: Path,
) -> None:
    """As by a second Ctrl-C: every task is cancelled, the store's too, and none waits for it."""
    gate = Gate()
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=3_600)
    jobs = JobSystem(settings, [gate.job_type])

    async def stop_in_the_middle() -> asyncio.Task[None]:
        await jobs.__aenter__()
        await jobs.submit("alice", "p", job_type="gated")
        await gate.arrived()
        closing = asyncio.create_task(jobs.close(), name="closing")
        await asyncio.sleep(0)
        return closing

    async def open_again() -> Sequence[Job]:
        async with make_jobs(tmp_path) as again:
            return await again.list("alice")

    with nothing_left_behind():
        closing = asyncio.run(stop_in_the_middle())
        [job] = asyncio.run(open_again())

    assert closing.cancelled()
    assert job.attempts[-1].outcome is Outcome.INTERRUPTED


async def test_it_is_opened_again_only_once_it_is_closed(tmp_path: Path) -> None:
    """A system whose runs still end is not opened over them."""
    gate = Gate()
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=WAIT_SECONDS)
    jobs = JobSystem(settings, [gate.job_type])
    async with jobs:
        await jobs.submit("alice", "p", job_type="gated")
        await gate.arrived()
        closing = asyncio.create_task(jobs.close(), name="closing")
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="open already"):
            await jobs.__aenter__()
        gate.open()
        await closing

    async with jobs:
        [job] = await jobs.list("alice")

    assert job.status is JobStatus.COMPLETED


def test_types_may_come_from_an_iterator(tmp_path: Path) -> None:
    """They are taken once, and known before and after the opening."""
    jobs = JobSystem(Settings(data_dir=tmp_path), (each for each in [DOUBLE]))

    async def known() -> bool:
        async with jobs:
            return "double" in jobs.job_types

    assert "double" in jobs.job_types
    assert asyncio.run(known())


async def test_hooks_are_told_once_however_often_it_was_opened(tmp_path: Path) -> None:
    """Those that came before the opening, and those that came after it."""
    jobs = make_jobs(tmp_path)
    heard: list[str] = []

    async def listen(_: Job, transition: Transition) -> None:
        heard.append(transition.event)

    async with jobs:
        jobs.on_transition(listen)
    async with jobs:
        await submit(jobs)
        await run_until_idle(jobs)

    assert heard == ["submit", "enqueue", "start", "complete"]


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()], ids=repr)
async def test_a_hook_that_fails_is_told_of_the_next_change(
    error: BaseException, tmp_path: Path
) -> None:
    """Also where what it awaits was cancelled: nobody cancelled the hooks."""
    jobs = make_jobs(tmp_path)
    heard: list[str] = []

    @jobs.on_transition
    async def listen(_: Job, transition: Transition) -> None:
        heard.append(transition.event)
        raise error

    async with jobs:
        await submit(jobs)
        await jobs.wait_until_idle(timeout=WAIT_SECONDS)

    assert heard == ["submit", "enqueue", "start", "complete"]


async def test_many_threads_submit_and_wait(tmp_path: Path) -> None:
    """Each gets the answer to its own call."""

    def in_thread(number: int) -> object:
        job = jobs.from_thread.submit("u", "p", job_type="double", options={"number": number})
        done = jobs.from_thread.wait(job.job_id, timeout=WAIT_SECONDS)
        assert jobs.from_thread.get(job.job_id).done
        return (done.result or {})["doubled"]

    loop = asyncio.get_running_loop()
    async with make_jobs(tmp_path) as jobs:
        with ThreadPoolExecutor(8) as pool:
            calls = [loop.run_in_executor(pool, in_thread, number) for number in range(20)]
            doubled = await asyncio.gather(*calls)

    assert doubled == [2 * number for number in range(20)]


async def test_a_thread_gets_our_errors_and_may_cancel(tmp_path: Path) -> None:
    """What the awaited methods raise, these raise too."""
    gate = Gate()

    def in_thread() -> tuple[Job, Job]:
        with pytest.raises(JobNotFoundError):
            jobs.from_thread.get("019a0000-0000-7000-8000-000000000000")
        job = jobs.from_thread.submit("u", "p", job_type="gated")
        with pytest.raises(TimeoutError):
            jobs.from_thread.wait(job.job_id, timeout=0.01)
        told = jobs.from_thread.cancel(job.job_id, "enough")
        return told, jobs.from_thread.wait(job.job_id, timeout=WAIT_SECONDS)

    async with make_jobs(tmp_path, gate.job_type) as jobs:
        told, ended = await asyncio.to_thread(in_thread)

    assert told.job_id == ended.job_id
    assert (ended.status, ended.cancel_reason) == (JobStatus.CANCELLED, "enough")


async def test_a_thread_that_waits_is_let_go_at_the_stop(tmp_path: Path) -> None:
    """It gets the job as it is, and does not hang."""
    gate = Gate()
    waits = threading.Event()

    def in_thread(job_id: str) -> Job:
        waits.set()
        return jobs.from_thread.wait(job_id)

    async with make_jobs(tmp_path, gate.job_type) as jobs:
        job = await jobs.submit("u", "p", job_type="gated")
        await gate.arrived()
        waiting = asyncio.create_task(asyncio.to_thread(in_thread, job.job_id))
        await asyncio.to_thread(waits.wait, WAIT_SECONDS)

    async with asyncio.timeout(WAIT_SECONDS):
        seen = await waiting
    assert not seen.done


async def test_the_wrong_thread_is_told_the_way(tmp_path: Path) -> None:
    """The loop's own thread awaits, others use `from_thread`, and nobody a closed system."""
    jobs = make_jobs(tmp_path)
    with pytest.raises(RuntimeError, match="not open"):
        jobs.from_thread.get("x")

    async with jobs:
        with pytest.raises(RuntimeError, match="await the system's own methods"):
            jobs.from_thread.get("x")


def test_a_relative_directory_is_where_it_was_when_the_system_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children such as git work elsewhere, and so may the program later: it is made absolute."""
    monkeypatch.chdir(tmp_path)

    jobs = JobSystem(Settings(data_dir=Path("data")))

    assert jobs.settings.data_dir == tmp_path / "data"
