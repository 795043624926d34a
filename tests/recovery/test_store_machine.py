"""The database against the store in memory, call by call, over restarts and crashes."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Enqueue,
    Event,
    Fail,
    Hold,
    Interrupt,
    Retry,
    Start,
)
from cidx_jobs.model.job.job import CheckpointInfo, Job, JobStatus, Place
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.listing import Change, EventQuery, IdempotencyRecord, JobQuery
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import FakeClock
from tests.stored import AN_ERROR, KEY, NOON, UNKNOWN, new_job, submitted, taken

EXAMPLES = int(os.environ.get("STORE_EXAMPLES", "10"))
"""How many sequences are tried; more by this variable."""
FAR = NOON + timedelta(days=3_650)
EVERYTHING = 10**6
REFUSALS = ("stale_version", "stale_run", "idempotency_key_reused", "store_error")
EVENTS: dict[JobStatus, list[Event]] = {
    JobStatus.CREATED: [Enqueue(key=KEY, place=Place.HEAD), Hold()],
    JobStatus.QUEUED: [
        Start(epoch=3),
        Hold(reason="restored"),
        Cancel(error=AN_ERROR, reason="no"),
    ],
    JobStatus.RUNNING: [
        Complete(result={"files": 1}, elapsed_seconds=1.5),
        Fail(error=AN_ERROR, elapsed_seconds=0.0),
        Interrupt(elapsed_seconds=1.0, is_clean=False),
        Hold(),
    ],
    JobStatus.COMPLETED: [],
    JobStatus.FAILED: [Retry(key=KEY), Retry(key=KEY, from_start=True)],
    JobStatus.CANCELLED: [Retry(key=KEY, place=Place.HEAD)],
}


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both stores and compares what they answer and what they hold."""

    @initialize()
    def open(self) -> None:
        """Open both, empty."""
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.directory = DataDirectory(Path(self.folder.name) / "0")
        self.crashes = 0
        self.database = JobPersistence(self.directory, clock=FakeClock(NOON))
        self.memory = MemoryPersistence()
        self.known: list[Job] = []
        self.runner.run(self.both(methodcaller("open")))

    def teardown(self) -> None:
        """Close the database and throw it away."""
        if hasattr(self, "runner"):
            self.runner.run(self.database.close())
            self.runner.close()
            self.folder.cleanup()

    async def both(self, call: Callable[[Persistence], Awaitable[Any]]) -> tuple[Any, Any]:
        """Give both answers; an error of ours is one."""
        return await answer(call(self.database)), await answer(call(self.memory))

    def same(self, call: Callable[[Persistence], Awaitable[Any]]) -> Any:
        """Give the answer that both gave."""
        ours, expected = self.runner.run(self.both(call))
        assert ours == expected
        return ours

    def store(self, *changes: Change, **more: Any) -> None:
        """Store changes in both; keep the jobs if that is done."""
        if self.same(lambda store: store.jobs.save_changes(changes, **more)) not in REFUSALS:
            self.keep(*changes)

    def keep(self, *changes: Change) -> None:
        """Go on from what is stored now."""
        stored = {change.job.job_id: change.job for change in changes}
        self.known = [stored.pop(job.job_id, job) for job in self.known]
        self.known.extend(stored.values())

    # --- what is done ------------------------------------------------------------------------

    @rule(
        user=st.sampled_from(["alice", "bob"]),
        project=st.sampled_from(["a", "b"]),
        place=st.sampled_from([None, *Place]),
        key=st.sampled_from([None, "k1", "k2"]),
        options=st.sampled_from([{}, {"n": [1, "é"]}]),
    )
    def submit(
        self,
        user: str,
        project: str,
        place: Place | None,
        key: str | None,
        options: dict[str, Any],
    ) -> None:
        """Store a new job, perhaps with a key that is taken, or at a place that is."""
        change = submitted(
            new_job(user, project, place=place, labels={"n": project}, options=options)
        )
        record = key and IdempotencyRecord(
            user_id=UserId(user),
            key=key,
            fingerprint="f",
            job_id=change.job.job_id,
            created_at=NOON,
        )
        self.store(change, idempotency=record or None)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), tells_before=st.booleans())
    def advance(self, data: st.DataObject, tells_before: bool) -> None:
        """Take a job along one of its edges."""
        change = data.draw(st.sampled_from(self.steps()))
        self.store(change if tells_before else replace(change, before=None))

    @precondition(lambda self: len(self.known) > 1)
    @rule(data=st.data())
    def advance_together(self, data: st.DataObject) -> None:
        """Store several steps in one transaction, of which one may be refused."""
        steps = st.lists(st.sampled_from(self.steps()), min_size=2, max_size=4)
        self.store(*data.draw(steps))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def advance_from_the_past(self, data: st.DataObject) -> None:
        """Take a job along an edge from a version that it is no longer at."""
        change = data.draw(st.sampled_from(self.steps()))
        stale = replace(change, base_version=change.base_version + 5, before=None)
        self.store(stale)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), progress=st.integers(0, 99), run=st.sampled_from([0, 0, 1]))
    def report(self, data: st.DataObject, progress: int, run: int) -> None:
        """Store progress of a run, or of one that is over."""
        job = data.draw(st.sampled_from(self.running()))
        report = record_progress(job, NOON, progress=progress, message=f"{progress} files")
        report = replace(report, run=job.run - run)
        if not self.same(lambda store: store.jobs.save_progress([report])):
            self.keep(Change(job=report, base_version=job.version))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), content=st.lists(st.integers(), max_size=3), run=st.sampled_from([0, 1]))
    def checkpoint(self, data: st.DataObject, content: list[int], run: int) -> None:
        """Store a checkpoint of a run, or of one that is over."""
        job = data.draw(st.sampled_from(self.running()))
        info = CheckpointInfo(phase="reading", saved_at=NOON)
        saved = replace(record_progress(job, NOON, checkpoint=info), run=job.run - run)
        change = Change(job=saved, base_version=job.version, before=job)
        if self.same(lambda store: store.jobs.save_checkpoint(change, content)) not in REFUSALS:
            self.keep(change)

    @rule(statuses=st.frozensets(st.sampled_from(list(JobStatus))), limit=st.integers(1, 3))
    def expire(self, statuses: frozenset[JobStatus], limit: int) -> None:
        """Delete what has expired."""
        deleted = self.same(lambda store: store.jobs.delete_expired_jobs(FAR, statuses, limit))
        self.known = [job for job in self.known if job.job_id not in deleted]

    @rule(limit=st.integers(1, 3))
    def remove_payloads(self, limit: int) -> None:
        """Remove what finished jobs hold."""
        self.same(lambda store: store.jobs.remove_payloads(FAR, limit, now=NOON))
        page = self.same(lambda store: store.jobs.query_jobs(JobQuery(limit=EVERYTHING)))
        stored = {job.job_id: job for job in page.jobs}
        self.known = [stored[job.job_id] for job in self.known]

    @rule()
    def restart(self) -> None:
        """Stop and start both."""
        self.runner.run(self.both(methodcaller("close")))
        self.runner.run(self.both(methodcaller("open")))

    @rule()
    def crash(self) -> None:
        """Go on with what a kill would have left at this moment."""
        self.runner.run(self.go_on_with(self.copy_files()))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), turns=st.integers(0, 12))
    def crash_while_storing(self, data: st.DataObject, turns: int) -> None:
        """Crash in the middle of a write: it is in as a whole, or not at all."""
        change = data.draw(st.sampled_from(self.steps()))
        was_refused = self.runner.run(self.crash_in(change, turns))
        # In either way the machine goes on from the same: hypothesis needs what it did to repeat.
        if not was_refused:
            self.keep(change)

    @rule(leaves=st.sets(st.integers(0, 3)))
    def store_at_the_same_time(self, leaves: set[int]) -> None:
        """Many callers at once, some of which go away: each write is done or refused alone."""
        changes = [submitted(new_job(project_id=f"x{number}")) for number in range(4)]
        stale = replace(changes[0], base_version=7)
        self.runner.run(self.store_all([*changes, stale], leaves))
        self.keep(*changes)

    # --- how it is done ----------------------------------------------------------------------

    def steps(self) -> list[Change]:
        """Give every edge that a known job has, and one that none has."""
        found = [taken(job, event) for job in self.known for event in EVENTS[job.status]]
        never = submitted(new_job(job_id=UNKNOWN)).job
        return [*found, taken(never, Start(epoch=3))]

    def running(self) -> list[Job]:
        """Give the known jobs that run."""
        return [job for job in self.known if job.status is JobStatus.RUNNING]

    def copy_files(self) -> DataDirectory:
        """Copy what a kill would leave; the mark first, which may be behind but never ahead."""
        self.crashes += 1
        image = DataDirectory(Path(self.folder.name) / str(self.crashes))
        image.root.mkdir()
        for name in ("jobs.mark", "jobs.db", "jobs.db-wal"):
            shutil.copy(self.directory.root / name, image.root / name)
        return image

    async def go_on_with(self, image: DataDirectory) -> None:
        """Open the image in the place of the original."""
        await self.database.close()
        await self.memory.close()
        self.directory, self.database = image, JobPersistence(image, clock=FakeClock(NOON))
        await self.both(methodcaller("open"))

    async def crash_in(self, change: Change, turns: int) -> bool:
        """Crash some turns into a write, then finish it; tell whether it is refused."""
        writing = asyncio.create_task(answer(self.database.jobs.save_changes([change])))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_answered = writing.done()
        image = self.copy_files()
        outcome = await writing
        await self.go_on_with(image)
        is_in = await self.database.jobs.load_job(change.job.job_id) == change.job
        if outcome in REFUSALS:
            assert not is_in
        else:
            assert is_in or not was_answered
        if not is_in:
            assert await answer(self.database.jobs.save_changes([change])) == outcome
        assert await answer(self.memory.jobs.save_changes([change])) == outcome
        return outcome in REFUSALS

    async def store_all(self, changes: list[Change], leaves: set[int]) -> None:
        """Store at once; the callers in *leaves* go away; the last one is refused."""
        tasks = [
            asyncio.create_task(answer(self.database.jobs.save_changes([change])))
            for change in changes
        ]
        await asyncio.sleep(0)
        for number in leaves:
            tasks[number].cancel()
        await asyncio.wait(tasks)
        assert tasks[-1].result() in REFUSALS
        for change in changes:
            await answer(self.memory.jobs.save_changes([change]))

    # --- what holds at all times -------------------------------------------------------------

    @invariant()
    def they_hold_the_same(self) -> None:
        """Jobs, log, counts and checkpoints are equal, and a row is its last row of the log."""
        if not hasattr(self, "runner"):
            return
        page = self.same(lambda store: store.jobs.query_jobs(JobQuery(limit=EVERYTHING)))
        log = self.same(lambda store: store.jobs.query_events(EventQuery(limit=EVERYTHING)))
        self.same(lambda store: store.jobs.load_unfinished_jobs())
        self.same(lambda store: store.jobs.load_oldest_sequence())
        ours, expected = self.runner.run(self.both(lambda store: store.jobs.collect_stats()))
        assert (ours.by_status, ours.by_user) == (expected.by_status, expected.by_user)
        for status in JobStatus:
            query = JobQuery(user_id=UserId("alice"), statuses=frozenset({status}))
            self.same(methodcaller("query_jobs", query))
        for job in page.jobs:
            self.same(methodcaller("load_checkpoint", job.job_id))
        for user in (UserId("alice"), UserId("bob")):
            self.same(partial(count_bytes, user))
        last = {row.job_id: row.to_status for row in log}
        assert last == {job.job_id: job.status for job in page.jobs}


async def count_bytes(user: UserId, store: Persistence) -> int:
    """Return what a store counts for a user."""
    return await store.jobs.count_bytes(user)


async def answer(call: Awaitable[Any]) -> Any:
    """Give what a call gives, or the code of the error that it raises."""
    try:
        return await call
    except CidxJobsError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_database_is_the_store_in_memory_made_durable() -> None:
    """No sequence of calls, restarts and crashes tells the two apart."""
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
