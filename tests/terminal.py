"""A command in a real terminal (pty), to be looked at, typed at, resized and interrupted."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self

WAIT_SECONDS = 20.0
"""How long a test waits for what should be seen at once."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs one command with stdin, stdout and stderr in a terminal of its own."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], *, columns: int, rows: int = 24
    ) -> None:
        """Start the command."""
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            # `login_tty` begins a session that the terminal controls, and makes it all three.
            command,
            env=env,
            pass_fds=(slave,),
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509 - system calls, no locks
        )
        os.close(slave)
        self.output = ""

    def __enter__(self) -> Self:
        """Be closed at the end of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def resize(self, columns: int, rows: int = 24) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def read_until(self, pattern: str) -> str:
        """Read on until the output that is new since the last call holds *pattern*; give it."""
        begin = len(self.output)
        until = time.monotonic() + WAIT_SECONDS
        while not re.search(pattern, self.output[begin:]):
            if time.monotonic() > until or not self._read(until):
                message = f"{pattern!r} was not seen in {self.output!r}"
                raise AssertionError(message)
        return self.output[begin:]

    def finish(self) -> int:
        """Read to the end and give the exit code."""
        until = time.monotonic() + WAIT_SECONDS
        while self._read(until):
            pass
        return self.process.wait(WAIT_SECONDS)

    def close(self) -> None:
        """End the command if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as somebody does who closes its window."""
        master, self._master = self._master, -1
        if master >= 0:
            os.close(master)

    def drawn(self) -> list[str]:
        """Give every line that was drawn or written, without what moves the cursor."""
        return [_CONTROL.sub("", line) for line in re.split(r"[\r\n]+", self.output)]

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65_536)
        except OSError:
            return False  # the other side is closed
        self.output += piece.decode("utf-8", "replace")
        return bool(piece)
