"""A process of several on one data directory: it submits, waits and follows until it is told.

``python -m torture.member NAME NOTES`` opens the directory that its environment names, shared with
others, and writes down what it was answered, and when, so that it can be killed at any moment. It
finishes what it has begun, and leaves, once its input ends.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs

from cidx_jobs import Job, JobSystem, Settings
from cidx_jobs.model.errors import AlreadyFinishedError, CidxJobsError
from cidx_jobs.web.server import load_job_types
from torture.ledger import append_note, read_notes
from torture.server import LIFE_VARIABLE

USER = "local"
USERS = 2
"""At work in each process, one thing after the other each."""
WAIT_SECONDS = 60.0

_MOST_STEPS = 6
_CANCELLED = 0.15
_KEYED = 0.5
_PAUSE_SECONDS = 0.2
_LOOK_SECONDS = 0.01


@attrs.define
class Member:
    """The users of one process, and what they write down."""

    name: str
    notes: Path
    random: Random
    is_over: bool = False
    _count: int = 0

    def note(self, what: str, **more: Any) -> None:
        """Write a line down, in one go."""
        line = {"what": what, "member": self.name, "time": time.monotonic(), **more}
        append_note(self.notes, line)

    async def settle(self, jobs: JobSystem) -> None:
        """Submit again, each under its key, what no process has written an answer to."""
        notes = read_notes(self.notes)
        answered = {note["key"] for note in notes if note["what"] == "submitted"}
        for note in notes:
            if note["what"] == "submit" and note["is_keyed"] and note["key"] not in answered:
                await self._submit(jobs, note["key"], note["project_id"], note["request"])

    async def be_user(self, jobs: JobSystem) -> None:
        """Submit a job, follow it to its end, and so on until it is over."""
        while not self.is_over:
            try:
                await self._live_one_job(jobs)
            except (CidxJobsError, TimeoutError) as error:
                self.note("failed", text=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self.random.random() * _PAUSE_SECONDS)

    async def tell_of_ownership(self, jobs: JobSystem) -> None:
        """Write down the moment in which this process owns the directory."""
        while not jobs.is_open:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(_LOOK_SECONDS)
        self.note("owner", life=os.environ[LIFE_VARIABLE], epoch=jobs.identity.epoch)

    async def _live_one_job(self, jobs: JobSystem) -> None:
        self._count += 1
        key = f"{self.name}-{self._count}"
        request = {
            "job_type": "count",
            "options": {"steps": self.random.randint(1, _MOST_STEPS)},
            "labels": {"key": key},
        }
        is_keyed = self.random.random() < _KEYED
        project_id = f"p{self._count % 7}"
        self.note("submit", key=key, is_keyed=is_keyed, project_id=project_id, request=request)
        job = await self._submit(jobs, key, project_id, request, is_keyed=is_keyed)
        if self.random.random() < _CANCELLED:
            await self._cancel(jobs, job.job_id)
        if self.random.random() < 1 / 2:
            await self._follow(jobs, job.job_id)
        begun = time.monotonic()
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        self.note("waited", job_id=job.job_id, version=ended.version, begun=begun)
        if not ended.status.is_final:
            self.note("failed", text=f"a wait for the end of {job.job_id} gave {ended.status}")

    async def _submit(
        self,
        jobs: JobSystem,
        key: str,
        project_id: str,
        request: Mapping[str, Any],
        *,
        is_keyed: bool = True,
    ) -> Job:
        more: dict[str, Any] = {"idempotency_key": key} if is_keyed else {}
        job = await jobs.submit(USER, project_id, **request, **more)
        self.note("submitted", key=key, job_id=job.job_id, version=job.version)
        return job

    async def _cancel(self, jobs: JobSystem, job_id: str) -> None:
        job = await jobs.get(job_id)
        if not job.status.is_final:
            try:
                job = await jobs.cancel(job_id, "enough")
            except AlreadyFinishedError:
                return
            self.note("cancelled", job_id=job_id, is_waiting=job.status.is_final)

    async def _follow(self, jobs: JobSystem, job_id: str) -> None:
        begun = time.monotonic()
        seen = [[row.version, row.event] async for row in jobs.events(job_id)]
        self.note("followed", job_id=job_id, events=seen, begun=begun)


async def main() -> None:
    """Be a member until the input ends."""
    name, notes = sys.argv[1:]
    settings = Settings.load()
    types = load_job_types(settings.handlers)
    member = Member(name, Path(notes), Random(name))
    async with JobSystem.open(settings, types, shared=True) as jobs:
        member.note("opened", life=os.environ[LIFE_VARIABLE])
        telling = asyncio.create_task(member.tell_of_ownership(jobs))
        await member.settle(jobs)
        users = [asyncio.create_task(member.be_user(jobs)) for _ in range(USERS)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        member.is_over = True
        await asyncio.gather(*users)
        member.note("done")
        telling.cancel()


if __name__ == "__main__":
    asyncio.run(main())
