"""Code that is not ours may raise anything: it becomes a value, and no loop ends by it."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import uvloop

from cidx_jobs import JobType
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.runtime.foreign_code import await_foreign
from cidx_jobs.runtime.loops import run_to_its_end, taking_signals
from tests.fakes import WAIT_SECONDS


class PanicError(BaseException):
    """What an extension written in Rust raises: no `Exception`."""


MakeLoop = Callable[[], asyncio.AbstractEventLoop]

of_each_loop = pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
EVERYTHING = (
    ValueError("v"),
    PanicError("p"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    BaseExceptionGroup("g", [SystemExit(3)]),
)


@pytest.mark.parametrize("error", EVERYTHING, ids=repr)
async def test_whatever_is_raised_becomes_a_value(error: BaseException) -> None:
    """From a function as from a coroutine, with its traceback."""

    def fail() -> None:
        raise error

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise error

    for raised in (call_foreign(fail), await await_foreign(fail_later)):
        assert isinstance(raised, Raised)
        assert raised.error is error
        assert raised.exc_info[2] is not None


async def test_a_cancellation_of_the_caller_is_raised() -> None:
    """It is meant for the task, and not an answer of the code that it calls."""
    task = asyncio.create_task(await_foreign(asyncio.sleep, 100))
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


def test_a_task_that_is_torn_down_with_its_loop_is_quiet() -> None:
    """Its coroutine is closed from outside: to swallow that would be an error of its own."""
    call = await_foreign(asyncio.sleep, 100)
    loop = asyncio.new_event_loop()
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))

    call.close()

    task.cancel()
    with pytest.raises((RuntimeError, asyncio.CancelledError)):
        loop.run_until_complete(task)
    loop.close()


@of_each_loop
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_exit_beside_the_main_task_ends_no_loop(
    error: BaseException, make_loop: MakeLoop
) -> None:
    """The main task goes on to its end; what was asked for is told to the loop's log."""
    told: list[object] = []

    async def leave() -> None:
        raise error

    async def work() -> str:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, of: told.append(of["exception"])
        )
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        return "done" if task.exception() is error else "lost"

    with asyncio.Runner(loop_factory=make_loop) as runner:
        result = run_to_its_end(runner.get_loop(), work())

    assert result == "done"
    assert told == [error]


@of_each_loop
def test_a_stop_of_the_loop_ends_no_server(make_loop: MakeLoop) -> None:
    """The main task goes on, and the loop's log has a line."""
    told: list[object] = []

    async def work() -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, of: told.append(of["message"]))
        loop.stop()
        await asyncio.sleep(0.001)
        return "done"

    with asyncio.Runner(loop_factory=make_loop) as runner:
        result = run_to_its_end(runner.get_loop(), work())

    assert result == "done"
    assert told == ["a task beside the server's own stopped the loop"]


@of_each_loop
def test_signals_that_others_took_are_taken_back(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was done with them: else nobody could stop the server any more."""
    monkeypatch.setattr("cidx_jobs.runtime.loops.AGAIN_SECONDS", 0.001)
    before = signal.getsignal(signal.SIGTERM)

    def ignore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def forget() -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    async def work() -> int:
        told, logged = asyncio.Semaphore(0), asyncio.Semaphore(0)
        monkeypatch.setattr(
            "cidx_jobs.runtime.loops._log",
            SimpleNamespace(warning=lambda _: logged.release()),
        )
        with taking_signals(told.release):
            for take in (ignore, forget, lambda: signal.set_wakeup_fd(-1)):
                take()
                async with asyncio.timeout(WAIT_SECONDS):
                    await logged.acquire()
                    os.kill(os.getpid(), signal.SIGTERM)
                    await told.acquire()
        return 3

    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert run_to_its_end(runner.get_loop(), work()) == 3
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_exit_of_the_main_task_is_its_end() -> None:
    """What the server itself asks for is obeyed."""

    async def leave() -> None:
        raise SystemExit(4)

    with asyncio.Runner() as runner, pytest.raises(SystemExit):
        run_to_its_end(runner.get_loop(), leave())


@pytest.mark.parametrize(
    "wrong",
    [5, "fast", RetryPolicy, object(), lambda _: 1.0],
    ids=["number", "text", "class", "object", "function"],
)
def test_a_wrong_retry_policy_is_refused_when_the_type_is_made(wrong: object) -> None:
    """Not at the first failure of a run, far from whoever wrote it."""
    with pytest.raises(TypeError, match="RetryPolicy"):
        JobType("x", asyncio.sleep, retry=wrong)  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "1", True])
def test_a_policy_of_wrong_seconds_is_refused_when_it_is_made(wrong: object) -> None:
    """There is no such time to wait."""
    with pytest.raises((TypeError, ValueError), match="base_seconds"):
        RetryPolicy(base_seconds=wrong)  # type: ignore[arg-type] # on purpose
