"""Code hosts that are down: who waits for them, who probes, and what it costs: nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from cidx_jobs import HostDownError, Job, JobContext, JobStatus, JobSystem, JobType
from cidx_jobs.job_types import OnInterrupt
from cidx_jobs.model.job.job import Outcome
from cidx_jobs.model.limits import Pauses
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.testing import Gate, advance, open_for_tests, run_until_idle
from tests.functional.web import AioClient, eventually, open_house

HOST = "git.example.org"
DOWN = f"host_down:{HOST}"


@attrs.define
class CodeHost:
    """A code host that is up or down, and what was asked of it."""

    is_down: bool = True
    stalled: set[str] = attrs.field(factory=set)
    """Projects whose requests are never answered."""
    silent_seconds: float = 0.0
    asked: list[tuple[float, str]] = attrs.field(factory=list)
    """When it was asked, for which project."""
    jobs: JobSystem | None = None

    async def ask(self, context: JobContext) -> dict[str, Any]:
        """Be asked by a job."""
        assert self.jobs is not None
        project = context.job.project_id
        self.asked.append((self.jobs.clock.monotonic(), project))
        if self.is_down or project in self.stalled:
            raise HostDownError(HOST, silent_seconds=self.silent_seconds)
        context.note_host_answer(HOST)
        return {}

    @property
    def times(self) -> list[float]:
        """When it was asked, in seconds from the first time."""
        return [round(at - self.asked[0][0], 3) for at, _ in self.asked]

    @property
    def projects(self) -> list[str]:
        """For which projects it was asked."""
        return [project for _, project in self.asked]


@asynccontextmanager
async def open_host(
    *more: JobType, persistence: MemoryPersistence | None = None, **settings: Any
) -> AsyncIterator[CodeHost]:
    """Open a system with the job type ``fetch``, which asks the host."""
    host = CodeHost()
    fetch = JobType("fetch", host.ask, exclusive=True, limits={f"host:{HOST}": 4})
    async with open_for_tests([fetch, *more], persistence=persistence, **settings) as jobs:
        host.jobs = jobs
        yield host


async def submit(host: CodeHost, project: str = "a", user: str = "ann", **request: Any) -> str:
    """Submit a job that asks the host; let happen what happens at once."""
    assert host.jobs is not None
    job = await host.jobs.submit(user, project, job_type="fetch", **request)
    await run_until_idle(host.jobs)
    return job.job_id


async def read(host: CodeHost, job_id: str) -> Job:
    """Return the job as it is now."""
    assert host.jobs is not None
    return await host.jobs.get(job_id)


async def reasons(host: CodeHost, job_id: str) -> tuple[str, ...]:
    """Return what the job is told to wait for."""
    assert host.jobs is not None
    place = host.jobs.manager.queue_status(await read(host, job_id))
    return () if place is None else place.blocked_by


async def test_a_host_that_is_down_costs_no_attempt() -> None:
    """Not even the only one: the job waits without a slot and says for whom, and until when."""
    async with open_host() as host:
        assert host.jobs is not None
        job_id = await submit(host, max_attempts=1)
        job = await read(host, job_id)
        place = host.jobs.manager.queue_status(job)

        assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
        (ended,) = job.attempts
        assert ended.error is not None
        assert (ended.outcome, ended.error.code) == (Outcome.INTERRUPTED, "NET-002")
        assert place is not None
        assert (place.position, place.blocked_by) == (1, (DOWN,))
        assert place.until == host.jobs.clock.now() + timedelta(seconds=5)
        assert place.estimated_wait_seconds is None
        assert host.jobs.manager.slots.running == 0


async def test_a_job_that_must_not_run_twice_waits_too() -> None:
    """It has done nothing: an end by a host that is down is no interruption of its work."""
    host = CodeHost()
    once = JobType("fetch", host.ask, on_interrupt=OnInterrupt.FAIL, limits={f"host:{HOST}": 1})
    async with open_for_tests([once]) as host.jobs:
        job_id = await submit(host)
        host.is_down = False
        await advance(host.jobs, 5)

        assert (await read(host, job_id)).status is JobStatus.COMPLETED


async def test_probes_come_after_5_seconds_and_then_twice_as_late() -> None:
    """Up to five minutes; when the host answers the job is done."""
    async with open_host() as host:
        assert host.jobs is not None
        job_id = await submit(host, max_attempts=1)
        await advance(host.jobs, 1_300)
        host.is_down = False
        await advance(host.jobs, 300)

        assert host.times == [0, 5, 15, 35, 75, 155, 315, 615, 915, 1_215, 1_515]
        job = await read(host, job_id)
        assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)


async def test_one_at_a_time_probes_and_when_the_host_is_back_all_go_on() -> None:
    """Whoever asks for whatever project of it."""
    async with open_host() as host:
        assert host.jobs is not None
        manager = host.jobs.manager
        await manager.set_controls(pauses=Pauses(everything=True))
        ids = [await submit(host, f"p{number}", f"u{number}") for number in range(12)]
        await manager.set_controls(pauses=Pauses())
        await run_until_idle(host.jobs)
        first = len(host.asked)
        await advance(host.jobs, 5)
        second = len(host.asked)
        host.is_down = False
        await advance(host.jobs, 10)

        assert (first, second) == (4, 5)
        assert all([(await read(host, each)).status is JobStatus.COMPLETED for each in ids])


async def test_probes_go_round_so_that_one_project_that_stalls_stops_nobody() -> None:
    """The next probe is another project's, and its answer takes the mark off."""
    async with open_host() as host:
        assert host.jobs is not None
        host.is_down = False
        host.stalled.add("a")
        stalled = await submit(host, "a")
        other = await submit(host, "b", "ben")
        before = await reasons(host, other)
        await advance(host.jobs, 5)

        assert before == (DOWN,)
        assert (await read(host, other)).status is JobStatus.COMPLETED
        assert host.projects == ["a", "b", "a"]
        assert (await read(host, stalled)).status is JobStatus.QUEUED


async def test_a_second_project_is_heard_soon() -> None:
    """As long as only one has found the host down, the next probe is not minutes away."""
    async with open_host() as host:
        assert host.jobs is not None
        host.is_down = False
        host.stalled.add("a")
        await submit(host, "a")
        await advance(host.jobs, 200)
        other = await submit(host, "b", "ben")
        await advance(host.jobs, 5)

        assert (await read(host, other)).status is JobStatus.COMPLETED


async def test_a_project_that_stalls_while_its_host_answers_others_pays_itself() -> None:
    """Who got no answer while somebody else got one has an ordinary failure."""
    async with open_host() as host:
        host.is_down = False
        await submit(host, "b", "ben")
        host.stalled.add("a")
        host.silent_seconds = 15
        job = await read(host, await submit(host, "a", max_attempts=1))

        assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "NET-002")


async def test_who_asked_a_host_before_it_came_back_pays_nothing() -> None:
    """It was caught by the outage, though the host answers by now: it goes again at once."""
    asked = asyncio.Event()

    async def ask_for_long(context: JobContext) -> None:
        if context.job.run == 1:
            await asked.wait()
            raise HostDownError(HOST, silent_seconds=15)

    slow = JobType("slow", ask_for_long, limits={f"host:{HOST}": 4})
    async with open_host(slow) as host:
        assert host.jobs is not None
        caught = await host.jobs.submit("ben", "b", job_type="slow", max_attempts=1)
        manager = host.jobs.manager
        await eventually(lambda: manager.slots.running == 1)
        await host.jobs.submit("ann", "a", job_type="fetch")
        await eventually(lambda: len(host.asked) == 1)
        host.is_down = False
        host.jobs.clock.advance(5)  # type: ignore[attr-defined]  # a clock by hand
        host.jobs._opened().board.outages.ring_due()
        await eventually(lambda: len(host.asked) == 2)
        asked.set()
        await run_until_idle(host.jobs)
        job = await read(host, caught.job_id)

        assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)
        assert [each.outcome for each in job.attempts] == [
            Outcome.INTERRUPTED, Outcome.COMPLETED,
        ]  # fmt: skip


async def test_a_probe_that_learns_nothing_lets_the_next_one_ask() -> None:
    """A job that is cancelled on its way to the host, or has no need to ask it."""
    gate = Gate("idle", limits={f"host:{HOST}": 4})
    async with open_host(gate.job_type) as host:
        assert host.jobs is not None
        waiting = await submit(host)
        idle = await host.jobs.submit("ben", "q", job_type="idle")
        host.jobs.clock.advance(5)  # type: ignore[attr-defined]  # a clock by hand
        host.jobs._opened().board.outages.ring_due()
        await gate.arrived()
        host.is_down = False
        meanwhile = await reasons(host, waiting)
        await host.jobs.cancel(idle.job_id)
        await run_until_idle(host.jobs)

        assert meanwhile == (DOWN,)
        assert (await read(host, waiting)).status is JobStatus.COMPLETED


async def test_jobs_fail_when_the_host_was_down_for_too_long() -> None:
    """With the network's code, each once it has waited that long: also who never probed."""
    async with open_host(git_outage_seconds=100) as host:
        assert host.jobs is not None
        first = [await submit(host, "a", max_attempts=1), await submit(host, "b", "ben")]
        await advance(host.jobs, 60)
        later = await submit(host, "c", "cyd")
        await advance(host.jobs, 50)
        ended = [await read(host, each) for each in first]
        waiting = await read(host, later)
        await advance(host.jobs, 60)

        assert [job.status for job in ended] == [JobStatus.FAILED] * 2
        assert {job.error.code for job in ended if job.error} == {"NET-002"}
        assert waiting.status is JobStatus.QUEUED
        assert (await read(host, later)).status is JobStatus.FAILED


async def test_a_host_is_not_waited_for_at_all_where_the_operator_says_so() -> None:
    """The first try is the last."""
    async with open_host(git_outage_seconds=0) as host:
        job = await read(host, await submit(host))

        assert (job.status, job.attempt) == (JobStatus.FAILED, 1)


async def test_a_corrected_request_goes_before_one_that_waits_for_its_host() -> None:
    """They change places, as with one that waits for its back-off."""
    async with open_host() as host:
        assert host.jobs is not None
        old = await submit(host)
        new = await submit(host)
        before = await read(host, old), await read(host, new)
        host.is_down = False
        await advance(host.jobs, 30)

        assert [job.place for job in before] == ["follower", "head"]
        assert (await read(host, old)).status is JobStatus.COMPLETED
        assert (await read(host, new)).status is JobStatus.COMPLETED


async def test_an_outage_is_found_anew_after_a_restart() -> None:
    """The first job asks at once, and the others wait again."""
    store = MemoryPersistence()
    async with open_host(persistence=store) as host:
        job_id = await submit(host)
    async with open_host(persistence=store) as host:
        assert host.jobs is not None
        await run_until_idle(host.jobs)
        again = len(host.asked)
        waits = await reasons(host, job_id)
        host.is_down = False
        await advance(host.jobs, 5)

        assert (again, waits) == (1, (DOWN,))
        assert (await read(host, job_id)).status is JobStatus.COMPLETED


async def test_a_mark_that_nobody_needs_is_forgotten() -> None:
    """Hosts that were never there would gather for ever."""
    async with open_host() as host:
        assert host.jobs is not None
        job_id = await submit(host)
        await host.jobs.cancel(job_id)
        await advance(host.jobs, 10)

        assert host.jobs.manager.list_hosts_down() == []


async def test_hosts_that_are_down_are_shown_to_those_whom_they_concern(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """All to the operator; to a user those that jobs of theirs wait for."""
    host = CodeHost()
    fetch = JobType("fetch", host.ask, limits={f"host:{HOST}": 4})
    async with open_house(aiohttp_client, tmp_path, [fetch]) as house:
        host.jobs = house.jobs
        await house.submit(job_type="fetch")
        await run_until_idle(house.jobs)

        alices = await (await house.ask("GET", "/api/queue")).json()
        bobs = await (await house.ask("GET", "/api/queue", user="bob")).json()
        stats = await (await house.ask("GET", "/api/admin/stats", user="root")).json()

        assert alices["jobs"][0]["queue"]["blocked_by"] == [DOWN]
        (down,) = alices["hosts_down"]
        assert (down["host"], down["code"], down["waiting"]) == (HOST, "NET-002", 1)
        assert down["until"] == alices["jobs"][0]["queue"]["until"] > down["since"]
        assert (bobs["hosts_down"], stats["hosts_down"]) == ([], [down])


@pytest.mark.parametrize("limits", [{}, {"host:elsewhere": 1}], ids=str)
async def test_a_host_that_is_no_key_of_the_job_is_an_ordinary_failure(
    limits: dict[str, int],
) -> None:
    """There is no gate at which the job could wait for it."""

    async def ask(_: JobContext) -> None:
        raise HostDownError(HOST)

    fetch = JobType("fetch", ask, limits=limits, max_attempts=1)
    async with open_for_tests([fetch]) as jobs:
        job = await jobs.submit("ann", "a", job_type="fetch")
        await run_until_idle(jobs)

        assert (await jobs.get(job.job_id)).status is JobStatus.FAILED
