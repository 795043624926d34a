"""The polling engine against canned answers: changes, faults, time, interruption."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cidx_jobs.client import (
    AuthenticationError,
    InterruptedPollingError,
    JobCancelledError,
    JobFailedError,
    JobPollingEngine,
    JobPollingError,
    JobsClient,
    JobTimeoutError,
    NetworkConnectionError,
    NotFoundError,
    PolledJob,
    PollingConfig,
    ServerBusyError,
)
from cidx_jobs.client.polling import _Watch
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.wire.encode import decode, encode
from cidx_jobs.wire.jobs import JobDocument
from tests.canned_server import JOB_ID, CannedServer, answer_with, cut, error_document

MakeServer = Callable[..., Awaitable[TestServer]]

AT_ONCE = RetryPolicy(base_seconds=0.0)


def quick(**changes: Any) -> PollingConfig:
    """Give a configuration that pauses nowhere, so that no test waits."""
    return PollingConfig(window_seconds=0.0, interval_seconds=0.01, retry=AT_ONCE, **changes)


QUICK = quick()


@pytest.fixture
def canned() -> CannedServer:
    """Give a server that behaves."""
    return CannedServer()


@pytest.fixture
async def client(canned: CannedServer, aiohttp_server: MakeServer) -> AsyncIterator[JobsClient]:
    """Give a client of it."""
    server = await aiohttp_server(canned.make_app())
    async with JobsClient(str(server.make_url("")).rstrip("/"), retries=0) as client:
        yield client


class Watcher:
    """Remembers what an engine tells, and gives the moments of it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.jobs: list[JobDocument] = []
        self.notices: list[str] = []
        self.calls: list[tuple[int, int, Path, str]] = []
        self._told = asyncio.Event()

    def take_job(self, job: JobDocument) -> None:
        """Remember a change."""
        self.jobs.append(job)
        self._told.set()

    def take_notice(self, text: str) -> None:
        """Remember a notice."""
        self.notices.append(text)
        self._told.set()

    def take_progress(self, current: int, total: int, file_path: Path, info: str = "") -> None:
        """Remember a call of the progress callback."""
        self.calls.append((current, total, file_path, info))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until *holds*, for at most five seconds."""
        async with asyncio.timeout(5):
            while not holds():
                self._told.clear()
                await self._told.wait()


@pytest.fixture
def watcher() -> Watcher:
    """Give a watcher that has seen nothing."""
    return Watcher()


def make_engine(
    client: JobsClient, watcher: Watcher, config: PollingConfig = QUICK
) -> JobPollingEngine:
    """Give an engine that tells the watcher."""
    return JobPollingEngine(
        client,
        watcher.take_progress,
        config,
        on_change=watcher.take_job,
        on_notice=watcher.take_notice,
    )


async def test_each_change_is_told_up_to_the_end(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """The watcher sees the job now, each change as it happens, and gets the completed job."""
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.change(progress=42, phase="indexing", message="150 of 500 files")
    await watcher.until(lambda: len(watcher.jobs) == 2)
    canned.end()
    job = await polling

    assert job.done
    assert [seen.progress for seen in watcher.jobs] == [0, 42, 100]


async def test_the_callback_has_the_form_of_cidx(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """Percent of 100, the current file as a path, and phase and message as info."""
    detail = canned.job["progress_detail"] | {"current_item": "src/api.py"}
    canned.job |= {"progress": 42, "phase": "indexing", "message": "m", "progress_detail": detail}
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.end()
    await polling

    assert watcher.calls[0] == (42, 100, Path("src/api.py"), "indexing: m")


async def test_a_quiet_job_costs_one_parked_request(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """After the first answer the server is asked to wait, and nothing is asked meanwhile."""
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    await asyncio.sleep(0.1)  # nothing is waited for: this is the quiet
    asked = len(canned.requests)
    canned.end()
    await polling

    assert asked == 2
    assert canned.requests[1].query["wait"] == "25"
    assert canned.requests[1].headers["If-None-Match"] == 'W/"3"'


@pytest.mark.slow
async def test_never_more_than_two_requests_a_second(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A job that changes all the time is still asked for only twice in any second."""

    async def flood() -> None:
        for progress in itertools.count():
            canned.change(progress=min(99, progress))
            await asyncio.sleep(0.01)

    flooding = asyncio.create_task(flood())
    with pytest.raises(JobTimeoutError):
        await make_engine(client, watcher, PollingConfig()).start_polling(JOB_ID, 2.5)
    flooding.cancel()

    # One goes out a little later than it was counted: so much the next may seem too early.
    spans = [after - at for at, after in zip(canned.asked_at, canned.asked_at[2:], strict=False)]
    assert len(watcher.jobs) >= 4
    assert min(spans) > 0.9


async def test_a_server_that_does_not_wait_is_polled_at_its_interval(
    canned: CannedServer, client: JobsClient, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that comes at once, unchanged, is followed by the pause that it asks for."""
    canned.can_wait = False
    pauses: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        canned.end()
        await real_sleep(0)

    monkeypatch.setattr("cidx_jobs.client.job_follower.asyncio.sleep", sleep)

    await make_engine(client, watcher).start_polling(JOB_ID)

    assert pauses == [1.0]  # the server's Retry-After


async def test_a_server_without_long_poll_is_polled_plainly(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A refusal of the parameter turns long-polling off instead of ending the watching."""
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    canned.job["progress_detail"]["waiting_for"] = None

    async def refuse(_: web.Request) -> web.StreamResponse:
        canned.end()
        return await answer_with(400, "invalid_parameter")(_)

    async def pass_on(request: web.Request) -> web.StreamResponse:
        return web.json_response(canned.job, headers={"ETag": 'W/"3"'})

    canned.faults = [pass_on, refuse]
    job = await polling

    assert job.done
    assert "wait" not in canned.requests[-1].query


@pytest.mark.parametrize(
    "fault",
    [cut, answer_with(503, "stopping"), answer_with(429, "slow_down"), answer_with(500, "bug")],
    ids=["cut", "503", "429", "500"],
)
async def test_faults_in_a_row_are_sat_out(
    canned: CannedServer, client: JobsClient, watcher: Watcher, fault: Any
) -> None:
    """The watching goes on after any number of them, and tells of it once."""
    canned.faults = [fault] * 5
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.end()
    job = await polling

    assert job.done
    assert len(watcher.notices) == 2
    assert watcher.notices[1] == "the server is back"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(cut, NetworkConnectionError), (answer_with(503, "stopping"), ServerBusyError)],
    ids=["cut", "503"],
)
async def test_a_server_that_stays_away_ends_the_watching(
    canned: CannedServer, client: JobsClient, watcher: Watcher, fault: Any, kind: type[Exception]
) -> None:
    """After the configured absence the last error comes out."""
    canned.faults = [fault] * 10_000
    config = quick(away_seconds=0.05)

    with pytest.raises(kind):
        await make_engine(client, watcher, config).start_polling(JOB_ID)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answer_with(404, "job_not_found"), NotFoundError),
        (answer_with(401, "authentication_required"), AuthenticationError),
    ],
    ids=["404", "401"],
)
async def test_a_refusal_ends_the_watching_at_once(
    canned: CannedServer, client: JobsClient, watcher: Watcher, fault: Any, kind: type[Exception]
) -> None:
    """What asking again cannot change is not asked again."""
    canned.faults = [fault]

    with pytest.raises(kind):
        await make_engine(client, watcher).start_polling(JOB_ID)

    assert len(canned.requests) == 1


async def test_a_version_that_went_back_is_a_change(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A server restored from a backup is followed from where it stands."""
    canned.job["version"] = 50
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.change(version=7, progress=3)
    await watcher.until(lambda: len(watcher.jobs) == 2)
    canned.end()
    await polling

    assert [job.version for job in watcher.jobs] == [50, 7, 8]


async def test_a_version_that_went_back_is_a_change_without_tags_too(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """What a submit answered is known by its version only; being behind it is a difference."""
    canned.job["version"] = 50
    known = PolledJob(job=await client.get_job(JOB_ID))
    canned.change(version=7)
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID, known=known))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.end()
    await polling

    assert [job.version for job in watcher.jobs] == [7, 8]


async def test_a_failed_job_is_an_error_that_holds_it(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """The error has the job's text and the job."""
    canned.end("failed", error=error_document())

    with pytest.raises(JobFailedError, match="no branch nope") as caught:
        await make_engine(client, watcher).start_polling(JOB_ID)

    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "GIT-002"


async def test_a_cancelled_job_is_an_error_of_its_own(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """Cancelled is not failed."""
    canned.end("cancelled", error=error_document("CANCELLED", "system"), cancel_reason="enough")

    with pytest.raises(JobCancelledError, match="enough"):
        await make_engine(client, watcher).start_polling(JOB_ID)


async def test_the_time_that_was_given_ends_the_watching(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """The job is left alone, and the error holds its last state."""
    with pytest.raises(JobTimeoutError) as caught:
        await make_engine(client, watcher).start_polling(JOB_ID, 0.05)

    assert caught.value.job is not None
    assert canned.job["status"] == "running"


async def test_a_watcher_may_cancel_the_job_when_its_time_is_up(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """With `cancel_on_timeout` the job does not go on."""
    config = quick(timeout_seconds=0.05, cancel_on_timeout=True)

    with pytest.raises(JobTimeoutError):
        await make_engine(client, watcher, config).start_polling(JOB_ID)

    assert canned.job["status"] == "cancelled"


@pytest.mark.slow
async def test_time_is_extended_while_there_is_progress(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A callback that says yes gives more time, but only to a job that has moved since."""
    asked: list[int] = []

    def extend(job: JobDocument) -> bool:
        asked.append(job.progress)
        return True

    config = quick(extend=extend, extension_seconds=0.1)
    polling = asyncio.create_task(make_engine(client, watcher, config).start_polling(JOB_ID, 1.0))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    canned.change(progress=10)

    with pytest.raises(JobTimeoutError, match=r"1\.1 seconds"):
        await polling

    assert asked == [10]


def test_time_is_extended_three_times_at_most(canned: CannedServer) -> None:
    """However much progress there is; by two minutes each, unless that is said otherwise."""
    config = PollingConfig(extend=lambda _: True)
    engine = JobPollingEngine(JobsClient("http://localhost"), config=config)
    watch = _Watch(job_id=JOB_ID, seconds_left=60.0)
    job = decode(encode(canned.job), JobDocument)
    watch.take(job)

    extended = []
    for _ in range(4):
        watch.take(job)
        extended.append(engine._try_to_extend(watch))

    assert extended == [True, True, True, False]
    assert watch.seconds_given == 60 + 3 * 120


async def test_a_running_job_that_does_not_move_is_noticed(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """Each limit is told once, and a change begins the count anew."""
    config = quick(stall_seconds=(0.02, 0.04))
    polling = asyncio.create_task(make_engine(client, watcher, config).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.notices) == 2)
    canned.change(progress=1)
    await watcher.until(lambda: len(watcher.notices) == 3)
    canned.end()
    await polling

    assert watcher.notices[:3] == [
        "no change for 0.02 seconds",
        "no change for 0.04 seconds",
        "no change for 0.02 seconds",
    ]
    assert watcher.calls[1] == (0, 0, Path(), "no change for 0.02 seconds")


async def test_a_waiting_job_does_not_stall(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A job in the queue is quiet by nature."""
    canned.job |= {"status": "queued", "started_at": None}
    config = quick(stall_seconds=(0.01,))

    with pytest.raises(JobTimeoutError):
        await make_engine(client, watcher, config).start_polling(JOB_ID, 0.1)

    assert watcher.notices == []


@pytest.mark.parametrize("cancels", [False, True])
async def test_an_interruption_leaves_the_job_or_cancels_it(
    canned: CannedServer, client: JobsClient, watcher: Watcher, *, cancels: bool
) -> None:
    """Whoever stops the watching says which."""
    engine = make_engine(client, watcher)
    polling = asyncio.create_task(engine.start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    engine.stop_polling(cancel_job=cancels)

    with pytest.raises(InterruptedPollingError):
        await polling

    assert canned.job["status"] == ("cancelled" if cancels else "running")
    assert not engine.is_polling


async def test_a_callback_may_interrupt(canned: CannedServer, client: JobsClient) -> None:
    """A callback that returns INTERRUPT, as CIDX's do, stops the watching."""

    def callback(current: int, total: int, file_path: Path, info: str = "") -> str:
        return "INTERRUPT"

    with pytest.raises(InterruptedPollingError):
        await JobPollingEngine(client, callback, QUICK).start_polling(JOB_ID)


async def test_one_engine_watches_one_job_at_a_time(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A second watching is refused; after the first it is fine."""
    engine = make_engine(client, watcher)
    polling = asyncio.create_task(engine.start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)

    with pytest.raises(JobPollingError, match="one at a time"):
        await engine.start_polling(JOB_ID)
    canned.end()
    await polling

    assert (await engine.start_polling(JOB_ID)).done


async def test_a_job_that_is_known_is_waited_for_at_once(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """What was read before saves the first request: by version where no tag came with it."""
    known = PolledJob(job=await client.get_job(JOB_ID))
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID, known=known))
    await canned.asked(2)
    canned.end()
    job = await polling
    asked = len(canned.requests)
    again = await make_engine(client, watcher).start_polling(JOB_ID, known=PolledJob(job=job))

    assert dict(canned.requests[1].query) == {"wait": "25", "since": "3"}
    assert again == job
    assert len(canned.requests) == asked


async def test_cancelling_the_watching_leaves_nothing_behind(
    canned: CannedServer, client: JobsClient, watcher: Watcher
) -> None:
    """A cancelled `start_polling` is cancelled, and its tasks have ended."""
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.jobs) == 1)
    polling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await polling

    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("poll-")]


async def test_a_cut_long_poll_is_asked_for_more_shortly(
    canned: CannedServer, client: JobsClient, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something cuts quiet connections the waits become half as long as they lasted."""
    monkeypatch.setattr("cidx_jobs.client.job_follower.SHORTEST_WAIT_SECONDS", 0.01)

    async def cut_later(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return await cut(request)

    async def pass_on(request: web.Request) -> web.StreamResponse:
        return web.json_response(canned.job, headers={"ETag": 'W/"3"'})

    # aiohttp itself sends a request again that was cut on a kept connection: so cut that, too.
    canned.faults = [pass_on, cut_later, cut, pass_on]
    polling = asyncio.create_task(make_engine(client, watcher).start_polling(JOB_ID))
    await watcher.until(lambda: len(watcher.notices) == 2)
    canned.end()
    await polling

    waits = [
        float(request.query["wait"]) for request in canned.requests if "wait" in request.query
    ]
    assert waits[0] == 25
    assert waits[-1] == 1  # the server counts whole seconds
