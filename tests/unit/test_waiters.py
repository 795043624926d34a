"""The places of requests that wait, and what a stop does to those who sit there."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from cidx_jobs.web.http.parked import Waiters


@pytest.fixture
def request_of_alice() -> web.Request:
    """Give a request that waits."""
    return make_mocked_request("GET", "/api/jobs/1?wait=20")


async def test_nobody_sits_down_any_more_once_it_stops() -> None:
    """Whoever came then would keep the application from its end."""
    waiters = Waiters(per_user=1, total=1)
    before = waiters.has_place("alice")

    waiters.stop()

    assert before
    assert not waiters.has_place("alice")


async def test_who_was_woken_goes_on_as_if_never_cancelled(request_of_alice: web.Request) -> None:
    """The task that a stop wakes still answers: nothing it awaits then is cut short."""
    waiters = Waiters(per_user=1, total=1)
    sits = asyncio.Event()

    async def wait() -> tuple[bool, int]:
        task = asyncio.current_task()
        assert task is not None
        with waiters.park(request_of_alice, "alice") as seat:
            sits.set()
            await asyncio.Event().wait()
        return seat.was_woken, task.cancelling()

    waiting = asyncio.create_task(wait())
    await sits.wait()
    taken = waiters.count, waiters.has_place("alice")
    waiters.stop()

    assert taken == (1, False)
    assert await waiting == (True, 0)
    assert waiters.count == 0
    await waiters.close()


async def test_who_is_cancelled_by_somebody_else_is(request_of_alice: web.Request) -> None:
    """Only a stop is a reason to go on; the place is given back all the same."""
    waiters = Waiters(per_user=1, total=1)
    sits = asyncio.Event()

    async def wait() -> None:
        with waiters.park(request_of_alice, "alice"):
            sits.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await sits.wait()
    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert waiters.count == 0
    await waiters.close()
