"""The tracer that puts faults into system calls (strace), and what it says of them."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from pathlib import Path

import attrs

from torture.skipping import SkippedError

_PROC = Path("/proc")
_TRACER = re.compile(r"^TracerPid:\s*([1-9][0-9]*)$", re.MULTILINE)
_INJECTED = "(INJECTED)"


async def check_tracer() -> None:
    """See that a process can be traced here.

    Raises:
        SkippedError: this machine has no tracer that can do it.
    """
    if shutil.which("strace") is None:
        message = "there is no strace here"
        raise SkippedError(message)
    probe = ("strace", "-D", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null")
    inject = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1")
    process = await asyncio.create_subprocess_exec(
        *probe, *inject, "true", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        message = f"strace cannot trace here: {said.decode('utf-8', 'replace').strip()}"
        raise SkippedError(message)


@attrs.define
class Tap:
    """A pipe on which the tracer of one server tells of each call; made inside a running loop.

    The tracer counts the calls of each thread for itself. So that there is one fault and no
    second in another thread, the server is let go of at once after the first.
    """

    path: Path
    lines: list[str] = attrs.field(factory=list)
    faults: int = 0
    """How many calls failed."""
    _server_pid: int | None = None
    _rest: bytes = b""
    _descriptor: int | None = None

    def open(self) -> None:
        """Make the pipe, and begin to listen."""
        os.mkfifo(self.path, 0o600)
        # For writing as well: a pipe that nobody has begun to write to is at its end.
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def watch(self, server_pid: int) -> None:
        """Say whose tracer it is."""
        self._server_pid = server_pid
        self._let_go()

    def close(self) -> None:
        """Read what is left, and let go of the pipe; twice is fine."""
        descriptor = self._descriptor
        if descriptor is not None:
            self._read()
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
            self._descriptor = None

    def _read(self) -> None:
        assert self._descriptor is not None
        with contextlib.suppress(BlockingIOError):
            while content := os.read(self._descriptor, 65_536):
                *lines, self._rest = (self._rest + content).split(b"\n")
                texts = [line.decode("utf-8", "replace") for line in lines]
                self.lines += texts
                self.faults += sum(_INJECTED in text for text in texts)
        self._let_go()

    def _let_go(self) -> None:
        if not self.faults or self._server_pid is None:
            return
        with contextlib.suppress(OSError):
            status = (_PROC / str(self._server_pid) / "status").read_text("utf-8", "replace")
            if (found := _TRACER.search(status)) is not None:
                # What a tracer that is killed has traced goes on untraced.
                os.kill(int(found[1]), signal.SIGKILL)
