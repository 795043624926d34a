"""Child processes: started, watched and ended here, and nowhere else.

Every child leads a session and process group of its own, gets a clean environment, and carries
two marks in it: ``CIDXJ_RUN`` names the server's start (the next start sweeps by it, guarantees.md
fact 12), ``CIDXJ_CHILD`` the one call, so that what left the group is still found and ended.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import msgspec

from cidx_jobs.handlers.process.calls import (
    ProcessDiedError,
    encode_call,
    make_command,
    read_answer,
)
from cidx_jobs.handlers.process.output import ChildOutput, OnLine
from cidx_jobs.handlers.process.shortage import is_shortage, tell_not_started
from cidx_jobs.handlers.process.tree import ProcessTree
from cidx_jobs.interfaces.run import CURRENT_RUN, ActiveRun, ChildResult
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.forks import withhold
from cidx_jobs.runtime.shielded import finish

T = TypeVar("T")

RUN_MARK = "CIDXJ_RUN"
CHILD_MARK = "CIDXJ_CHILD"
INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""The only variables of the server that a child sees."""
KILL_AFTER_SECONDS = 5.0
"""How long a tree of processes may take to end on TERM (guarantees.md, G6)."""
SHORTAGE_SECONDS = 1.0
"""How long a program is tried to be started that the system has no room for."""

_LAST_WORDS_SECONDS = 2.0
_PIPE_BYTES = 1024 * 1024
"""As much as Linux gives to who is not root, unless it is set up otherwise (pipe(7))."""
_ULIMIT_BLOCK = 512
"""Bytes of a block, in which `ulimit -f` counts (POSIX)."""
_KIBIBYTE = 1024
_MANY_RUNS = 1_000
_NOBODY = -1
_TRY_AGAIN_SECONDS = 0.1


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a child may use at most; None is no bound."""

    file_bytes: int | None = None
    """The largest file it may write."""
    memory_bytes: int | None = None
    """The most address space that it, and each process that it starts, may take."""


NO_BOUNDS = Bounds()


class Children:
    """Starts children and sees to their end."""

    def __init__(self, tag: str, *, kill_after: float = KILL_AFTER_SECONDS) -> None:
        """Mark all children with *tag*; what ignores TERM gets KILL after *kill_after* seconds."""
        self._tag = tag
        self._kill_after = kill_after
        self._active: dict[int, ActiveRun | None] = {}
        # Who ends well all the same never asks: the oldest fall away.
        self._signalled: deque[ActiveRun] = deque(maxlen=_MANY_RUNS)

    @property
    def active(self) -> frozenset[int]:
        """The process ids of the children that run now."""
        return frozenset(self._active)

    def find_by_run(self) -> Mapping[ActiveRun, Sequence[int]]:
        """Return the process ids of the children that run now, by the run that started them."""
        found: dict[ActiveRun, list[int]] = {}
        for pid, run in self._active.items():
            if run is not None:
                found.setdefault(run, []).append(pid)
        return found

    def take_signalled(self, run: ActiveRun) -> bool:
        """Return whether a signal that was not ours ended a child of the run, and forget it."""
        was_signalled = run in self._signalled
        while run in self._signalled:
            self._signalled.remove(run)
        return was_signalled

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - the contract's name; the child is killed at its end
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: OnLine | None = None,
    ) -> ChildResult:
        """Run a child to its good end (`JobContext.run`); *on_line* gets the lines of stdout.

        Raises:
            JobFailure: it could not be started (CFG-001, RES-005), ended with another code than 0
                (CHILD_FAILED), or took too long (TIMEOUT).
            TypeError: *argv* is no list of a program and its arguments.
        """
        if isinstance(argv, str | bytes) or not argv:
            message = f"a child is a list of a program and its arguments, not {argv!r}"
            raise TypeError(message)
        result = await self.execute(argv, timeout=timeout, cwd=cwd, env=env, on_line=on_line)
        if result.returncode != 0:
            message = f"{Path(argv[0]).name} ended with code {result.returncode}"
            raise JobFailure(message, code="CHILD_FAILED")
        return result

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a process (`JobContext.in_process`).

        Whoever is cancelled meanwhile kills the process.

        Raises:
            JobFailure: it could not be started (CFG-001), or died before it was done
                (CHILD_FAILED).
        """
        request = await in_own_thread(encode_call, function, arguments)
        async with self.stream(make_command(), env=os.environ) as child:
            try:
                talk = in_own_thread(call_foreign, child.ask, request)
                answer: T | Raised = await finish(talk, on_cancel=child.kill)
            finally:
                result = await child.wait()
        if not isinstance(answer, Raised):
            return answer
        if isinstance(answer.error, ProcessDiedError):
            message = f"the job's process ended with code {result.returncode} before it was done"
            raise JobFailure(message, code="CHILD_FAILED") from answer.error
        raise answer.error

    async def execute(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - as in `run`
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: OnLine | None = None,
        on_error_line: OnLine | None = None,
        bounds: Bounds = NO_BOUNDS,
    ) -> ChildResult:
        """Run a child to its end, whatever its code; its whole group is gone when this returns.

        Raises:
            JobFailure: it could not be started (CFG-001, RES-005) or took too long (TIMEOUT).
        """
        output = ChildOutput(on_line, on_error_line)
        async with self._started(argv, output, cwd=cwd, env=env, bounds=bounds):
            ended, _ = await asyncio.wait({output.exited}, timeout=timeout)
            if not ended:
                message = f"{Path(argv[0]).name} took longer than {timeout:g} seconds"
                raise JobFailure(message, code="TIMEOUT")
            output.raise_for_lines()
        # The last lines may come after the exit.
        output.raise_for_lines()
        return output.result()

    @contextlib.asynccontextmanager
    async def stream(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the child is killed at its end
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        bounds: Bounds = NO_BOUNDS,
    ) -> AsyncIterator["ChildStream"]:
        """Run a child whose stdin and stdout another thread uses, blocking, inside the block.

        The thread must have ended when the block does; then the child's whole tree is ended.
        A child that dies, or is killed after *timeout* seconds, is the end of file to the thread,
        never a hang.

        Raises:
            JobFailure: it could not be started (CFG-001, RES-005), or took too long (TIMEOUT).
        """
        output = ChildOutput(None, None)
        with _Pipes() as pipes:
            async with self._started(
                argv,
                output,
                cwd=cwd,
                env=env,
                bounds=bounds,
                stdin=pipes.child_input,
                stdout=pipes.child_output,
            ):
                pipes.close_child_ends()
                async with _killed_after(timeout, output, Path(argv[0]).name):
                    yield ChildStream(pipes, output)

    @contextlib.asynccontextmanager
    async def _started(
        self,
        argv: Sequence[str],
        output: ChildOutput,
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        bounds: Bounds = NO_BOUNDS,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.PIPE,
    ) -> AsyncIterator[None]:
        mark = secrets.token_hex(16)
        variables = {**_inherited(), **(env or {}), RUN_MARK: self._tag, CHILD_MARK: mark}
        options = {"stdin": stdin, "stdout": stdout, "cwd": cwd, "env": variables}
        try:
            transport = await _spawn(argv, bounds, output, options)
        except RuntimeError as error:
            # There was no thread to be had for watching it, but it may have been started.
            await finish(ProcessTree(_NOBODY, f"{CHILD_MARK}={mark}").end(self._kill_after))
            raise tell_not_started(error, argv[0], cwd) from error
        except (OSError, ValueError) as error:
            raise tell_not_started(error, argv[0], cwd) from error
        pid = transport.get_pid()
        tree = ProcessTree(pid, f"{CHILD_MARK}={mark}")
        self._active[pid] = CURRENT_RUN.get()
        try:
            yield
        finally:
            # Also by a cancel: a child must not outlive its caller. The end itself is bounded
            # (TERM, KILL).
            await finish(self._end(tree, output, transport))

    async def _end(
        self, tree: ProcessTree, output: ChildOutput, transport: asyncio.SubprocessTransport
    ) -> None:
        # After a good end only the group is looked for: the search for what left it reads
        # every process of the machine.
        await tree.end(self._kill_after, group_only=output.is_well)
        # What escaped everything may still hold the pipes: its words are not awaited for ever.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(output.closed.wait(), _LAST_WORDS_SECONDS)
        output.exited.cancel()
        transport.close()
        run = self._active.pop(tree.pid, None)
        if run is not None and _is_hit(output, tree):
            self._signalled.append(run)


def _is_hit(output: ChildOutput, tree: ProcessTree) -> bool:
    return output.tells_of_signal and not (tree.is_signalled or output.was_killed)


class ChildStream:
    """A running child, seen from the thread that feeds and reads it."""

    def __init__(self, pipes: "_Pipes", output: ChildOutput) -> None:
        """Take our ends of the pipes, and what is known of the child."""
        self.input: IO[bytes] = pipes.input
        """Unbuffered; blocks once the child has 64 KiB unread."""
        self.output: IO[bytes] = pipes.output
        """Buffered; at its end once the child has ended."""
        self._said = output

    def ask(self, call: bytes) -> Any:
        """Return what the child answers to a call (`cidx_jobs.handlers.process.calls`); blocks.

        Raises:
            ProcessDiedError: it ended before it was done.
            BaseException: what was called raised it.
        """
        # A child that does not read is dead, or about to be; its answer says so.
        with contextlib.suppress(OSError):
            rest = memoryview(call)
            while rest:
                rest = rest[self.input.write(rest) :]
        return read_answer(self.output)

    def kill(self) -> None:
        """Kill the child at once."""
        self._said.kill()

    async def wait(self) -> ChildResult:
        """Close the input and wait for the child's end; return its code and its stderr.

        Only after the output was read to its end, or the child may wait for a reader.
        """
        self.input.close()
        await self._said.exited
        return self._said.result()


class _Pipes:
    """Two pipes between a thread of ours and a child."""

    def __enter__(self) -> Self:
        self.child_input, to_child = os.pipe()
        from_child, self.child_output = os.pipe()
        self.input = os.fdopen(to_child, "wb", buffering=0)
        self.output = os.fdopen(from_child, "rb")
        self._child_ends = [self.child_input, self.child_output]
        # The end of file is only told once nobody has the other end any more.
        self._forget_forks = withhold(self._descriptors)
        if sys.platform == "linux":
            # A wide pipe lets the child work ahead while the thread writes to its database.
            with contextlib.suppress(OSError):
                fcntl.fcntl(from_child, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_forks()
        self.close_child_ends()
        with contextlib.suppress(OSError):
            self.input.close()
        self.output.close()

    def _descriptors(self) -> Iterator[int]:
        yield from self._child_ends
        yield from (file.fileno() for file in (self.input, self.output) if not file.closed)

    def close_child_ends(self) -> None:
        """Close what only the child may hold, so that its end is the end of file."""
        while self._child_ends:
            os.close(self._child_ends.pop())


async def _spawn(
    argv: Sequence[str], bounds: Bounds, output: ChildOutput, options: Mapping[str, Any]
) -> asyncio.SubprocessTransport:
    loop = asyncio.get_running_loop()
    until = loop.time() + SHORTAGE_SECONDS
    while True:
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: output,
                *await _bounded(argv, bounds, _inherited()["PATH"]),
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                **options,
            )
        except OSError as error:
            if not is_shortage(error) or loop.time() >= until:
                raise
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
            continue
        return transport


def _inherited() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # A relative directory would be looked for where the child runs, among foreign files.
    places = filter(os.path.isabs, os.get_exec_path())
    return {**inherited, "PATH": os.pathsep.join(places) or os.defpath}


async def _bounded(argv: Sequence[str], bounds: Bounds, places: str) -> Sequence[str]:
    # A shell sets the bounds and becomes the program: code of ours between fork and exec is not
    # safe in a process with threads, and from outside it would come too late. The child shall be
    # told of a bound by an error, and say so, not die without a word.
    steps = []
    if bounds.memory_bytes is not None:
        # Where the server itself may take less, that bound stays.
        steps.append(f"{{ ulimit -v {-(-bounds.memory_bytes // _KIBIBYTE)} 2>/dev/null || :; }}")
    if bounds.file_bytes is not None:
        steps.append(f"trap '' XFSZ && ulimit -f {-(-bounds.file_bytes // _ULIMIT_BLOCK)}")
    if not steps:
        return argv
    if await in_own_thread(shutil.which, argv[0], path=places) is None:
        # The shell would say so by a code that the program may have, too.
        raise FileNotFoundError(argv[0])
    return ["sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh", *argv]


@contextlib.asynccontextmanager
async def _killed_after(
    seconds: float | None, output: ChildOutput, name: str
) -> AsyncIterator[None]:
    """Kill a child at the end of its time, and say that this was why the block failed."""
    if seconds is None:
        yield
        return
    late = asyncio.get_running_loop().call_later(seconds, output.kill)
    try:
        yield
    except JobFailure as failure:
        if output.was_killed:
            message = f"{name} took longer than {seconds:g} seconds"
            raise JobFailure(message, code="TIMEOUT") from failure
        raise
    finally:
        late.cancel()
