"""The event loop of a command: its signals, and a client for as long as the command works."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import click

from cidx_jobs.cli.signals import RaisingKeyboardInterrupt
from cidx_jobs.cli.target import Target
from cidx_jobs.client import JobsClient

T = TypeVar("T")

RETRIES = 2
"""Enough for a hiccup; somebody waits, and can try again."""


class TerminatedError(Exception):
    """SIGTERM came; what was open is closed."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in a loop of its own, and return its result.

    Raises:
        KeyboardInterrupt: Ctrl-C came; the work was cancelled and has cleaned up.
        TerminatedError: the same for SIGTERM.
    """
    if not gc.isenabled():
        # `main` put it off. What is loaded by now stays: it need not be looked through again.
        gc.freeze()
        gc.enable()
    with RaisingKeyboardInterrupt():
        return asyncio.run(_until_terminated(work))


def ask(target: Target, work: Callable[[JobsClient], Awaitable[T]]) -> T:
    """Run *work* with a client of the target's server, and return its result.

    Raises:
        click.UsageError: the server's address is none.
        JobsClientError: the server refuses, or cannot be reached.
        KeyboardInterrupt: Ctrl-C came; the work was cancelled and has cleaned up.
        TerminatedError: the same for SIGTERM.
    """
    try:
        client = JobsClient(target.server, target.token, retries=RETRIES)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return run_async(_with_client(client, work))


async def _with_client(client: JobsClient, work: Callable[[JobsClient], Awaitable[T]]) -> T:
    async with client:
        return await work(client)


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            raise TerminatedError from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
