"""The calls of `JobSystem`: keys, filters, changes of what waits, and wrong arguments."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cidx_jobs import (
    IdempotencyKeyReusedError,
    JobContext,
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    SettingsError,
    UnknownJobTypeError,
    ValidationError,
    VersionMismatchError,
    create_app,
    setup,
)
from cidx_jobs.testing import MemoryPersistence, open_for_tests
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick

QUICK = JobType("quick", quick)


async def test_the_same_key_gives_the_one_job() -> None:
    """And the same key with another request is refused."""
    async with open_for_tests([QUICK]) as jobs:
        request: dict[str, Any] = {"job_type": "quick", "options": {"a": 1}}
        first = await jobs.submit("u", "p", **request, idempotency_key="once")
        again = await jobs.submit("u", "p", **request, idempotency_key="once")
        with pytest.raises(IdempotencyKeyReusedError):
            await jobs.submit("u", "q", **request, idempotency_key="once")

    assert first.job_id == again.job_id


async def test_a_list_takes_the_filters_of_the_api() -> None:
    """Each by itself, and an order with a page."""
    async with open_for_tests([QUICK, JobType("other", quick)]) as jobs:
        ended = await jobs.submit("u", "p", job_type="quick", labels={"origin": "ci"})
        await jobs.wait(ended.job_id, timeout=WAIT_SECONDS)
        held = await jobs.submit("u", "q", job_type="quick", hold=True)
        other = await jobs.submit("v", "p", job_type="other", hold=True)
        late = jobs.clock.now() + timedelta(seconds=1)
        found = {
            "status": await jobs.list(status="completed"),
            "statuses": await jobs.list(status=["completed", JobStatus.CREATED]),
            "job_type": await jobs.list(job_type="other"),
            "project": await jobs.list("u", project_id="q"),
            "label": await jobs.list(label="origin:ci"),
            "after": await jobs.list(created_after=late),
            "order": await jobs.list(order="created_at", limit=1, offset=1),
        }

    ids = {name: {job.job_id for job in those} for name, those in found.items()}
    assert ids == {
        "status": {ended.job_id},
        "statuses": {ended.job_id, held.job_id, other.job_id},
        "job_type": {other.job_id},
        "project": {held.job_id},
        "label": {ended.job_id},
        "after": set(),
        "order": {held.job_id},
    }


async def test_what_waits_is_changed_and_released() -> None:
    """Its priority and labels, from the version that was read; then it runs."""
    async with open_for_tests([QUICK]) as jobs:
        held = await jobs.submit("u", "p", job_type="quick", hold=True)
        changed = await jobs.revise(held.job_id, priority=7, labels={"a": "b"})
        with pytest.raises(VersionMismatchError):
            await jobs.revise(held.job_id, priority=1, if_version=held.version)
        await jobs.release(held.job_id)
        ended = await jobs.wait(held.job_id, timeout=WAIT_SECONDS)

    assert (changed.priority, changed.labels) == (7, {"a": "b"})
    assert ended.status is JobStatus.COMPLETED


async def test_a_wait_counts_from_the_version_that_was_read() -> None:
    """A change since then is told at once, and so is another status."""
    async with open_for_tests([QUICK]) as jobs:
        held = await jobs.submit("u", "p", job_type="quick", hold=True)
        revised = await jobs.revise(held.job_id, priority=7)
        changed = await jobs.wait(held.job_id, until="change", since=held.version, timeout=0)
        with pytest.raises(TimeoutError):
            await jobs.wait(held.job_id, until="status", since=held.version, timeout=0)
        await jobs.release(held.job_id)
        moved = await jobs.wait(held.job_id, until="status", since=held.version, timeout=0)

    assert changed.version == revised.version
    assert moved.status is not JobStatus.CREATED


async def test_a_wait_reads_a_log_of_several_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status at a late version is not taken for that of the log's first rows."""
    monkeypatch.setattr("cidx_jobs.engine.event_log._PAGE", 1)
    async with open_for_tests([QUICK]) as jobs:
        await jobs.pause(job_type="quick")
        held = await jobs.submit("u", "p", job_type="quick", hold=True)
        queued = await jobs.release(held.job_id)

        with pytest.raises(TimeoutError):
            await jobs.wait(held.job_id, until="status", since=queued.version, timeout=0)

    assert (held.status, queued.status) == (JobStatus.CREATED, JobStatus.QUEUED)


async def test_limits_and_pauses_are_changed_while_running() -> None:
    """The limits that are named change; what is paused does not start."""
    async with open_for_tests([QUICK]) as jobs:
        before = await jobs.limits()
        after = await jobs.limits(max_running_total=3)
        paused = await jobs.pause(job_type="quick")
        job = await jobs.submit("u", "p", job_type="quick")
        resumed = await jobs.resume(job_type="quick")
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert (before.max_running_total, after.max_running_total) == (50, 3)
    assert (paused.job_types, resumed.job_types) == (frozenset({"quick"}), frozenset())
    assert (job.status, ended.status) == (JobStatus.QUEUED, JobStatus.COMPLETED)


async def test_a_document_is_that_of_the_api() -> None:
    """JSON values only, with links below the prefix."""
    async with open_for_tests([QUICK]) as jobs:
        job = await jobs.submit("u", "p", job_type="quick", options={"a": 1})
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    document = ended.document(prefix="/v1")
    assert document["status"] == "completed"
    assert document["result"] == {"seen": {"a": 1}}
    assert document["links"]["self"] == f"/v1/jobs/{job.job_id}"
    assert isinstance(document["created_at"], str)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"priority": "high"}, "/priority"),
        ({"priority": True}, "/priority"),
        ({"priority": 17}, "/priority"),
        ({"on_conflict": "ignore"}, "/on_conflict"),
        ({"labels": {"a": 1}}, "/labels"),
        ({"labels": "a"}, "/labels"),
        ({"limits": {"a": "1"}}, "/limits"),
        ({"options": [1]}, "/options"),
        ({"options": {"a": {1, 2}.__class__}}, "/options"),
        ({"start_at": 5}, "/start_at"),
        ({"start_at": datetime(2026, 1, 1)}, "/start_at"),  # noqa: DTZ001 - that is what is wrong
        ({"hold": "yes"}, "/hold"),
        ({"timeout_seconds": "1"}, "/timeout_seconds"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"idempotency_key": ""}, "/idempotency_key"),
        ({"job_type": None}, "/job_type"),
        ({"user_id": 5}, "/user_id"),
        ({"project_id": "a b"}, "/project_id"),
    ],
    ids=str,
)
async def test_a_wrong_argument_of_a_submit_is_named(wrong: dict[str, Any], pointer: str) -> None:
    """Of whatever kind it is; nothing is stored."""
    arguments: dict[str, Any] = {"user_id": "u", "project_id": "p", "job_type": "quick"} | wrong
    async with open_for_tests([QUICK]) as jobs:
        with pytest.raises(ValidationError) as refused:
            await jobs.submit(**arguments)
        stored = await jobs.list()

    assert pointer in {fault.pointer for fault in refused.value.faults}
    assert stored == ()


@pytest.mark.parametrize(
    ("filters", "pointer"),
    [
        ({"status": "done"}, "/status"),
        ({"status": 5}, "/status"),
        ({"label": "a"}, "/label"),
        ({"label": 5}, "/label"),
        ({"limit": 0}, "/limit"),
        ({"limit": "5"}, "/limit"),
        ({"offset": -1}, "/offset"),
        ({"order": "name"}, "/order"),
        ({"created_after": "now"}, "/created_after"),
        ({"user_id": 5}, "/user_id"),
    ],
    ids=str,
)
async def test_a_wrong_filter_is_named(filters: dict[str, Any], pointer: str) -> None:
    """Of whatever kind it is."""
    async with open_for_tests() as jobs:
        with pytest.raises(ValidationError) as refused:
            await jobs.list(**filters)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize(
    ("call", "pointer"),
    [
        (lambda jobs: jobs.get(5), "/job_id"),
        (lambda jobs: jobs.cancel("a", 5), "/reason"),
        (lambda jobs: jobs.wait("a", until="never"), "/until"),
        (lambda jobs: jobs.wait("a", since="1"), "/since"),
        (lambda jobs: jobs.wait("a", timeout="1"), "/timeout"),
        (lambda jobs: jobs.revise("a", priority="1"), "/priority"),
        (lambda jobs: jobs.limits(max_jobs=1), "/max_jobs"),
        (lambda jobs: jobs.pause(user_id=5), "/user_id"),
    ],
)
async def test_a_wrong_argument_of_a_call_is_named(call: Any, pointer: str) -> None:
    """Before anything is looked up."""
    async with open_for_tests() as jobs:
        with pytest.raises(ValidationError) as refused:
            await call(jobs)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


async def test_a_system_is_started_and_closed_by_calls(tmp_path: Path) -> None:
    """As with `async with`; it is made before there is a loop."""
    jobs = await asyncio.to_thread(JobSystem, Settings(data_dir=tmp_path), [QUICK])

    assert await jobs.start() is jobs
    job = await jobs.submit("u", "p", job_type="quick")
    ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
    await jobs.close()

    assert ended.status is JobStatus.COMPLETED
    assert not jobs.is_open


async def test_other_threads_have_the_same_calls() -> None:
    """Also a list, a release and a change."""
    async with open_for_tests([QUICK]) as jobs:

        def work() -> list[Any]:
            there = jobs.from_thread
            held = there.submit("u", "p", job_type="quick", hold=True)
            revised = there.revise(held.job_id, priority=8)
            there.release(held.job_id)
            ended = there.wait(held.job_id, timeout=WAIT_SECONDS)
            return [revised.priority, ended.status, len(there.list("u", status="completed"))]

        told = await asyncio.to_thread(work)

    assert told == [8, JobStatus.COMPLETED, 1]


async def test_without_the_repository_sync_there_is_none() -> None:
    """Its submit is refused as that of any type that is not there."""
    async with open_for_tests([QUICK], repository_sync=False) as jobs:
        with pytest.raises(UnknownJobTypeError):
            await jobs.sync("u", "p", repository_url="https://example.org/a.git")

        assert list(jobs.job_types) == ["quick"]


async def test_a_sync_can_be_submitted_by_its_parts() -> None:
    """What is left out is that of the last one; a branch of None is the remote's default."""
    async with open_for_tests() as jobs:
        url = "https://example.org/a.git"
        held = await jobs.sync("u", "p", repository_url=url, branch="old", hold=True)
        default = await jobs.sync("u", "p", branch=None, full_reindex=True, hold=True)

    assert held.options["branch"] == "old"
    assert (default.options["repository_url"], default.options["branch"]) == (url, None)
    assert default.options["full_reindex"] is True


async def test_a_resource_that_nobody_names_is_an_error_at_the_opening() -> None:
    """Jobs of the type would wait for ever."""
    needy = JobType("needy", quick, resources=["gpu"])

    with pytest.raises(SettingsError, match=r"needy.*gpu"):
        async with open_for_tests([needy]):
            pass
    async with open_for_tests([needy], resources={"gpu": 1}) as jobs:
        assert jobs.is_open


async def test_a_server_with_other_types_goes_on_without_a_resource_of_one() -> None:
    """Of a module that `handlers` names the other types are served; jobs of this one wait."""
    types = [JobType("needy", quick, resources=["gpu"]), JobType("quick", quick)]
    async with open_for_tests(types, handlers="some.module:TYPES") as jobs:
        needy = await jobs.submit("alice", "p", job_type="needy")
        done = await jobs.submit("alice", "p", job_type="quick")

        ended = await jobs.wait(done.job_id, timeout=WAIT_SECONDS)
        place = jobs.manager.queue_status(await jobs.get(needy.job_id))

    assert place is not None
    assert place.blocked_by == ("resource:gpu",)
    assert ended.done


async def test_an_application_says_who_may_come_in(tmp_path: Path) -> None:
    """Without `authenticate` and without the setting it is refused, however it is mounted."""
    jobs = JobSystem(Settings(data_dir=tmp_path), persistence=MemoryPersistence())

    with pytest.raises(SettingsError, match="auth"):
        create_app(jobs)
    with pytest.raises(SettingsError, match="auth"):
        setup(web.Application(), jobs)


async def test_a_context_tells_the_time_of_its_job() -> None:
    """`context.job` is the job as it was when the run began, in UTC."""
    seen: list[datetime] = []

    async def look(context: JobContext) -> None:
        seen.append(context.job.created_at)

    async with open_for_tests([JobType("look", look)]) as jobs:
        job = await jobs.submit("u", "p", job_type="look")
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert [time.tzinfo for time in seen] == [UTC]
