"""Addresses to listen at: sockets, what is in their way, and how clients name them."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.forks import withhold
from cidx_jobs.settings import Settings

BACKLOG = 1_024
"""So many connections may wait until they are taken."""

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - looked up


class Listeners(msgspec.Struct, frozen=True):
    """Sockets that listen: who connects waits in them until somebody takes connections."""

    sockets: Sequence[socket.socket]
    url: str
    """The address under which a client on this machine reaches them."""


@contextlib.asynccontextmanager
async def listening_at(
    host: str, port: int, unix_socket: Path | None = None
) -> AsyncIterator[Listeners]:
    """Listen at host and port, or at a socket file; the file is gone at the end.

    No forked child has the sockets.

    Raises:
        OSError: it cannot listen there.
    """
    sockets: list[socket.socket] = []
    forget_forks = withhold(lambda: still_open(sockets))
    try:
        if unix_socket is None:
            await _bind_all(sockets, host, port)
            url = url_of_place(host, sockets[0].getsockname()[1], None)
        else:
            await make_room_for_socket(unix_socket)
            sockets.append(bind_socket(unix_socket))
            url = url_of_place(host, None, unix_socket)
        for listener in sockets:
            listener.listen(BACKLOG)
        yield Listeners(sockets, url)
    finally:
        for listener in sockets:
            listener.close()
        forget_forks()
        if unix_socket is not None and sockets:
            await in_own_thread(unix_socket.unlink, missing_ok=True)


async def _bind_all(sockets: list[socket.socket], host: str, port: int) -> None:
    found = await in_own_thread(
        lambda: socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    )
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = socket.socket(family, kind, protocol)
        sockets.append(listener)
        # Connections of a server that has ended do not keep its address from the next.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)


def lies_in_new_directory(settings: Settings) -> bool:
    """Tell whether the socket's file is to lie in the data directory, and that is not there."""
    path, directory = settings.unix_socket, settings.data_dir
    return (
        path is not None
        and path.absolute().parent == directory.absolute()
        and not directory.exists()
    )


def still_open(sockets: Sequence[socket.socket]) -> Iterator[int]:
    """Yield the descriptors of the sockets that are open; these are not asked for anything."""
    yield from (listener.fileno() for listener in sockets if listener.fileno() >= 0)


def refuse_address(settings: Settings, error: OSError) -> StartRefusedError:
    """Return the refusal of a start whose address cannot be taken."""
    place = url_of_settings(settings)
    names = "host, port" if settings.unix_socket is None else "unix_socket"
    # A path that is too long for a socket has no number; a name that is not found another's.
    number = errno.ENAMETOOLONG if settings.unix_socket and not error.errno else error.errno
    reason = os.strerror(number) if number and number > 0 else error.strerror or str(error)
    return StartRefusedError(f"{names}: cannot serve at {place}: {reason.lower()}")


def bind_socket(path: Path) -> socket.socket:
    """Return a socket at the path, whose file lets in its owner alone from the first moment on.

    A mode that is set afterwards would come too late: whoever has connected by then stays.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise OSError(error.errno or errno.ENAMETOOLONG, error.strerror, str(path)) from error
    finally:
        os.umask(before)
    return listener


async def is_left_behind(path: Path) -> bool:
    """Tell whether a socket is there that a killed server left; raise OSError where one listens.

    Left to itself asyncio would put the new socket in place of a living server's, too.
    """
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except FileNotFoundError:
        return False
    except ConnectionRefusedError:
        # Also said of a file that is no socket: it stays, and is in the way.
        return await in_own_thread(path.is_socket)
    writer.close()
    await writer.wait_closed()
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))


async def make_room_for_socket(path: Path) -> None:
    """Remove the socket that a killed server left; raise OSError where one listens."""
    if await is_left_behind(path):
        await in_own_thread(path.unlink, missing_ok=True)


def url_of_settings(settings: Settings) -> str:
    """Return where the settings say that a server listens."""
    return url_of_place(settings.host, settings.port, settings.unix_socket)


def url_of_place(host: str, port: int | None, unix_socket: Path | None) -> str:
    """Return the address under which a client on this machine reaches a server."""
    if unix_socket is not None:
        return f"unix:{unix_socket.absolute()}"
    return _web_url(host, port)


def url_of_socket(listener: socket.socket) -> str:
    """Return the address under which a client on this machine reaches a socket."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{address}"
    return _web_url(address[0], address[1])


def _web_url(host: str, port: int | None) -> str:
    name = _ANY_ADDRESS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
