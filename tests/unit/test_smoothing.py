"""The percent that a display shows: smooth, never back, never ahead, 100 only at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from random import Random

import pytest
from aiohttp.test_utils import TestServer

from cidx_jobs.client import JobPollingEngine, JobsClient, PollingConfig, SmoothProgress
from cidx_jobs.client.smooth_percent import GLIDE_SECONDS, TICK_SECONDS
from cidx_jobs.wire.encode import decode, encode
from cidx_jobs.wire.jobs import JobDocument
from tests.canned_server import JOB_ID, CannedServer, job_document

STEP = TICK_SECONDS / GLIDE_SECONDS


def job(progress: int, status: str = "running", attempt: int = 1) -> JobDocument:
    """Give a job that is so far."""
    document = job_document(progress=progress, status=status, attempt=attempt)
    return decode(encode(document), JobDocument)


@pytest.mark.parametrize("seed", range(50))
def test_it_is_smooth_and_never_back_and_never_ahead(seed: int) -> None:
    """Whatever is reported and whenever: each tick is a small step towards the last report."""
    random = Random(seed)  # noqa: S311 - chooses reports, not secrets
    progress = SmoothProgress()
    highest = random.randrange(50)
    progress.take(job(highest), 0.0)
    shown = [progress.percent(0.0)]
    for tick in range(1, 400):
        now = tick * TICK_SECONDS
        if random.random() < 0.1:
            highest = min(99, highest + random.randrange(12))
            progress.take(job(highest), now)
            progress.take(job(random.randrange(highest + 1)), now)  # an old one that comes late
        shown.append(progress.percent(now))
        assert shown[-2] <= shown[-1] <= highest

    assert max(after - before for before, after in itertools.pairwise(shown)) <= 99 * STEP


def test_it_reaches_what_was_reported_and_rests() -> None:
    """Half-way in half the time; then it waits for the next report."""
    progress = SmoothProgress()
    progress.take(job(10), 5.0)
    progress.take(job(30), 7.0)

    shown = [progress.percent(7.0 + GLIDE_SECONDS * share) for share in (0, 0.5, 1, 9)]

    assert shown == [10, 20, 30, 30]
    assert progress.is_moving(7.0)
    assert not progress.is_moving(7.0 + GLIDE_SECONDS)


def test_who_comes_late_sees_where_it_is() -> None:
    """The first reading is shown as it is; nothing glides up to it."""
    progress = SmoothProgress()
    progress.take(job(42), 0.0)

    assert progress.percent(0.0) == 42


def test_a_hundred_is_the_end_and_nothing_else() -> None:
    """A running job is 99 at most, also while it validates; a failed one stays where it was."""
    progress = SmoothProgress()
    progress.take(job(100), 0.0)
    before = progress.percent(99.0)
    progress.take(job(100, "failed"), 99.0)
    failed = progress.percent(199.0)
    progress.take(job(100, "completed"), 199.0)

    assert (before, failed, progress.percent(199.0)) == (99, 99, 100)


def test_a_new_attempt_begins_anew() -> None:
    """What the last one had reached is gone, and is not claimed."""
    progress = SmoothProgress()
    progress.take(job(80), 0.0)
    progress.take(job(0, attempt=2), 1.0)

    assert progress.percent(1.0) == 0


@pytest.fixture
async def canned() -> AsyncIterator[tuple[CannedServer, JobsClient]]:
    """Give a server that behaves, and a client of it."""
    canned = CannedServer()
    async with (
        TestServer(canned.make_app()) as server,
        JobsClient(str(server.make_url(""))) as client,
    ):
        yield canned, client


async def test_the_engine_tells_of_it(canned: tuple[CannedServer, JobsClient]) -> None:
    """Tick by tick while it moves, not at all while it rests, and 100 before the return."""
    server, client = canned
    shown: list[float] = []
    reached = asyncio.Event()

    def take(percent: float) -> None:
        shown.append(percent)
        if percent == 50:
            reached.set()

    engine = JobPollingEngine(client, config=PollingConfig(window_seconds=0), on_percent=take)
    polling = asyncio.create_task(engine.start_polling(JOB_ID))
    await server.asked(2)
    server.change(progress=50)
    async with asyncio.timeout(5):
        await reached.wait()
    told = len(shown)
    await asyncio.sleep(2.5 * TICK_SECONDS)  # nothing is waited for: this is the rest
    assert len(shown) == told
    server.end()
    await polling

    assert shown[0] == 0
    assert shown[-2:] == [50, 100]
    assert 2 <= told <= 1 + GLIDE_SECONDS / TICK_SECONDS + 2
    assert shown == sorted(shown)
