"""Listening sockets that whoever starts the server hands to it (systemd's socket activation).

They stay open between two servers: who connects meanwhile waits for the next one, and no request
is lost by a restart (sd_listen_fds(3)).
"""

import ipaddress
import os
import socket
from collections.abc import MutableMapping, Sequence

from cidx_jobs.model.errors import SettingsError

FIRST_DESCRIPTOR = 3
"""Where the sockets begin."""

_NAMES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def take_sockets(environ: MutableMapping[str, str]) -> Sequence[socket.socket]:
    """Return the sockets that were handed to this process; none where there are none.

    The variables that tell of them go, and no child process inherits a socket.

    Raises:
        SettingsError: what was handed over is no listening socket.
    """
    count, owner = environ.get("LISTEN_FDS", "0"), environ.get("LISTEN_PID")
    if owner is not None and owner != str(os.getpid()):
        return ()  # they are another's, who left its variables to its children
    for name in _NAMES:
        environ.pop(name, None)
    if not (count.isascii() and count.isdigit()):
        message = f"LISTEN_FDS: {count!r} is no number of sockets"
        raise SettingsError(message)
    return tuple(_take(FIRST_DESCRIPTOR + number) for number in range(int(count)))


def is_local(listener: socket.socket) -> bool:
    """Return whether only this machine can connect to the socket."""
    if listener.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _take(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        message = f"LISTEN_FDS: descriptor {descriptor} is no socket: {error.strerror}"
        raise SettingsError(message) from error
    if listener.type != socket.SOCK_STREAM or not is_listening:
        listener.detach()
        message = f"LISTEN_FDS: descriptor {descriptor} does not listen for connections"
        raise SettingsError(message)
    listener.set_inheritable(False)
    return listener
