"""Service manager (systemd's sd_notify): told that the server is ready, alive and stopping.

The protocol is a datagram to the socket that the environment names (sd_notify(3)). Without one
nobody is told. The variables are taken out of the environment, so that no child speaks for the
server.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from typing import Self

import msgspec

from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.shielded import end_tasks

_MICROSECONDS = 1_000_000

_log = get_logger("server")


class ServiceManager(msgspec.Struct, frozen=True):
    """Who started the server and wants to know how it is; None of each where nobody does."""

    address: str | None = None
    watchdog_seconds: float | None = None
    """It is told at least so often that the server is alive, or it starts another."""

    @classmethod
    def take_over(cls, environ: MutableMapping[str, str]) -> Self:
        """Return the manager that the environment names, and take its variables out of it."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        # The watch may be over another process, one that started this.
        is_watched = microseconds.isdecimal() and pid in {"", str(os.getpid())}
        seconds = int(microseconds) / _MICROSECONDS if is_watched else 0.0
        return cls(address or None, seconds or None)

    def tell(self, *states: str) -> None:
        """Send the states, as ``READY=1``; a manager that cannot be told changes nothing."""
        if self.address is None:
            return
        address = self.address
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                # A manager whose socket is full is not waited for.
                to.settimeout(0)
                to.sendto("\n".join(states).encode(), address)
        except (OSError, ValueError) as error:
            _log.warning("manager_not_told", states=states, error=type(error).__name__)

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Tell it inside the block that the loop turns, twice in each time of its watchdog."""
        if self.address is None or self.watchdog_seconds is None:
            yield
            return
        beat = asyncio.create_task(self._beat(self.watchdog_seconds / 2), name="watchdog")
        try:
            yield
        finally:
            await end_tasks([beat])

    async def _beat(self, seconds: float) -> None:
        while True:
            # It waits for nothing but the time: a slow disk is no reason for another server.
            self.tell("WATCHDOG=1")
            await asyncio.sleep(seconds)
