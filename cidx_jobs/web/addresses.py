"""Addresses to listen at: sockets, what is in their way, and how clients name them."""

import asyncio
import errno
import os
import socket
from pathlib import Path

from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import Settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - looked up


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
