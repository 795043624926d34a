"""The program that looks a host name up, in a process of its own that can be ended.

``python -I -S name_lookup.py HOST PORT`` prints the addresses, a line each, and exits with 1 where
there are none. The system's resolver blocks for as long as a name server likes, and its thread
cannot be taken back.
"""

import socket
import sys

MAX_ADDRESSES = 32
"""The first so many are told, and only what is told is ever connected to."""


def main(host: str, port: str) -> int:
    """Print the addresses of *host*; return the exit code."""
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return 1
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    sys.stdout.writelines(f"{address}\n" for address in list(addresses)[:MAX_ADDRESSES])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
