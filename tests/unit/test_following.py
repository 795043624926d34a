"""A job followed in virtual time, through many patterns of changes: the pace and the end."""

import asyncio
import itertools
from random import Random

import msgspec
import pytest

from cidx_jobs.client import JobsClient, PolledJob, PollingConfig, follow_job
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.wire.jobs import JobDocument
from tests.canned_server import JOB_ID, job_document
from tests.fakes import FakeClock
from tests.simulation.virtual import VirtualLoop

MILLISECOND = 0.001
RUNNING = msgspec.json.decode(msgspec.json.encode(job_document()), type=JobDocument)
TAKES_NOTHING = 1e-6
"""What adding up a virtual day may lose."""


class VirtualServer(JobsClient):
    """A client whose server is a job in the same loop, a constant way away."""

    def __init__(self, way_seconds: float, *, has_tags: bool) -> None:
        """Begin with a running job; each way of a request or an answer takes so long."""
        super().__init__("http://localhost")
        self.job = RUNNING
        self.ended_at = 0.0
        self.asked_at: list[float] = []
        self._way_seconds = way_seconds
        self._has_tags = has_tags
        self._changed = asyncio.Event()

    def change(self, *, status: JobStatus | None = None) -> None:
        """Let the job become another, or end."""
        self.job = msgspec.structs.replace(
            self.job,
            version=self.job.version + 1,
            status=status or self.job.status,
            done=status is JobStatus.COMPLETED,
        )
        if self.job.done:
            self.ended_at = asyncio.get_running_loop().time()
        self._changed.set()
        self._changed = asyncio.Event()

    async def poll_job(
        self,
        job_id: str,  # noqa: ARG002 - there is only the one
        *,
        known: PolledJob | None = None,
        wait_seconds: float = 0,
        until: str | None = None,
    ) -> PolledJob:
        """Answer as the API says (api.md 1.4)."""
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._way_seconds)
        version = known.job.version if known else None
        try:
            async with asyncio.timeout(wait_seconds):
                while not self.job.done and (until == "done" or self.job.version == version):
                    await self._changed.wait()
        except TimeoutError:
            pass
        job = self.job
        await asyncio.sleep(self._way_seconds)
        return PolledJob(job=job, tag=f'W/"{job.version}"' if self._has_tags else None)


async def live(server: VirtualServer, random: Random) -> None:
    """Let the job change now and then, in bursts, steadily or all the time, and then end."""
    pauses: list[float] = random.choice(
        [[0.01], [0.25], [0.0, 0.0, 2.0], [0.0, 0.3, 0.7, 1.0, 40.0]]
    )
    statuses: list[JobStatus | None] = random.choice(
        [[None], [None, JobStatus.QUEUED, JobStatus.RUNNING]]
    )
    for _ in range(random.randrange(30)):
        await asyncio.sleep(random.choice(pauses) * random.uniform(0.9, 1.1))
        server.change(status=random.choice(statuses))
    await asyncio.sleep(random.choice([0.0, random.uniform(0.0, 2.0), 60.0]))
    server.change(status=JobStatus.COMPLETED)


async def follow(server: VirtualServer, random: Random) -> list[JobDocument]:
    """Follow the job to its end while it lives; give what was seen."""
    known = PolledJob(job=server.job) if random.random() < 0.5 else None
    living = asyncio.create_task(live(server, random))
    seen = [job async for job in follow_job(server, JOB_ID, PollingConfig(), known=known)]
    await living
    return seen


@pytest.mark.parametrize("seed", range(200))
def test_the_end_is_seen_at_once_and_the_pace_is_kept(seed: int) -> None:
    """However the job changes, in any second there are two requests at most, and the end comes.

    The end is seen after the ways that a request takes, and nothing else: an answer that is
    under way just then, the next request, and its answer.
    """
    random = Random(seed)  # noqa: S311 - chooses changes, not secrets
    loop = VirtualLoop(FakeClock())
    way_seconds = random.choice([0.0, 1.0, 5.0]) * MILLISECOND
    server = VirtualServer(way_seconds, has_tags=random.random() < 0.5)
    try:
        seen = loop.run_until_complete(follow(server, random))
        seen_at = loop.time()
    finally:
        loop.close()

    spans = [after - at for at, after in zip(server.asked_at, server.asked_at[2:], strict=False)]
    versions = [job.version for job in seen]
    assert seen[-1].done
    assert seen_at - server.ended_at <= 3 * way_seconds + TAKES_NOTHING
    assert all(span >= 1 - TAKES_NOTHING for span in spans)
    assert all(before < after for before, after in itertools.pairwise(versions))


def test_changes_that_come_slowly_are_all_seen() -> None:
    """Not more than one in a second and a half: none of them hides behind another."""

    async def change_slowly(server: VirtualServer) -> None:
        for _ in range(20):
            await asyncio.sleep(1.5)
            server.change()
        server.change(status=JobStatus.COMPLETED)

    async def watch() -> list[JobDocument]:
        server = VirtualServer(MILLISECOND, has_tags=True)
        changing = asyncio.create_task(change_slowly(server))
        seen = [job async for job in follow_job(server, JOB_ID, PollingConfig())]
        await changing
        return seen

    loop = VirtualLoop(FakeClock())
    try:
        seen = loop.run_until_complete(watch())
    finally:
        loop.close()

    assert {job.version for job in seen} >= set(range(4, 23))
