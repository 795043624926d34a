"""Time-outs of runs: told once and in their order, paused, let go, with one timer for all."""

import asyncio

from cidx_jobs.engine.run.time_limit import TimeLimit, TimeLimits

SOON, LATER, NEVER = 0.01, 0.03, 3_600.0
WAIT_SECONDS = 5.0


def scheduled() -> int:
    """Count the timers of the running loop that are not cancelled."""
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() for timer in timers)


class Told:
    """Notes which limits were told that their time is up."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.limits = TimeLimits()
        self._events: dict[str, asyncio.Event] = {}

    def make(self, name: str, seconds: float) -> TimeLimit:
        """Return a limit that counts."""
        self._events[name] = asyncio.Event()
        limit = TimeLimit(self.limits, lambda: self._note(name))
        limit.start(seconds)
        return limit

    async def wait(self, name: str = "last") -> list[str]:
        """Return the names of all who were told once this one was."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._events[name].wait()
        return self.names

    def _note(self, name: str) -> None:
        self.names.append(name)
        self._events[name].set()


async def test_those_whose_time_is_up_are_told_in_order() -> None:
    """Whatever the order in which they began; who was let go is not told."""
    told = Told()
    told.make("never", NEVER)
    told.make("last", LATER)
    told.make("first", SOON)
    told.make("gone", SOON).cancel()

    names = await told.wait()

    assert names == ["first", "last"]


async def test_one_who_raises_keeps_no_other_from_being_told() -> None:
    """Neither who is due as well nor who is later; the loop is told of the fault."""
    told, faults = Told(), list[str]()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: faults.append(str(context["exception"]))
    )

    def fail() -> None:
        message = "no"
        raise ValueError(message)

    TimeLimit(told.limits, fail).start(SOON)
    told.make("beside", SOON)
    told.make("last", LATER)

    names = await told.wait()

    assert names == ["beside", "last"]
    assert faults == ["no"]


async def test_a_pause_counts_nothing() -> None:
    """A limit that waits is told as much later, and those beside it in their own time."""
    told = Told()
    paused = told.make("last", SOON)
    with paused.paused():
        told.make("beside", LATER)
        await told.wait("beside")

    names = await told.wait()

    assert names == ["beside", "last"]


async def test_a_thousand_limits_have_one_timer_and_leave_none() -> None:
    """The loop has one timer for all of them, which those to come share, and none at the end."""
    told, before = Told(), scheduled()
    limits = [told.make(f"n{number}", NEVER) for number in range(1_000)]
    beside = scheduled() - before

    for limit in limits:
        limit.cancel()
    told.make("another", NEVER).cancel()

    assert beside == scheduled() - before == 1
    told.limits.close()
    assert scheduled() == before


async def test_limits_that_were_let_go_are_not_kept() -> None:
    """A server that runs for years keeps no more of them than it has runs, or some hundred."""
    told = Told()
    told.make("one that counts", NEVER)

    for number in range(1_000):
        told.make(f"n{number}", NEVER).cancel()

    assert len(told.limits._limits) < 200
    told.make("last", SOON)
    assert await told.wait() == ["last"]
