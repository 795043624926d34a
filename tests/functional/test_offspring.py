"""Children: made once for each key, joined without a slot, cancelled with their parent."""

import asyncio
from pathlib import Path
from typing import Any, assert_type

import attrs
import pytest

from cidx_jobs import (
    Fatal,
    Job,
    JobContext,
    JobFailedError,
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    ValidationError,
    job_type,
)
from cidx_jobs.testing import Gate, MemoryPersistence, open_for_tests
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, open_house, quick


async def fan_out(context: JobContext) -> dict[str, Any]:
    """Make as many children as the options say, and join them."""
    count = context.options["count"]
    children = [
        await context.submit("leaf", "p", key=str(number), options={"number": number})
        for number in range(count)
    ]
    done = await context.join(*(child.job_id for child in children))
    return {"statuses": [str(child.status) for child in done]}


async def until_suspended(jobs: JobSystem, job_id: str) -> Job:
    """Wait until the job waits for its children."""
    async with asyncio.timeout(WAIT_SECONDS):
        job = await jobs.get(job_id)
        while job.status is not JobStatus.CREATED:
            job = await jobs.wait(job_id, until="change", since=job.version)
    return job


async def leaf(context: JobContext) -> dict[str, Any]:
    """Return the own number, or fail for odd ones where that is asked."""
    if context.options.get("number") == 13:
        message = "an unlucky number"
        raise Fatal(message)
    return {"number": context.options["number"]}


TYPES = [JobType("fan_out", fan_out), JobType("leaf", leaf)]


async def test_a_parent_joins_its_children() -> None:
    """In the order in which they are named; the wait for them costs no attempt."""
    async with open_for_tests(TYPES) as jobs:
        parent = await jobs.submit("u", "p", job_type="fan_out", options={"count": 3})
        ended = await jobs.wait(parent.job_id, timeout=WAIT_SECONDS)
        children = await jobs.list(parent_id=parent.job_id, order="created_at")
        counts = jobs.manager.count_children(ended)

    assert ended.result == {"statuses": ["completed"] * 3}
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
    assert [child.result for child in children] == [{"number": n} for n in range(3)]
    assert counts is not None
    assert (counts.total, counts.done, counts.failed) == (3, 3, 0)


async def test_a_failed_child_is_among_those_that_are_joined() -> None:
    """It is returned as it is; what it means is the parent's to say."""
    async with open_for_tests(TYPES) as jobs:
        parent = await jobs.submit("u", "p", job_type="fan_out", options={"count": 14})
        ended = await jobs.wait(parent.job_id, timeout=WAIT_SECONDS)
        counts = jobs.manager.count_children(ended)

    assert ended.result is not None
    assert ended.result["statuses"] == ["completed"] * 13 + ["failed"]
    assert counts is not None
    assert (counts.done, counts.failed) == (14, 1)


async def test_a_suspended_parent_holds_no_slot() -> None:
    """With one slot in all, parents and children take turns, and all of them end."""
    async with open_for_tests(TYPES, max_running_total=1) as jobs:
        parents = [
            await jobs.submit("u", f"p{n}", job_type="fan_out", options={"count": 5})
            for n in range(10)
        ]
        ended = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in parents]
        made = await jobs.list(job_type="leaf", limit=100)

    assert {job.status for job in ended} == {JobStatus.COMPLETED}
    assert len(made) == 50


async def test_while_it_waits_it_says_for_what() -> None:
    """It is created, blocked by its children, and cannot be released."""
    gate = Gate()

    async def parent(context: JobContext) -> object:
        child = await context.submit("gated", "p", key="only")
        (done,) = await context.join(child.job_id)
        return done.result

    async with open_for_tests([gate.job_type, JobType("parent", parent)]) as jobs:
        job = await jobs.submit("u", "p", job_type="parent")
        await gate.arrived()
        waiting = await until_suspended(jobs, job.job_id)
        place = jobs.manager.queue_status(waiting)
        with pytest.raises(Exception, match="waiting for its children"):
            await jobs.release(job.job_id)
        holders = list(jobs.concurrency.holders())
        gate.open()
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert place is not None
    assert (waiting.status, place.blocked_by) == (JobStatus.CREATED, ("children",))
    assert len(holders) == 1
    assert ended.result == {"attempt": 1, "checkpoint": None}


async def test_a_cancel_reaches_children_and_theirs() -> None:
    """Those that wait and those that run, of every generation."""
    gate = Gate()

    async def middle(context: JobContext) -> None:
        await context.submit("gated", "p", key="runs")
        await context.submit("gated", "p", key="waits", hold=True)
        await context.join()

    async def top(context: JobContext) -> None:
        await context.submit("middle", "p", key="middle")
        await context.join()

    types = [gate.job_type, JobType("middle", middle), JobType("top", top)]
    async with open_for_tests(types) as jobs:
        job = await jobs.submit("u", "p", job_type="top")
        await gate.arrived()
        for name in ("top", "middle"):
            (one,) = await jobs.list(job_type=name)
            await until_suspended(jobs, one.job_id)
        await jobs.cancel(job.job_id, "no longer needed")
        everybody = await jobs.list()
        ended = [await jobs.wait(one.job_id, timeout=WAIT_SECONDS) for one in everybody]

    assert len(ended) == 4
    assert {one.status for one in ended} == {JobStatus.CANCELLED}


async def test_a_key_makes_one_child_however_often_it_is_asked_for() -> None:
    """At the same time, one after the other, and in the next attempt."""

    async def parent(context: JobContext) -> dict[str, Any]:
        same = await asyncio.gather(*(context.submit("quick", "p", key="one") for _ in range(5)))
        again = await context.submit("quick", "p", key="one")
        if context.job.attempt == 1:
            message = "the first attempt fails"
            raise RuntimeError(message)
        return {"ids": sorted({job.job_id for job in [*same, again]})}

    types = [JobType("quick", quick), JobType("parent", parent)]
    async with open_for_tests(types, retry_base_seconds=0) as jobs:
        job = await jobs.submit("u", "p", job_type="parent")
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        made = await jobs.list(job_type="quick")

    assert ended.result == {"ids": [made[0].job_id]}
    assert len(made) == 1


async def test_the_number_and_depth_of_children_are_bounded() -> None:
    """One too many fails the run with what is wrong."""

    async def deep(context: JobContext) -> None:
        await context.submit("deep", "p", key="next")
        await context.join()

    types = [*TYPES, JobType("deep", deep)]
    async with open_for_tests(types, max_children=3) as jobs:
        many = await jobs.submit("u", "p", job_type="fan_out", options={"count": 4})
        down = await jobs.submit("u", "p", job_type="deep")
        too_many = await jobs.wait(many.job_id, timeout=WAIT_SECONDS)
        await jobs.wait(down.job_id, timeout=WAIT_SECONDS)
        generations = await jobs.list(job_type="deep", limit=100)
        failed = await jobs.list(job_type="deep", status="failed")

    assert too_many.error is not None
    assert (too_many.error.code, len(generations), len(failed)) == ("VAL-001", 33, 1)
    assert "max_children" in too_many.error.message


async def test_wrong_arguments_and_strangers_are_refused() -> None:
    """Each by the name of the argument."""
    faults: list[str] = []

    async def parent(context: JobContext) -> None:
        for call in (
            lambda: context.submit("quick", "p", key=""),
            lambda: context.submit("none", "p", key="a"),
            lambda: context.submit("quick", "a b", key="b"),
            lambda: context.join(context.job.job_id),
        ):
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - it is looked at
                faults.append(str(error).partition(":")[0])

    async with open_for_tests([JobType("quick", quick), JobType("parent", parent)]) as jobs:
        job = await jobs.submit("u", "p", job_type="parent")
        await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert faults == ["/key", "/job_type", "/project_id", "/job_ids"]


async def test_exclusive_parents_and_children_of_one_project_end() -> None:
    """A parent that waits has no place in the line of its project."""

    async def chain(context: JobContext) -> dict[str, Any]:
        left = context.options["left"]
        if left:
            await context.submit("chain", "p", key="next", options={"left": left - 1})
            await context.join()
        return {"left": left}

    async with open_for_tests([JobType("chain", chain, exclusive=True)]) as jobs:
        job = await jobs.submit("u", "p", job_type="chain", options={"left": 3})
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        everybody = await jobs.list()

    assert ended.result == {"left": 3}
    assert {one.status for one in everybody} == {JobStatus.COMPLETED}
    assert len(everybody) == 4


async def test_many_exclusive_children_of_one_project_run_one_after_the_other() -> None:
    """Each is a job of its own: none joins another, and those without a place wait for one."""
    gate = Gate("single", exclusive=True)

    async def parent(context: JobContext) -> dict[str, Any]:
        for number in range(5):
            await context.submit("single", "p", key=str(number))
        return {"done": [str(job.status) for job in await context.join()]}

    async with open_for_tests([gate.job_type, JobType("parent", parent)]) as jobs:
        job = await jobs.submit("u", "p", job_type="parent")
        await until_suspended(jobs, job.job_id)
        gate.open()
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.result == {"done": ["completed"] * 5}
    assert gate.most_running == 1


async def test_a_restart_loses_and_doubles_nothing() -> None:
    """A parent that waits at the stop goes on in the next life, from the same children."""
    store = MemoryPersistence()
    gate = Gate()

    async def parent(context: JobContext) -> dict[str, Any]:
        for key in ("a", "b"):
            await context.submit("gated", "p", key=key)
        done = await context.join()
        return {"done": [job.child_key for job in done]}

    types = [gate.job_type, JobType("parent", parent)]
    async with open_for_tests(types, persistence=store) as jobs:
        job = await jobs.submit("u", "p", job_type="parent")
        await gate.arrived(2)
        await until_suspended(jobs, job.job_id)
    gate.open()
    async with open_for_tests(types, persistence=store) as jobs:
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        made = await jobs.list(job_type="gated")

    assert ended.result == {"done": ["a", "b"]}
    assert len(made) == 2


@pytest.mark.slow
async def test_the_api_shows_parents_and_children(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """In documents, and as a filter of lists; the tag moves with the children."""
    async with open_house(aiohttp_client, tmp_path, TYPES) as house:
        parent = await house.submit(job_type="fan_out", options={"count": 2})
        await house.jobs.wait(parent["job_id"], timeout=WAIT_SECONDS)
        shown = await (await house.ask("GET", parent["links"]["self"])).json()
        listed = await (
            await house.ask("GET", f"/api/jobs?parent_id={parent['job_id']}&status=completed")
        ).json()
        wrong = await house.ask("GET", "/api/jobs?parent_id=5")

    assert shown["parent_id"] is None
    assert shown["children"] == {"total": 2, "done": 2, "failed": 0}
    assert [job["parent_id"] for job in listed["jobs"]] == [parent["job_id"]] * 2
    assert (listed["total"], listed["jobs"][0]["children"]) == (2, None)
    assert wrong.status == 400


async def test_children_are_kept_in_a_database(tmp_path: Path) -> None:
    """Also looked up after the memory has forgotten them."""
    settings = Settings(data_dir=tmp_path, shutdown_grace_seconds=0)
    async with JobSystem.open(settings, TYPES) as jobs:
        parent = await jobs.submit("u", "p", job_type="fan_out", options={"count": 3})
        await jobs.wait(parent.job_id, timeout=WAIT_SECONDS)
    async with JobSystem.open(settings, TYPES) as jobs:
        ended = await jobs.get(parent.job_id)
        counts = jobs.manager.count_children(ended)
        page = await jobs.list(parent_id=parent.job_id, order="created_at", limit=2, offset=1)
        findings = await jobs.examine(deep=True)

    assert counts is not None
    assert counts.total == 3
    assert [child.child_key for child in page] == ["1", "2"]
    assert findings == []


@attrs.frozen
class Half:
    """A half."""

    of: int


@job_type("halve", result=Half)
async def halve(context: JobContext) -> Half:
    """Halve a number."""
    return Half(context.options["number"] // 2)


async def test_a_map_returns_results_in_the_order_of_its_keys() -> None:
    """Typed where the type is given; each stage of a pipeline has keys of its own."""
    begun = []

    @job_type("stages")
    async def stages(context: JobContext) -> dict[str, Any]:
        begun.append(context.job.attempt)
        halves = await context.map(halve, {str(n): {"number": n} for n in (40, 8, 20)})
        assert_type(halves, list[Half])
        again = await context.map(halve, {"8": {"number": 8}})
        leaves = await context.map("leaf", {"8": {"number": 3}}, project_id="other")
        none = await context.map(halve, {})
        return {"halves": [one.of for one in (*halves, *again)], "leaves": leaves, "none": none}

    async with open_for_tests([*TYPES, halve, stages], max_running_total=1) as jobs:
        result = await jobs.run("u", "p", job_type=stages, priority=7)
        made = await jobs.list(job_type=halve, order="created_at")
        (other,) = await jobs.list(job_type="leaf")

    assert result == {"halves": [20, 4, 10, 4], "leaves": [{"number": 3}], "none": []}
    assert [child.options["number"] for child in made] == [40, 8, 20]
    assert {(child.project_id, child.priority) for child in made} == {("p", 7)}
    assert other.project_id == "other"
    # Once from the start, and once after each of the two joins that had to wait.
    assert begun == [1, 1, 1]


async def test_a_map_with_a_failed_child_ends_the_run_for_good() -> None:
    """Once all are done; after a retry of the child a retry of the parent comes through."""
    faults = ["out of paper"]

    @job_type("page")
    async def page(context: JobContext) -> None:
        if context.options["number"] == 3 and faults:
            raise Fatal(faults.pop())

    @job_type("book")
    async def book(context: JobContext) -> dict[str, Any]:
        return {"pages": len(await context.map(page, {str(n): {"number": n} for n in (2, 3, 4)}))}

    async with open_for_tests([page, book]) as jobs:
        with pytest.raises(JobFailedError) as failed:
            await jobs.run("u", "p", job_type=book)
        parent_id = failed.value.job.job_id
        children = await jobs.list(parent_id=parent_id, order="created_at")
        torn = next(child for child in children if child.status is JobStatus.FAILED)
        await jobs.retry(torn.job_id)
        await jobs.wait_result(torn.job_id, timeout=WAIT_SECONDS)
        await jobs.retry(parent_id)
        result = await jobs.wait_result(parent_id, timeout=WAIT_SECONDS)

    error = failed.value.job.error
    assert error is not None
    assert (error.code, error.retryable) == ("CHILD_JOB_FAILED", False)
    assert error.message == f"job {torn.job_id} failed: out of paper"
    assert failed.value.job.attempt == 1
    assert [str(child.status) for child in children] == ["completed", "failed", "completed"]
    assert result == {"pages": 3}


async def test_a_map_refuses_what_it_cannot_make() -> None:
    """Children that are no mapping, a key that is too long, options that do not fit."""
    faults = []

    @job_type("wrong")
    async def wrong(context: JobContext) -> None:
        asked: list[Any] = [["a"], {"k" * 255: {}}, {"a": 1}]
        for children in asked:
            try:
                await context.map("leaf", children)
            except ValidationError as error:
                faults.append(error.faults[0].pointer)

    async with open_for_tests([*TYPES, wrong]) as jobs:
        await jobs.run("u", "p", job_type=wrong)

    assert faults == ["/children", "/key", "/options"]
