"""Many jobs in one transaction: all of them, or none."""

from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import (
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    UnknownJobTypeError,
    UserQueueFullError,
    ValidationError,
)
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.limits import MAX_LABELS
from cidx_jobs.testing import Gate, open_for_tests
from tests.fakes import WAIT_SECONDS
from tests.functional.web import quick

QUICK = JobType("quick", quick)
DEFAULT_PRIORITY = Settings(data_dir="unused").default_priority


def wanted(count: int, **members: Any) -> list[dict[str, Any]]:
    """Give so many submits."""
    return [
        {"project_id": f"p{number}", "job_type": "quick", "options": {"n": number}} | members
        for number in range(count)
    ]


async def test_all_are_stored_and_run(tmp_path: Path) -> None:
    """In a database, in one commit; the answers are in the order of the requests."""
    async with JobSystem.open(Settings(data_dir=tmp_path), [QUICK]) as jobs:
        made = await jobs.submit_many("u", wanted(20))
        ended = [await jobs.wait(job.job_id, timeout=WAIT_SECONDS) for job in made]
        findings = await jobs.examine()

    assert [job.options["n"] for job in made] == list(range(20))
    assert [job.status for job in ended] == [JobStatus.COMPLETED] * 20
    assert findings == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"priority": 99}, "/1/priority"),
        ({"project_id": "a b"}, "/1/project_id"),
        ({"options": [1]}, "/1/options"),
        ({"idempotency_key": "k"}, "/1/idempotency_key"),
        ({"colour": "red"}, "/1/colour"),
    ],
    ids=str,
)
async def test_one_that_is_wrong_stores_none(wrong: dict[str, Any], pointer: str) -> None:
    """The fault's pointer begins with the number of the job."""
    async with open_for_tests([QUICK]) as jobs:
        requests = wanted(3)
        requests[1] |= wrong
        with pytest.raises(ValidationError) as refused:
            await jobs.submit_many("u", requests)
        stored = await jobs.list()

    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert stored == ()


async def test_an_unknown_type_and_a_full_queue_store_none() -> None:
    """Each with its own error."""
    async with open_for_tests([QUICK], max_queued_per_user=5) as jobs:
        with pytest.raises(UnknownJobTypeError):
            await jobs.submit_many("u", [*wanted(2), {"project_id": "p", "job_type": "none"}])
        with pytest.raises(UserQueueFullError):
            await jobs.submit_many("u", wanted(6, hold=True))
        stored = await jobs.list()
        fitting = await jobs.submit_many("u", wanted(5, hold=True))
        with pytest.raises(UserQueueFullError):
            await jobs.submit("u", "p", job_type="quick", hold=True)

    assert stored == ()
    assert len(fitting) == 5


async def test_those_for_one_line_become_one_job() -> None:
    """As they would one after the other: the newest options, the highest priority."""
    gate = Gate("single", exclusive=True)
    async with open_for_tests([gate.job_type, QUICK]) as jobs:
        running = await jobs.submit("u", "p", job_type="single")
        await gate.arrived()
        requests: list[dict[str, Any]] = [
            {"project_id": "p", "job_type": "single", "options": {"n": 1}, "priority": 7},
            {"project_id": "q", "job_type": "quick"},
            {"project_id": "p", "job_type": "single", "options": {"n": 2}},
        ]
        first, other, last = await jobs.submit_many("u", requests)
        gate.open()
        ended = await jobs.wait(last.job_id, timeout=WAIT_SECONDS)

    assert first.job_id == last.job_id
    assert len({running.job_id, first.job_id, other.job_id}) == 3
    assert (ended.options, ended.priority) == ({"n": 2}, 7)


async def test_those_for_one_line_lose_nothing_of_what_each_asks() -> None:
    """Each URL is told; a priority that is not named is the usual one, and not none."""
    gate = Gate("single", exclusive=True)
    async with open_for_tests([gate.job_type], webhook_allowed_hosts=("127.0.0.1:9",)) as jobs:
        await jobs.end_notices.make_secret(UserId("u"))
        requests: list[dict[str, Any]] = [
            {"project_id": "p", "job_type": "single", "notify": "http://127.0.0.1:9/a"},
            {"project_id": "p", "job_type": "single", "notify": "http://127.0.0.1:9/b"},
            {"project_id": "p", "job_type": "single", "priority": 0},
        ]
        first, second, third = await jobs.submit_many("u", requests)
        gate.open()

    assert first == second == third
    assert first.notify == ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    assert first.priority == DEFAULT_PRIORITY


async def test_those_for_one_line_have_the_labels_of_one_job_at_most() -> None:
    """The pointer begins with the number of the request that is one too many."""
    async with open_for_tests([Gate("single", exclusive=True).job_type]) as jobs:
        requests: list[dict[str, Any]] = [
            {"project_id": "p", "job_type": "single", "labels": {f"l{number}": "x"}}
            for number in range(MAX_LABELS + 1)
        ]
        with pytest.raises(ValidationError) as refused:
            await jobs.submit_many("u", requests)

    assert [fault.pointer for fault in refused.value.faults] == [f"/{MAX_LABELS}/labels"]


async def test_nothing_is_nothing_and_no_list_is_refused() -> None:
    """No transaction for no jobs."""
    wrong: list[Any] = ["quick", {"project_id": "p"}, 5, [5]]
    async with open_for_tests([QUICK]) as jobs:
        assert await jobs.submit_many("u", []) == ()
        for one in wrong:
            with pytest.raises(ValidationError):
                await jobs.submit_many("u", one)
