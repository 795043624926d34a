"""Notices: a job's end told to a URL, signed, again and again until it is taken (api.md 1.11)."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.handlers.notice_sender import HttpNoticeSender
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import StorageUnavailableError, ValidationError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.webhooks.end_notice import TRY_TIMES, EndNotice, NoticeTry
from cidx_jobs.model.webhooks.notify_url import MAX_URLS, find_fault
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.database import MemoryDatabase
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.memory.webhooks.end_notices import MemoryEndNotices
from cidx_jobs.system import JobSystem
from cidx_jobs.testing import ManualClock
from tests.functional.web import AioClient, House, broken, open_house, quick
from tests.receiver import Receiver, receiving
from tests.stored import NOON

ALICE = UserId("alice")
TYPES = (JobType("quick", quick), JobType("broken", broken))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver that takes what comes."""
    async with receiving() as one:
        yield one


@pytest.fixture
async def told(
    aiohttp_client: AioClient, tmp_path: Path, receiver: Receiver
) -> AsyncIterator[House]:
    """Give a server that may tell the receiver."""
    async with open_house(aiohttp_client, tmp_path, webhook_allowed_hosts=receiver.host) as house:
        yield house


async def make_secret(house: House, user: str = "alice") -> str:
    """Make the user's secret."""
    answer = await house.ask("POST", "/api/notify-secret", user=user)
    assert answer.status == 201
    secret: str = (await answer.json())["secret"]
    return secret


async def deliveries(house: House, job_id: str) -> list[dict[str, Any]]:
    """Return what the job's document says of its notices."""
    answer = await house.ask("GET", f"/api/jobs/{job_id}")
    found: list[dict[str, Any]] = (await answer.json())["deliveries"]
    return found


async def until_tried(house: House, job_id: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many tries are told of in the job's document, and return them."""
    while len(found := await deliveries(house, job_id)) < count:  # noqa: ASYNC110 - it is no event
        await asyncio.sleep(0.005)
    return found


@asynccontextmanager
async def telling(
    tmp_path: Path, receiver: Receiver, store: MemoryPersistence, clock: ManualClock
) -> AsyncIterator[JobSystem]:
    """Open a system that may tell the receiver, and whose time a test moves."""
    settings = Settings(
        data_dir=tmp_path, webhook_allowed_hosts=(receiver.host,), shutdown_grace_seconds=0
    )
    async with JobSystem(settings, TYPES, persistence=store, clock=clock) as jobs:
        yield jobs


async def until_tries(jobs: JobSystem, job: Job, count: int) -> Sequence[NoticeTry]:
    """Wait until so many tries are stored, and return them."""
    while len(found := await jobs.end_notices.list_tries(job)) < count:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.002)
    return found


@pytest.mark.parametrize(
    ("job_type", "status"), [("quick", "completed"), ("broken", "failed"), ("gated", "cancelled")]
)
async def test_an_end_is_told(told: House, receiver: Receiver, job_type: str, status: str) -> None:
    """Each kind of end, with the job, signed with the user's secret; the job tells of it."""
    secret = await make_secret(told)

    job = await told.submit(job_type=job_type, notify=receiver.url)
    if status == "cancelled":
        await told.ask("POST", f"/api/jobs/{job['job_id']}/cancel")
    (received,) = await receiver.until(1)
    (tried,) = await until_tried(told, job["job_id"], 1)

    document = received.document
    ended = await told.jobs.get(job["job_id"])
    assert received.is_signed(secret)
    assert not received.is_signed(await make_secret(told))
    assert received.headers["content-type"] == "application/json"
    assert document["type"] == f"job.{status}"
    assert document["timestamp"] == document["data"]["finished_at"]
    assert (document["data"]["job_id"], document["data"]["status"]) == (job["job_id"], status)
    assert document["data"]["version"] == ended.version
    assert (tried["status"], tried["error"], tried["url"]) == (204, None, receiver.url)


async def test_a_notice_changes_nothing_of_the_job(told: House, receiver: Receiver) -> None:
    """Its version and tag stay, it holds no slot, and nobody waits for it."""
    await make_secret(told)
    receiver.go_on.clear()

    job = await told.submit(job_type="quick", notify=receiver.url)
    await receiver.until(1)
    ended = await told.ask("GET", f"/api/jobs/{job['job_id']}")
    slots = told.jobs.manager.slots
    receiver.go_on.set()
    await until_tried(told, job["job_id"], 1)
    after = await told.ask("GET", f"/api/jobs/{job['job_id']}")

    assert (await ended.json())["status"] == "completed"
    assert slots.running == 0
    assert after.headers["ETag"] == ended.headers["ETag"]
    assert (await after.json())["version"] == (await ended.json())["version"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://other.example.com/x", "does not allow"),
        ("http://127.0.0.1:1/x", "does not allow"),
        ("ftp://127.0.0.1/x", "https://host/path"),
        ("http://user@127.0.0.1/x", "https://host/path"),
        ("", "https://host/path"),
        ("http://127.0.0.1:99999/", "https://host/path"),
        ("http://127.0.0.1:0/", "https://host/path"),
        ("http://127.0.0.1/\r\nX: y", "https://host/path"),
        ("https://ex\u00e4mple.com/", "https://host/path"),
        ("https://example.com/" + "x" * 3_000, "https://host/path"),
    ],
)
async def test_a_url_that_is_not_taken_is_told_so(told: House, url: str, words: str) -> None:
    """422 with the pointer, at each door."""
    await make_secret(told)
    body = {"job_type": "quick", "project_id": "p", "notify": url}

    answer = await told.ask("POST", "/api/jobs", json=body)

    problem = await answer.json()
    assert (answer.status, problem["errors"][0]["pointer"]) == (422, "/notify")
    assert words in problem["errors"][0]["message"]
    with pytest.raises(ValidationError, match=words):
        await told.jobs.submit("alice", "p", job_type="quick", notify=url)


async def test_a_schedule_tells_the_ends_of_its_jobs(told: House, receiver: Receiver) -> None:
    """It is held to the same rules as a submit."""
    schedule = {
        "name": "often",
        "project_id": "p",
        "job_type": "quick",
        "every_seconds": 3_600,
        "notify": receiver.url,
    }
    early = await told.ask("POST", "/api/schedules", json=schedule)
    secret = await make_secret(told)
    elsewhere = await told.ask(
        "POST", "/api/schedules", json={**schedule, "notify": "https://other.example.com/"}
    )
    made = await told.ask("POST", "/api/schedules", json=schedule)

    job = await (await told.ask("POST", "/api/schedules/often/run")).json()
    (received,) = await receiver.until(1)

    assert (early.status, elsewhere.status, made.status) == (422, 422, 201)
    assert (await elsewhere.json())["errors"][0]["pointer"] == "/notify"
    assert (await made.json())["notify"] == receiver.url
    assert received.is_signed(secret)
    assert received.document["data"]["job_id"] == job["job_id"]


async def test_without_a_secret_nothing_is_told(told: House, receiver: Receiver) -> None:
    """Another user's is no help."""
    await make_secret(told, "bob")
    body = {"job_type": "quick", "project_id": "p", "notify": receiver.url}

    answer = await told.ask("POST", "/api/jobs", json=body)

    problem = await answer.json()
    assert answer.status == 422
    assert "notify-secret" in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("listed", "url", "is_taken"),
    [
        ("ci.example.com", "https://ci.example.com/a?b=c", True),
        ("CI.example.com", "https://ci.EXAMPLE.com", True),
        ("ci.example.com", "https://ci.example.com:443/", True),
        ("ci.example.com:8443", "https://ci.example.com:8443/", True),
        ("ci.example.com", "http://ci.example.com/", True),
        ("[::1]:80", "http://[::1]/", True),
        ("ci.example.com", "https://ci.example.com:8443/", False),
        ("ci.example.com", "https://x.ci.example.com/", False),
        ("ci.example.com", "https://ci.example.com.evil.example/", False),
        ("ci.example.com", "https://evil.example/ci.example.com", False),
        ("ci.example.com", "https://ci.example.com@evil.example/", False),
        ("ci.example.com", "https://ci.example.com\\@evil.example/", False),
        ("ci.example.com", "https://ci.example.com#@evil.example/", False),
        ("127.0.0.1", "http://2130706433/", False),
    ],
)
def test_a_host_is_listed_exactly(listed: str, url: str, is_taken: bool) -> None:
    """With its port, unless it is the scheme's own; no host below it, and no other spelling."""
    assert (find_fault(url, (listed,)) is None) is is_taken


async def test_a_joined_job_tells_everybody_who_asked(told: House, receiver: Receiver) -> None:
    """Each URL once, up to a bound."""
    await make_secret(told)
    body = {"project_id": "p", "repository_url": "https://127.0.0.1.invalid.example/x.git"}
    await told.ask("POST", "/api/admin/pause", user="root", json={})

    answers = [
        await told.ask("POST", "/api/sync", json={**body, "notify": f"{receiver.url}/{number}"})
        for number in (*range(MAX_URLS), 0, MAX_URLS)
    ]
    job = await answers[0].json()
    await told.ask("POST", f"/api/jobs/{job['job_id']}/cancel")
    await receiver.until(MAX_URLS)

    statuses = [answer.status for answer in answers]
    assert statuses == [202, *[200] * MAX_URLS, 422]
    tried = await until_tried(told, job["job_id"], MAX_URLS)
    assert {one["url"] for one in tried} == {f"{receiver.url}/{n}" for n in range(MAX_URLS)}
    ids = {one.headers["webhook-id"] for one in receiver.received}
    assert len(ids) == MAX_URLS


async def test_what_is_not_taken_is_tried_at_its_times(tmp_path: Path) -> None:
    """Nine times in a day with one id and one body, then no more."""
    clock = ManualClock()
    async with (
        receiving(*[503] * 20) as receiver,
        telling(tmp_path, receiver, MemoryPersistence(), clock) as jobs,
    ):
        secret = await jobs.end_notices.make_secret(ALICE)
        job = await jobs.submit("alice", "p", job_type="quick", notify=receiver.url)
        began = clock.now()
        await until_tries(jobs, job, 1)
        for number, (before, seconds) in enumerate(itertools.pairwise(TRY_TIMES), start=1):
            clock.advance(seconds - before - 0.001)
            jobs.end_notices.look_again()
            await asyncio.sleep(0.01)
            assert len(receiver.received) == number
            clock.advance(0.001)
            jobs.end_notices.look_again()
            await until_tries(jobs, job, number + 1)
        clock.advance(90_000)
        jobs.end_notices.look_again()
        await asyncio.sleep(0.02)
        tries = await jobs.end_notices.list_tries(job)

    assert len(receiver.received) == len(TRY_TIMES)
    assert all(received.is_signed(secret) for received in receiver.received)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert len({one.body for one in receiver.received}) == 1
    assert [round((one.at - began).total_seconds()) for one in tries] == list(TRY_TIMES)
    assert {(one.status, one.error) for one in tries} == {(503, "it was answered with 503")}


async def test_a_redirect_is_not_followed(told: House, receiver: Receiver) -> None:
    """It is a try that failed."""
    await make_secret(told)
    receiver.statuses = [307]

    job = await told.submit(job_type="quick", notify=receiver.url)
    (tried,) = await until_tried(told, job["job_id"], 1)

    assert tried["status"] == 307
    assert "redirects are not followed" in tried["error"]
    assert len(receiver.received) == 1


async def test_a_restart_goes_on_with_the_tries(tmp_path: Path, receiver: Receiver) -> None:
    """With the same id; a post that was cut off by the stop is sent again."""
    clock, store = ManualClock(), MemoryPersistence()
    receiver.statuses = [500]
    async with telling(tmp_path, receiver, store, clock) as jobs:
        await jobs.end_notices.make_secret(ALICE)
        job = await jobs.submit("alice", "p", job_type="quick", notify=receiver.url)
        await until_tries(jobs, job, 1)
        receiver.go_on.clear()
        clock.advance(5)
        jobs.end_notices.look_again()
        await receiver.until(2)

    receiver.go_on.set()
    async with telling(tmp_path, receiver, store, clock) as jobs:
        tries = await until_tries(jobs, job, 2)

    assert [one.status for one in tries] == [500, 204]
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1


class Forgetful(MemoryEndNotices):
    """A store that dies before it has any notice."""

    async def add_notices(self, _: Sequence[EndNotice]) -> Sequence[EndNotice]:
        """Store nothing."""
        raise StorageUnavailableError


async def test_an_end_that_nobody_could_note_is_told_after_the_restart(
    tmp_path: Path, receiver: Receiver
) -> None:
    """That it is to be told stands with the job: a kill in between loses nothing."""
    clock, database = ManualClock(), MemoryDatabase()
    store = MemoryPersistence(database)
    whole, store.end_notices = store.end_notices, Forgetful(database)
    async with telling(tmp_path, receiver, store, clock) as jobs:
        await jobs.end_notices.make_secret(ALICE)
        await whole.save_secret(ALICE, await store.end_notices.find_secret(ALICE) or "", NOON)
        job = await jobs.submit("alice", "p", job_type="quick", notify=receiver.url)
        await jobs.wait(job.job_id)

    store.end_notices = whole
    async with telling(tmp_path, receiver, store, clock) as jobs:
        (received,) = await receiver.until(1)
        tries = await until_tries(jobs, job, 1)

    assert received.document["data"]["job_id"] == job.job_id
    assert len(tries) == 1


async def test_each_end_of_a_job_is_told(told: House, receiver: Receiver) -> None:
    """A job that is tried again on request ends again, with a notice of its own."""
    await make_secret(told)
    job = await told.submit(job_type="broken", notify=receiver.url)
    await receiver.until(1)

    await told.ask("POST", f"/api/jobs/{job['job_id']}/retry")
    first, second = await receiver.until(2)

    assert first.headers["webhook-id"] != second.headers["webhook-id"]
    assert first.document["data"]["version"] < second.document["data"]["version"]


async def test_without_the_key_a_notice_waits_for_a_new_secret(
    tmp_path: Path, receiver: Receiver
) -> None:
    """As after a restore: the doctor says so, and the next try is signed with the new one."""
    clock, store = ManualClock(), MemoryPersistence()
    async with telling(tmp_path, receiver, store, clock) as jobs:
        await jobs.end_notices.make_secret(ALICE)
    (tmp_path / "secrets.key").unlink()

    async with telling(tmp_path, receiver, store, clock) as jobs:
        lost = await jobs.end_notices.find_lost_secrets()
        job = await jobs.submit("alice", "p", job_type="quick", notify=receiver.url)
        (failed,) = await until_tries(jobs, job, 1)
        secret = await jobs.end_notices.make_secret(ALICE)
        clock.advance(5)
        jobs.end_notices.look_again()
        (received,) = await receiver.until(1)

    assert "alice" in lost[0].message
    assert "make a new one" in str(failed.error)
    assert received.is_signed(secret)


async def test_a_host_that_hangs_holds_up_nobody_else(tmp_path: Path, receiver: Receiver) -> None:
    """However many notices are for it."""
    async with receiving() as other:
        receiver.go_on.clear()
        hosts = (receiver.host, other.host)
        settings = Settings(data_dir=tmp_path, webhook_allowed_hosts=hosts)
        async with JobSystem(settings, TYPES, persistence=MemoryPersistence()) as jobs:
            await jobs.end_notices.make_secret(ALICE)
            for number in range(30):
                await jobs.submit("alice", f"p{number}", job_type="quick", notify=receiver.url)
            await jobs.wait_until_idle(timeout=5)
            await jobs.submit("alice", "q", job_type="quick", notify=other.url)
            await other.until(1)
            held = len(receiver.received)
            receiver.go_on.set()
            await receiver.until(30)

    assert held == 2


async def resolve_to(*addresses: str) -> Sequence[str]:
    """Return the addresses, whatever the name is."""
    return addresses


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"])
async def test_a_name_that_leads_to_the_link_is_told_nothing(address: str) -> None:
    """It is looked at anew at each try: names change where they lead."""
    sender = HttpNoticeSender(lambda *_: resolve_to(address))

    answer = await sender.send("http://ci.example.com/", {}, b"{}")

    assert answer.status is None
    assert "address of the link" in str(answer.error)


async def test_only_what_was_looked_up_is_connected_to(receiver: Receiver) -> None:
    """A name goes to the address that was checked, without a second look-up."""
    asked: list[str] = []

    async def resolve(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = receiver.host.rpartition(":")[2]
    sender = HttpNoticeSender(resolve)

    answer = await sender.send(f"http://ci.invalid:{port}/x", {"A": "b"}, b"{}")

    assert (answer.status, answer.error) == (204, None)
    assert asked == ["ci.invalid"]
    assert receiver.received[0].headers["host"] == f"ci.invalid:{port}"


async def test_what_does_not_answer_is_given_up_in_time(receiver: Receiver) -> None:
    """A host that hangs, one that is not there, one that is unknown, one that speaks no HTTP."""

    async def hang(*_: object) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async def fail(*_: object) -> Sequence[str]:
        raise OSError

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        writer.close()

    receiver.go_on.clear()
    mute = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    local = HttpNoticeSender(lambda *_: resolve_to("127.0.0.1"), seconds=0.1)

    answers = [
        await local.send(receiver.url, {}, b""),
        await local.send("http://127.0.0.1:1/", {}, b""),
        await local.send(f"http://127.0.0.1:{port}/", {}, b""),
        await HttpNoticeSender(hang, seconds=0.1).send("http://x.example/", {}, b""),
        await HttpNoticeSender(fail, seconds=0.1).send("http://x.example/", {}, b""),
        await local.send("nonsense", {}, b""),
    ]
    mute.close()

    assert [answer.error for answer in answers] == [
        "no answer came within 0.1 seconds",
        "the host cannot be reached",
        "the connection broke off, or spoke no HTTP",
        "no answer came within 0.1 seconds",
        "the host x.example is not known",
        "this is no URL of a host",
    ]


async def test_a_removed_user_is_told_nothing_more(told: House, receiver: Receiver) -> None:
    """What was still to be told is given up with the secret."""
    await make_secret(told)
    await told.jobs.accounts.add("alice", scope="write", password="correct horse")
    job = await told.submit_running(notify=receiver.url)

    await told.jobs.remove_user("alice")
    told.gate.open()
    await told.until(job["job_id"], JobStatus.CANCELLED)
    tries = await until_tries(told.jobs, await told.jobs.get(job["job_id"]), 1)

    assert receiver.received == []
    assert [one.error for one in tries] == ["the user has no secret to sign it with"]
