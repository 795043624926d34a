"""The client against the real server: each route, and a job watched through a bad network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from cidx_jobs import __version__
from cidx_jobs.client import (
    AuthenticationError,
    ConflictError,
    JobCancelledError,
    JobFailedError,
    JobPollingEngine,
    JobsClient,
    NetworkConnectionError,
    NotFoundError,
    PermissionDeniedError,
    PolledJob,
    PollingConfig,
    PreconditionFailedError,
    RequestRefusedError,
    follow_events,
)
from cidx_jobs.client.event_follower import EventReader, ServerEvent
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.wire.events import EventDocument
from tests.fakes import WAIT_SECONDS
from tests.functional.web import NO_JOB, House, eventually

QUICK = PollingConfig(window_seconds=0.0, retry=RetryPolicy(base_seconds=0.01))


def client_of(house: House, user: str, port: int | None = None) -> JobsClient:
    """Give a client of the house, or of a proxy before it, that asks as a user."""
    url = house.client.make_url("/").with_port(port or house.client.port)
    return JobsClient(str(url), house.tokens[user])


@pytest.fixture
async def alice(house: House) -> AsyncIterator[JobsClient]:
    """Give a client that asks as alice."""
    async with client_of(house, "alice") as client:
        yield client


@pytest.fixture
async def root(house: House) -> AsyncIterator[JobsClient]:
    """Give a client that asks as the administrator."""
    async with client_of(house, "root") as client:
        yield client


class Proxy:
    """A network between client and server that can be cut, slowed down and taken away."""

    def __init__(self, port: int) -> None:
        """Lead to the *port* on this machine."""
        self.port = 0
        self.is_up = True
        self.delay_seconds = 0.0
        self.connections = 0
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Proxy"]:
        """Take connections."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection there is."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self.is_up:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, back), (there, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(65_536):
                await asyncio.sleep(self.delay_seconds)
                sink.write(piece)
                await sink.drain()
        self._writers.discard(sink)
        sink.transport.abort()


async def test_a_job_goes_all_the_ways(house: House, alice: JobsClient) -> None:
    """Submitted, revised, released, read, cancelled, tried again: each answer is the job."""
    held = await alice.submit("gated", "p", hold=True, labels={"a": "b"}, priority=3)
    revised = await alice.revise_job(held.job_id, priority=7, if_version=held.version)
    with pytest.raises(PreconditionFailedError):
        await alice.revise_job(held.job_id, priority=1, if_version=held.version)
    await alice.start_job(held.job_id)
    await house.gate.arrived(1)
    status = await alice.get_status(held.job_id)
    cancelling = await alice.cancel_job(held.job_id, "enough")
    cancelled = await house.until(held.job_id, JobStatus.CANCELLED)
    retried = await alice.retry_job(held.job_id, from_start=True)
    deleted = await alice.delete_job(held.job_id)

    assert held.labels == {"a": "b"}
    assert held.queue is not None
    assert held.queue.blocked_by == ("held",)
    assert revised.priority == 7
    assert status.status is JobStatus.RUNNING
    assert cancelling.cancel_reason == "enough"
    assert cancelled.attempt == 1
    assert retried.job_id == deleted.job_id == held.job_id


async def test_a_key_of_ones_own_gives_the_one_job(alice: JobsClient) -> None:
    """A submit that is made again with its key is the same submit."""
    first = await alice.submit("gated", "p", idempotency_key="k")
    second = await alice.submit("gated", "p", idempotency_key="k")

    assert first.job_id == second.job_id
    with pytest.raises(RequestRefusedError) as caught:
        await alice.submit("gated", "other", idempotency_key="k")
    assert caught.value.code == "idempotency_key_reused"


async def test_jobs_are_listed_page_by_page(alice: JobsClient) -> None:
    """Filters, times and cursors are those of the API."""
    jobs = [await alice.submit("gated", f"p{number}") for number in range(3)]
    oldest, newest = jobs[0].created_at, jobs[-1].created_at
    second = timedelta(seconds=1)

    first = await alice.list_jobs(limit=2, created_after=oldest - second, order="created_at")
    rest = await alice.list_jobs(
        limit=2,
        created_after=oldest - second,
        order="created_at",
        cursor=first.next_cursor,
    )
    some = await alice.list_jobs(
        status=["queued", "running"], project_id="p1", created_before=newest + second
    )

    listed = [job.job_id for job in (*first.jobs, *rest.jobs)]
    assert listed == [job.job_id for job in jobs]
    assert first.total == 3
    assert [job.project_id for job in some.jobs] == ["p1"]


async def test_what_the_server_tells_of_itself_is_read(house: House, alice: JobsClient) -> None:
    """Events, the queue, job types, projects, health."""
    job = await house.submit_ended()

    log = await alice.list_events(job.job_id, limit=2)
    rest = await alice.list_events(job.job_id, cursor=log.next_cursor)
    everything = await alice.list_events()
    queue = await alice.get_queue()
    types = await alice.list_job_types()
    projects = await alice.list_projects()

    assert [event.to_status for event in (*log.events, *rest.events)] == [
        "created",
        "queued",
        "running",
        "completed",
    ]
    assert len(everything.events) == 4
    assert queue.limits.max_running_total == 50
    assert "repository_sync" in {kind.name for kind in types.job_types}
    assert projects.projects == ()
    assert (await alice.get_livez()).status
    assert await alice.get_version() == __version__
    ready = await alice.get_readyz()
    assert (ready.reasons, ready.warnings) == ((), ())


async def test_what_is_not_there_is_not_found(alice: JobsClient) -> None:
    """Jobs, projects and what might be in them."""
    for call in (
        alice.get_job(NO_JOB),
        alice.get_job("../admin/stats"),
        alice.get_project("none"),
        alice.remove_project("none"),
        alice.search("none", "text"),
        alice.list_events(NO_JOB),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_a_wrong_member_is_named(alice: JobsClient) -> None:
    """With its pointer."""
    with pytest.raises(RequestRefusedError) as caught:
        await alice.submit("gated", "not a project id")

    assert [fault["pointer"] for fault in caught.value.errors] == ["/project_id"]


async def test_administration_is_for_administrators(
    house: House, alice: JobsClient, root: JobsClient
) -> None:
    """Tokens, counts, limits and pauses, each refused to others."""
    made = await root.create_token("carol", "read", lifetime_seconds=60, label="x")
    tokens = await root.list_tokens()
    await root.revoke_token(made.token_id)
    stats = await root.get_stats()
    limits = await root.change_limits(max_running_total=7)
    paused = await root.pause(job_type="gated")
    resumed = await root.resume(job_type="gated")
    draining = await root.drain()
    drained = await root.get_drain()
    ended = await root.end_drain()
    await house.submit_ended("broken")
    counted = await root.clean_up(0, dry_run=True)
    kept = await root.clean_up(0, statuses=[JobStatus.COMPLETED])
    cleaned = await root.clean_up(0, statuses=[JobStatus.FAILED])

    assert made.token_id in {token.token_id for token in tokens.tokens}
    assert stats.slots.max_running_total == 50
    assert limits == await root.get_limits()
    assert limits.max_running_total == 7
    assert (paused.job_types, resumed.job_types) == (("gated",), ())
    assert (draining.draining, ended.draining) == (True, False)
    assert (drained.drained, drained.running) == (True, 0)
    assert (counted.matched, counted.deleted) == (1, 0)
    assert (kept.deleted, cleaned.deleted) == (0, 1)
    with pytest.raises(PermissionDeniedError):
        await alice.get_stats()
    async with JobsClient(str(house.client.make_url("/")), "cidxj_wrong") as nobody:
        with pytest.raises(AuthenticationError):
            await nobody.list_jobs()


async def test_the_end_comes_with_the_polling(house: House, alice: JobsClient) -> None:
    """Each way in which a job can end comes out as what it is."""
    done = await alice.submit("quick", "p1")
    broken = await alice.submit("broken", "p2")
    gone = await alice.submit("gated", "p3", hold=True)
    await alice.cancel_job(gone.job_id)
    engine = JobPollingEngine(alice, config=QUICK)

    assert (await engine.start_polling(done.job_id)).result == {"seen": {}}
    with pytest.raises(JobFailedError, match="it broke"):
        await engine.start_polling(broken.job_id)
    with pytest.raises(JobCancelledError):
        await engine.start_polling(gone.job_id)
    with pytest.raises(ConflictError):
        await alice.cancel_job(done.job_id)


class CountingClient(JobsClient):
    """Counts how often a job was asked for."""

    asked = 0

    async def poll_job(self, *arguments: Any, **options: Any) -> PolledJob:
        """Count, and ask."""
        self.asked += 1
        return await super().poll_job(*arguments, **options)


@pytest.mark.parametrize("has_just_changed", [False, True])
async def test_the_end_is_known_at_once(house: House, has_just_changed: bool) -> None:
    """A request that is parked already brings it: also just after a change, at the usual pace."""
    job = await house.submit_running()
    url = str(house.client.make_url("/"))
    async with CountingClient(url, house.tokens["alice"]) as client:
        known = PolledJob(job=await client.get_job(job["job_id"]))
        engine = JobPollingEngine(client)
        polling = asyncio.create_task(engine.start_polling(job["job_id"], known=known))
        await house.parked(1)
        if has_just_changed:
            await house.gate.contexts[0].report(done=1, total=100)
            await eventually(lambda: client.asked == 2)
            await house.parked(1)
        house.gate.open()
        ended = await house.jobs.wait(job["job_id"], timeout=WAIT_SECONDS)
        asked = client.asked
        done_job = await polling

    assert done_job.status is JobStatus.COMPLETED
    assert done_job.version == ended.version
    assert client.asked == asked


async def test_a_bad_network_is_sat_out(house: House) -> None:
    """Cut in the middle, refused for a while, slow: the watcher sees the end all the same."""
    job = await house.submit_running()
    notices: list[str] = []
    async with (
        Proxy(house.client.port or 0).open() as proxy,
        client_of(house, "alice", proxy.port) as client,
    ):
        engine = JobPollingEngine(client, config=QUICK, on_notice=notices.append)
        polling = asyncio.create_task(engine.start_polling(job["job_id"]))
        await house.parked(1)
        proxy.is_up = False
        proxy.cut()
        async with asyncio.timeout(5):
            while proxy.connections < 5:  # noqa: ASYNC110 - attempts are no event
                await asyncio.sleep(0.005)
        proxy.is_up, proxy.delay_seconds = True, 0.02
        await house.parked(1)
        house.gate.open()
        done = await polling

    assert done.status is JobStatus.COMPLETED
    assert notices[0].startswith("cannot reach")
    assert notices[-1] == "the server is back"


@pytest.mark.slow
async def test_a_log_is_followed_through_gaps(house: House) -> None:
    """Each row once and in order, though the connection is cut; it ends with the job."""
    job = await house.submit_running()
    notices: list[str] = []
    rows: list[EventDocument] = []
    async with (
        Proxy(house.client.port or 0).open() as proxy,
        client_of(house, "alice", proxy.port) as client,
    ):

        async def follow() -> None:
            log = follow_events(client, job["job_id"], config=QUICK, notice=notices.append)
            async for row in log:
                rows.append(row)  # noqa: PERF401 - each is counted when it comes

        following = asyncio.create_task(follow())
        await eventually(lambda: len(rows) == 3)
        proxy.cut()
        house.gate.open()
        await following
        again = [row async for row in follow_events(client, job["job_id"], after=rows[-1].seq)]

    assert [row.to_status for row in rows] == ["created", "queued", "running", "completed"]
    assert len(notices) == 2
    assert notices[-1] == "the server is back"
    assert again == []


async def test_a_log_that_is_not_there_cannot_be_followed(alice: JobsClient) -> None:
    """A refusal ends the following at once."""
    with pytest.raises(NotFoundError):
        await anext(follow_events(alice, NO_JOB))


@pytest.mark.slow
async def test_a_server_that_stays_away_ends_the_following() -> None:
    """After the configured absence the last error comes out."""
    config = PollingConfig(away_seconds=0.0, retry=RetryPolicy(base_seconds=0.0))
    async with JobsClient("http://127.0.0.1:1") as client:
        with pytest.raises(NetworkConnectionError):
            await anext(follow_events(client, NO_JOB, config=config))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_cut_into_its_events(size: int) -> None:
    """Wherever the pieces end; comments are none."""
    stream = b": open\n\nevent: progress\ndata: {}\n\n: ping\n\nevent: end\nid: 7\ndata: [1]\n\n"
    reader = EventReader()

    events = [
        event
        for begin in range(0, len(stream), size)
        for event in reader.feed(stream[begin : begin + size])
    ]

    assert events == [ServerEvent("progress", b"{}"), ServerEvent("end", b"[1]")]
