"""What the engine does all the time: that it ends, and that a fault of it is heard of."""

import asyncio
from typing import Any, ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.state.hooks import Hooks
from tests.fakes import WAIT_SECONDS
from tests.stored import submitted


class Broken(Background):
    """A part that fails at its first step."""

    task_name: ClassVar[str] = "broken"

    async def _go_on(self) -> None:
        message = "planted"
        raise ValueError(message)


async def test_a_part_that_fails_is_heard_of_at_once() -> None:
    """While it is held nobody would find its task: it would be silent, and not do its work."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _, told_of: told.put_nowait(told_of))
    part = Broken()

    await part.start()
    async with asyncio.timeout(WAIT_SECONDS):
        report = await told.get()
    await part.stop()

    assert str(report["exception"]) == "planted"
    assert report["task"].get_name() == "broken"
    assert told.empty()


async def test_a_stop_ends_the_waiting_for_hooks_that_never_end() -> None:
    """Whoever waits until the hooks have heard of all goes on when there is no more to hear."""
    hooks, hangs = Hooks(), asyncio.Event()
    change = submitted()

    async def hang(*_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    hooks.add_hook(hang)
    await hooks.start()
    hooks.tell(change.job, change.transitions)
    waiting = asyncio.create_task(hooks.settle())
    async with asyncio.timeout(WAIT_SECONDS):
        await hangs.wait()
        await hooks.stop(seconds=0.01)
        await waiting
