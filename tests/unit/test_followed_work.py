"""Work that is followed: its value, its end, and what becomes of its failure."""

import asyncio
import gc
from typing import Any

import pytest

from cidx_jobs.handlers.repository_sync import report_while as following
from cidx_jobs.handlers.repository_sync.report_while import follow
from cidx_jobs.model.errors import JobFailure


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "REPORT_SECONDS", 0.001)


async def test_work_is_told_of_until_it_gives_its_value() -> None:
    """Again and again, and once more at its end at the most."""
    reports, enough = 0, asyncio.Event()

    async def work() -> str:
        await enough.wait()
        return "done"

    async def report() -> None:
        nonlocal reports
        reports += 1
        if reports == 3:
            enough.set()

    assert await follow(work(), report) == "done"
    assert reports in {3, 4}


async def test_a_report_that_fails_ends_the_work_and_is_what_is_raised() -> None:
    """What the work raises while it is torn down is nobody's, and no failure that was lost."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            message = "torn down"
            raise JobFailure(message) from None

    async def report() -> None:
        message = "planted"
        raise ValueError(message)

    with pytest.raises(ValueError, match="planted"):
        await follow(work(), report)
    gc.collect()

    assert told == []


async def test_a_cancel_waits_for_the_end_of_the_work() -> None:
    """The work uses what its caller closes: nothing is left at work, whatever it takes."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def report() -> None:
        pass

    following_it = asyncio.create_task(follow(work(), report))
    await begun.wait()
    following_it.cancel()
    await asyncio.wait([following_it])

    assert ended.is_set()
    assert following_it.cancelled()
