"""Work that is waited for to its end, whoever is cancelled meanwhile."""

import asyncio

import pytest

from cidx_jobs.runtime.shielded import finish


async def test_the_caller_gets_what_the_work_returns() -> None:
    """Nothing is changed where nobody is cancelled."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await finish(work()) == 7


async def test_a_caller_that_is_cancelled_twice_waits_to_the_end() -> None:
    """Each cancellation hurries the work, and is raised only once it has ended."""
    may_end = asyncio.Event()
    hurried: list[int] = []

    async def work() -> str:
        await may_end.wait()
        return "done"

    ending = asyncio.create_task(work())
    caller = asyncio.create_task(finish(ending, on_cancel=lambda: hurried.append(1)))
    await asyncio.sleep(0)
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
    waited = not caller.done() and not ending.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert waited
    assert (ending.result(), hurried) == ("done", [1, 1])


async def test_an_error_of_the_work_is_the_cause_of_a_cancellation() -> None:
    """Where both happen the cancellation is raised, and nothing is lost."""

    async def work() -> None:
        await asyncio.sleep(0)
        message = "boom"
        raise ValueError(message)

    caller = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    caller.cancel()

    with pytest.raises(asyncio.CancelledError) as caught:
        await caller
    assert isinstance(caught.value.__cause__, ValueError)
