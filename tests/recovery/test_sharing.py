"""Several processes on one directory: one owns it, and when it is killed another goes on."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import (
    CidxJobsError,
    JobContext,
    JobNotFoundError,
    JobStatus,
    JobSystem,
    JobType,
    NotOwnedError,
    ProjectBusyError,
    Schedule,
    ScheduleExistsError,
    ScheduleNotFoundError,
    Settings,
    StartRefusedError,
    ValidationError,
)
from cidx_jobs.interfaces.door import Command
from cidx_jobs.testing import Gate

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 20.0
TAKEOVER_SECONDS = 2.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Member:
    """A process of its own on the directory."""

    def __init__(self, data_dir: Path, count: int, name: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "tests.recovery.shared_member"]
        self.process = subprocess.Popen(
            [*command, str(data_dir), str(count), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        """Give the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def read_until(self, last: str) -> list[str]:
        """Give what it says until it says this."""
        lines = [self.read()]
        while lines[-1] != last:
            assert lines[-1], lines
            lines.append(self.read())
        return lines

    def close(self) -> None:
        """Let go of it, once it was killed."""
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def end(self) -> None:
        """Let it leave."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(WAIT_SECONDS) == 0


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Any]:
    """Give what starts processes; all of them are gone after the test."""
    with ExitStack() as stack:

        def start(count: int, name: str) -> Member:
            member = Member(tmp_path / "data", count, name)
            stack.callback(member.close)
            stack.callback(member.process.kill)
            return member

        yield start


def shared(data_dir: Path, *job_types: JobType) -> JobSystem:
    """Give a system that shares the directory; it is not open."""
    settings = Settings(data_dir=data_dir, shutdown_grace_seconds=0, repository_sync=False)
    return JobSystem(settings, job_types, shared=True)


def test_four_processes_work_on_one_directory_over_the_death_of_their_owners(
    members: Any, tmp_path: Path
) -> None:
    """Owners are killed one after the other; every job ends, and what was acknowledged ran."""
    first = members(0, "first")
    assert first.read() == "open owner"
    others = [members(10, f"m{number}") for number in range(3)]
    assert {one.read() for one in others} == {"open member"}
    others[0].read()

    first.process.kill()
    lines = [one.read_until("done") for one in others]
    for one in others:
        one.end()

    acknowledged = [line.split()[1] for told in lines for line in told if "submitted" in line]
    completed = [line.split()[1] for told in lines for line in told if "completed" in line]
    runs = [line.split()[0] for line in (tmp_path / "runs").read_text("utf-8").splitlines()]
    assert len(completed) == 30
    assert set(acknowledged) <= set(completed) <= set(runs)
    assert len(set(completed)) == 30


async def test_a_kill_of_the_owner_is_made_good_within_two_seconds(
    members: Any, tmp_path: Path
) -> None:
    """Who waits goes on waiting, in a process that takes over."""
    first = members(0, "first")
    assert await asyncio.to_thread(first.read) == "open owner"
    gate = Gate()
    async with shared(tmp_path / "data", gate.job_type) as jobs:
        assert not jobs.is_open
        job = await jobs.submit("u", "p", job_type="note", options={}, hold=True)
        waiting = asyncio.create_task(
            jobs.wait(job.job_id, "change", since=job.version, timeout=WAIT_SECONDS)
        )
        before = time.monotonic()
        first.process.kill()
        changed = await jobs.revise(job.job_id, priority=8)
        took = time.monotonic() - before
        woken = await waiting

        assert jobs.is_open
    assert took < TAKEOVER_SECONDS
    assert (changed.priority, woken.version) == (8, changed.version)


async def test_a_member_has_every_call(tmp_path: Path) -> None:
    """And every error, with its class and its data."""
    gate = Gate()

    async def quick(context: JobContext) -> dict[str, Any]:
        return {"seen": context.options}

    types = [JobType("quick", quick), Gate("single", exclusive=True).job_type, gate.job_type]
    async with shared(tmp_path, *types) as owner, shared(tmp_path, *types) as member:
        assert (owner.is_open, member.is_open) == (True, False)
        job = await member.submit("u", "p", job_type="quick", options={"a": 1}, labels={"x": "y"})
        ended = await member.wait(job.job_id, timeout=WAIT_SECONDS)
        rows = [row.event async for row in member.events(job.job_id)]
        held = await member.submit("u", "q", job_type="quick", hold=True)
        revised = await member.revise(held.job_id, priority=9, labels={"k": "v"})
        released = await member.release(held.job_id)
        await member.wait(held.job_id, timeout=WAIT_SECONDS)
        running = await member.submit("u", "r", job_type="gated")
        await gate.arrived()
        await member.cancel(running.job_id, "enough")
        cancelled = await member.wait(running.job_id, timeout=WAIT_SECONDS)
        retried = await member.retry(running.job_id)
        limits = await member.limits(max_running_total=7)
        paused = await member.pause(user_id="v")
        resumed = await member.resume(user_id="v")
        listed = await member.list(label="x:y", status="completed")
        in_thread = await asyncio.to_thread(member.from_thread.get, job.job_id)
        with pytest.raises(TimeoutError):
            await member.wait(retried.job_id, timeout=0.05)
        with pytest.raises(JobNotFoundError):
            await member.get("019a0000-0000-7000-8000-000000000000")
        with pytest.raises(ValidationError) as wrong:
            await member.submit("u", "p", job_type="quick", priority=99)
        single = await member.submit("u", "p", job_type="single", hold=False)
        with pytest.raises(ProjectBusyError) as busy:
            await member.submit("u", "p", job_type="single", on_conflict="reject")
        gate.open()

        assert ended.result == {"seen": {"a": 1}}
        assert rows[0] == "submit"
        assert rows[-1] == "complete"
        assert (revised.priority, released.job_id) == (9, held.job_id)
        assert (cancelled.status, cancelled.cancel_reason) == (JobStatus.CANCELLED, "enough")
        assert limits.max_running_total == (await owner.limits()).max_running_total == 7
        assert (paused.users, resumed.users) == (frozenset({"v"}), frozenset())
        assert [one.job_id for one in listed] == [in_thread.job_id] == [job.job_id]
        assert wrong.value.faults[0].pointer == "/priority"
        assert busy.value.members["active_job_id"] == single.job_id


async def test_a_member_keeps_schedules(tmp_path: Path) -> None:
    """It adds, reads, changes, runs and removes them at the owner, from other threads too."""

    async def quick(_: JobContext) -> None:
        return None

    kind = JobType("quick", quick)
    async with shared(tmp_path, kind), shared(tmp_path, kind) as member:
        nightly = Schedule("nightly", "u", "p", job_type="quick", cron="0 3 * * *", enabled=False)
        added = await member.schedules.add(nightly)
        with pytest.raises(ScheduleExistsError):
            await member.schedules.add(nightly)
        changed = await asyncio.to_thread(
            member.from_thread.schedules.change, "u", "nightly", priority=7
        )
        job = await member.schedules.run("u", "nightly")
        ended = await member.wait(job.job_id, timeout=WAIT_SECONDS)
        listed = await member.schedules.list("u")
        in_thread = await asyncio.to_thread(member.from_thread.schedules.list)
        with pytest.raises(ValidationError) as wrong:
            await member.schedules.change("u", "nightly", color="red")
        await member.schedules.remove("u", "nightly")
        with pytest.raises(ScheduleNotFoundError):
            await member.schedules.get("u", "nightly")

    assert (added.cron, added.next_at, changed.priority) == ("0 3 * * *", (), 7)
    assert (ended.status, ended.schedule) == (JobStatus.COMPLETED, "nightly")
    assert [one.last_job_id for one in (*listed, *in_thread)] == [job.job_id] * 2
    assert wrong.value.faults[0].pointer == "/color"


async def test_what_only_the_owner_has_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Accounts, backups and the parts of the engine are in the process that runs the jobs."""
    async with shared(tmp_path), shared(tmp_path) as member:
        for name in ("manager", "concurrency", "accounts", "admin_log", "backups", "push_hooks"):
            with pytest.raises(RuntimeError, match="another process owns the data directory"):
                getattr(member, name)


async def test_who_attaches_only_asks(tmp_path: Path) -> None:
    """It fails where nobody owns the directory, and never becomes its owner."""

    async def quick(_: JobContext) -> None:
        return None

    with pytest.raises(NotOwnedError):
        async with JobSystem.attach(tmp_path / "data"):
            pass
    async with shared(tmp_path / "data", JobType("quick", quick)):
        async with JobSystem.attach(str(tmp_path / "data")) as there:
            job = await there.submit("u", "p", job_type="quick")
            ended = await there.wait(job.job_id, timeout=WAIT_SECONDS)
            schedules = await there.schedules.list()
            with pytest.raises(RuntimeError, match="from_thread"):
                await asyncio.to_thread(asyncio.run, there.get(job.job_id))
        with pytest.raises(RuntimeError, match="nothing is attached"):
            await there.get(job.job_id)
        socket = tmp_path / "data" / "server.sock"

        assert ended.status is JobStatus.COMPLETED
        assert not schedules
        assert socket.stat().st_mode & 0o777 == 0o600


class Unheard(Command[bool], frozen=True):
    """What another version of the package may ask."""


async def test_an_owner_says_that_it_does_not_know_what_is_asked(tmp_path: Path) -> None:
    """Whoever asks is told so at once, and does not ask again."""
    async with shared(tmp_path), JobSystem.attach(tmp_path) as there:
        with pytest.raises(CidxJobsError, match="does not know what is asked"):
            await there._door.ask(Unheard())


async def test_the_last_owner_leaves_the_directory_free(tmp_path: Path) -> None:
    """Its member takes over when it leaves, and after both another may open it alone."""
    first, second = shared(tmp_path), shared(tmp_path)
    await first.start()
    await second.start()
    epoch = first.identity.epoch
    await first.close()
    async with asyncio.timeout(TAKEOVER_SECONDS):
        while not second.is_open:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
    assert second.identity.epoch == epoch + 1
    await second.close()

    async with JobSystem.open(Settings(data_dir=tmp_path)) as alone:
        assert alone.is_open


async def test_an_owner_that_does_not_share_is_no_partner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is refused, as that of any second one."""
    monkeypatch.setattr("cidx_jobs.web.sharing.membership.JOIN_SECONDS", 0.1)
    async with JobSystem.open(Settings(data_dir=tmp_path)):
        with pytest.raises(StartRefusedError):
            await shared(tmp_path).start()
