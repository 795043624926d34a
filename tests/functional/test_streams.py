"""Live streams of events: what comes, in which order, and how to go on (api.md 1.5)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from msgspec.structs import replace

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.web.keys import API
from cidx_jobs.web.routes.jobs import event_stream as streams
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, House, eventually, open_house, problem_of


@attrs.define
class Event:
    """One event as a browser would see it; a comment has no name."""

    name: str | None
    data: Any
    id: str | None


@attrs.define
class Reader:
    """Reads a stream."""

    answer: aiohttp.ClientResponse

    async def next(self) -> Event | None:
        """Give the next event, or None at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            lines: list[str] = []
            async for raw in self.answer.content:
                line = raw.decode().rstrip("\n")
                if not line and lines:
                    break
                if line:
                    lines.append(line)
        if not lines:
            return None
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        data = json.loads(fields["data"]) if "data" in fields else lines[0]
        return Event(name=fields.get("event"), data=data, id=fields.get("id"))

    async def rest(self) -> list[Event]:
        """Give all events to the end."""
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


@asynccontextmanager
async def stream(
    house: House, path: str, *, user: str = "alice", last_id: int | str | None = None
) -> AsyncIterator[Reader]:
    """Open a stream."""
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {house.tokens[user]}"}
    if last_id is not None:
        headers["Last-Event-ID"] = str(last_id)
    async with house.client.get(path, headers=headers) as answer:
        yield Reader(answer)


def names(events: list[Event]) -> list[str | None]:
    """Give the names of events."""
    return [event.name for event in events]


async def test_a_stream_tells_a_jobs_story_to_its_end(house: House) -> None:
    """Snapshot, transitions with their numbers, progress without, and the final job."""
    job = await house.submit_running()
    path = f"/api/jobs/{job['job_id']}/events"

    async with stream(house, path) as reader:
        snapshot = await reader.next()
        await house.gate.contexts[0].report(percent=10, message="moved")
        progress = await reader.next()
        house.gate.open()
        rest = await reader.rest()

    assert reader.answer.headers["Content-Type"] == "text/event-stream"
    assert reader.answer.headers["Cache-Control"] == "no-store"
    assert snapshot is not None
    assert (snapshot.name, snapshot.data["status"], snapshot.id) == ("snapshot", "running", None)
    assert progress is not None
    assert (progress.name, progress.data["progress"], progress.id) == ("progress", 10, None)
    transition, end = rest[-2:]
    assert (transition.name, transition.data["to"]) == ("transition", "completed")
    assert transition.id == str(transition.data["seq"])
    assert (end.name, end.data["status"], end.data["done"]) == ("end", "completed", True)


async def test_a_finished_job_is_a_snapshot_and_an_end(house: House) -> None:
    """Nothing more is to come."""
    job = await house.submit_ended()

    async with stream(house, f"/api/jobs/{job.job_id}/events") as reader:
        events = await reader.rest()

    assert names(events) == ["snapshot", "end"]


async def rows_of(house: House, job_id: str) -> list[dict[str, Any]]:
    """Give the job's rows of the log."""
    page = await (await house.ask("GET", f"/api/jobs/{job_id}/events")).json()
    rows: list[dict[str, Any]] = page["events"]
    return rows


async def test_who_comes_back_gets_what_they_missed(house: House) -> None:
    """From the row after the one they name, each once, then the end."""
    job = await house.submit_ended()
    rows = await rows_of(house, job.job_id)

    async with stream(house, f"/api/jobs/{job.job_id}/events", last_id=rows[0]["seq"]) as reader:
        events = await reader.rest()

    assert names(events) == ["snapshot", *["transition"] * (len(rows) - 1), "end"]
    assert [event.data for event in events[1:-1]] == rows[1:]


async def test_who_comes_back_to_a_running_job_misses_and_doubles_nothing(house: House) -> None:
    """What is replayed and what is live fit together."""
    job = await house.submit_running()
    rows = await rows_of(house, job["job_id"])
    path = f"/api/jobs/{job['job_id']}/events"

    async with stream(house, path, last_id=rows[0]["seq"]) as reader:
        first = await reader.next()
        house.gate.open()
        rest = await reader.rest()

    assert first is not None
    assert first.name == "snapshot"
    told = [event.data["seq"] for event in rest if event.name == "transition"]
    assert told == [row["seq"] for row in await rows_of(house, job["job_id"])][1:]
    assert rest[-1].name == "end"


@pytest.mark.parametrize("beyond", [0, 5])
async def test_who_has_all_of_a_finished_job_is_told_to_stop(house: House, beyond: int) -> None:
    """204, so that browsers do not come back for ever."""
    job = await house.submit_ended()
    rows = await rows_of(house, job.job_id)

    async with stream(
        house, f"/api/jobs/{job.job_id}/events", last_id=rows[-1]["seq"] + beyond
    ) as reader:
        assert reader.answer.status == 204


@pytest.mark.parametrize("last_id", ["", "x", "-1", "1.5", "\u0663", "9" * 30])
async def test_an_id_that_is_none_is_as_good_as_none(house: House, last_id: str) -> None:
    """The stream begins anew."""
    job = await house.submit_ended()

    async with stream(house, f"/api/jobs/{job.job_id}/events", last_id=last_id) as reader:
        events = await reader.rest()

    assert names(events) == ["snapshot", "end"]


async def test_a_log_that_no_longer_reaches_back_resets_the_reader(house: House) -> None:
    """`reset`, then a snapshot."""
    old = await house.submit_ended()
    last_id = (await rows_of(house, old.job_id))[0]["seq"]
    job = await house.submit_running()
    now = house.jobs.clock.now()
    await house.jobs.persistence.jobs.delete_expired_jobs(
        now, frozenset({JobStatus.COMPLETED}), 10
    )

    async with (
        stream(house, f"/api/jobs/{job['job_id']}/events", last_id=last_id) as reader,
        stream(house, "/api/events", last_id=last_id) as everything,
    ):
        events = [await reader.next(), await reader.next()]
        reset = await everything.next()

    assert names([event for event in events if event is not None]) == ["reset", "snapshot"]
    assert reset is not None
    assert (reset.name, reset.data["oldest_seq"] > last_id) == ("reset", True)


async def test_an_id_that_was_never_given_out_resets_the_reader(house: House) -> None:
    """As after a restore: else they would miss all that comes until that number."""
    job = await house.submit_running()
    path, newest = f"/api/jobs/{job['job_id']}/events", (await rows_of(house, job["job_id"]))[-1]

    async with (
        stream(house, path, last_id=newest["seq"]) as known,
        stream(house, path, last_id=newest["seq"] + 1) as own,
        stream(house, "/api/events", last_id=newest["seq"] + 1) as all_of_them,
    ):
        firsts = [await reader.next() for reader in (known, own, all_of_them)]
        house.gate.open()
        ended, told = await own.rest(), await all_of_them.next()

    assert [event.name for event in firsts if event] == ["snapshot", "reset", "reset"]
    assert names(ended) == ["snapshot", "transition", "end"]
    assert told is not None
    assert told.data["to"] == "completed"


async def test_the_stream_of_everything_tells_what_the_caller_may_see(house: House) -> None:
    """Each user their own jobs, an admin all; from now on, or from an id."""
    async with (
        stream(house, "/api/events") as own,
        stream(house, "/api/events", user="root") as all_of_them,
    ):
        opened = [await own.next(), await all_of_them.next()]
        bobs = await house.submit("bob", hold=True)
        mine = await house.submit(hold=True)
        seen = [await own.next()]
        everything = [await all_of_them.next(), await all_of_them.next()]

    assert [event.data for event in opened if event is not None] == [": open", ": open"]
    assert [event.data["job_id"] for event in seen if event is not None] == [mine["job_id"]]
    assert [event.data["job_id"] for event in everything if event is not None] == [
        bobs["job_id"],
        mine["job_id"],
    ]

    async with stream(house, "/api/events", user="root", last_id=1) as later:
        event = await later.next()
    assert event is not None
    assert event.data["job_id"] == mine["job_id"]


async def test_a_quiet_stream_pings(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that proxies and readers know that it lives."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.01)
    job = await house.submit(hold=True)

    async with stream(house, f"/api/jobs/{job['job_id']}/events") as reader:
        await reader.next()
        ping = await reader.next()

    assert ping is not None
    assert (ping.name, ping.data) == (None, ": ping")


async def test_a_reader_that_went_away_leaves_nothing_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place comes back at the next thing that is written."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.01)
    job = await house.submit(hold=True)
    places = house.client.app[API].waiters

    async with stream(house, f"/api/jobs/{job['job_id']}/events") as reader:
        await reader.next()
        assert places.count == 1

    await eventually(lambda: places.count == 0)


@pytest.mark.slow
async def test_a_reader_that_does_not_read_is_dropped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A06: within its time, while others are served; memory does not grow with it."""
    monkeypatch.setattr(streams, "STALL_SECONDS", 0.05)
    job = await house.submit_running()
    places = house.client.app[API].waiters
    text = "x" * 400

    async with stream(house, f"/api/jobs/{job['job_id']}/events") as reader:
        await reader.next()
        reader.answer.content._protocol.pause_reading()
        async with asyncio.timeout(WAIT_SECONDS * 4):
            while places.count:
                for _ in range(200):
                    notice = await house.jobs.get(job["job_id"])
                    house.jobs.manager._board.notifier.publish(
                        replace(notice, version=notice.version + 1, message=text), []
                    )
                answer = await house.ask("GET", "/api/jobs")
                assert answer.status == 200


async def test_a_revoked_token_ends_its_streams(house: House) -> None:
    """Nothing that happens after the revocation is told any more; others read on."""
    job = await house.submit(hold=True)
    made = await house.ask("POST", "/api/admin/tokens", user="root", json={"user_id": "alice"})
    house.tokens["other"] = (await made.json())["token"]
    path = f"/api/jobs/{job['job_id']}/events"

    async with stream(house, path, user="other") as revoked, stream(house, path) as kept:
        first = [await revoked.next(), await kept.next()]
        token_id = (await made.json())["token_id"]
        await house.ask("DELETE", f"/api/admin/tokens/{token_id}", user="root")
        await house.ask("DELETE", f"/api/jobs/{job['job_id']}")
        rest = [names(await reader.rest()) for reader in (revoked, kept)]

    assert names([event for event in first if event is not None]) == ["snapshot", "snapshot"]
    assert rest == [[], ["transition", "end"]]


async def test_a_stop_ends_the_streams(house: House) -> None:
    """Without an `end`: the job goes on, and the reader may come back by id."""
    job = await house.submit(hold=True)

    async with stream(house, f"/api/jobs/{job['job_id']}/events") as reader:
        await reader.next()
        await house.jobs.begin_stop()
        rest = await reader.rest()

    assert rest == []


async def test_there_are_only_so_many_streams(aiohttp_client: AioClient, tmp_path: Path) -> None:
    """429 with a time to come back; others have places of their own."""
    async with open_house(aiohttp_client, tmp_path, max_waiters_per_user=1) as house:
        async with stream(house, "/api/events") as first:
            await first.next()
            headers = {"Accept": "text/event-stream"}
            answer = await house.ask("GET", "/api/events", headers=headers)
            async with stream(house, "/api/events", user="bob") as other:
                assert other.answer.status == 200

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (429, "too_many_streams")
        assert int(answer.headers["Retry-After"]) > 0


async def test_the_head_of_a_stream_is_that_of_the_list(house: House) -> None:
    """HEAD never parks."""
    headers = {"Accept": "text/event-stream"}

    answer = await house.ask("HEAD", "/api/events", headers=headers)

    assert (answer.status, answer.content_type) == (200, "application/json")
