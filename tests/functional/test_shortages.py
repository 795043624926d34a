"""Programs that cannot be started: for now, which is tried again, or at all."""

import asyncio
import errno
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.handlers.git.errors import recognise
from cidx_jobs.handlers.process.children import Bounds, Children
from cidx_jobs.handlers.process.shortage import is_shortage, tell_not_started
from cidx_jobs.model.error_codes import GUIDANCE
from cidx_jobs.model.errors import JobFailure
from tests.fakes import WAIT_SECONDS

SHORTAGES = [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY]


@pytest.fixture
def children() -> Children:
    """Give a starter of children."""
    return Children("uuid:7")


@pytest.mark.parametrize("number", SHORTAGES)
def test_a_shortage_is_tried_again_later(number: int) -> None:
    """It is of the category resource, retryable, and names the program."""
    failure = tell_not_started(OSError(number, os.strerror(number)), "/usr/bin/ctags", None)

    assert failure.failure_code == "RES-005"
    assert GUIDANCE["RES-005"].category == "resource"
    assert GUIDANCE["RES-005"].retryable
    assert failure.after is not None
    assert "ctags" in failure.message


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "not installed"),
        (errno.EACCES, "may not run it"),
        (errno.ENOEXEC, "no program"),
        (errno.EIO, "could not be started"),
    ],
)
def test_what_can_never_be_started_is_final(number: int, words: str) -> None:
    """It names the program and the reason, and no attempt is wasted on it."""
    error = OSError(number, os.strerror(number))
    failure = tell_not_started(error, "/usr/bin/ctags", None)

    assert not is_shortage(error)
    assert failure.failure_code == "CFG-001"
    assert not GUIDANCE["CFG-001"].retryable
    assert "ctags" in failure.message
    assert words in failure.message


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(file_bytes=1_000_000)])
async def test_a_program_that_may_not_be_run_is_named(
    children: Children, tmp_path: Path, bounds: Bounds
) -> None:
    """Also where a shell would start it."""
    program = tmp_path / "tool"
    program.write_text("echo", "utf-8")

    with pytest.raises(JobFailure, match="tool") as failed:
        await children.execute([str(program)], timeout=WAIT_SECONDS, bounds=bounds)

    assert failed.value.failure_code == "CFG-001"


@pytest.mark.slow
async def test_a_program_that_is_still_written_is_waited_for(
    children: Children, tmp_path: Path
) -> None:
    """A moment later it is there, and the run has noticed nothing."""
    program = tmp_path / "tool"
    program.write_bytes(Path("/bin/true").read_bytes())  # noqa: ASYNC240 - a test may block
    program.chmod(stat.S_IRWXU)
    written = program.open("ab")
    threading.Timer(0.3, written.close).start()

    result = await children.run([str(program)], timeout=WAIT_SECONDS)

    assert result.returncode == 0


@pytest.mark.slow
async def test_a_child_that_cannot_be_watched_is_ended(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the thread that waits for it cannot be started, the program does not go on alone."""
    started: list[subprocess.Popen[bytes]] = []

    async def start_unwatched(_: object, *argv: str, env: dict[str, str], **__: object) -> None:
        started.append(
            await asyncio.to_thread(subprocess.Popen, argv, env=env, start_new_session=True)
        )
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(asyncio.get_running_loop(), "subprocess_exec", start_unwatched)

    with pytest.raises(JobFailure) as failed:
        await children.run(["sleep", "60"], timeout=WAIT_SECONDS)

    assert failed.value.failure_code == "RES-005"
    assert [await asyncio.to_thread(child.wait, 5) for child in started] == [-signal.SIGTERM]


@pytest.mark.parametrize(
    "words",
    [
        "fatal: unable to create thread: Resource temporarily unavailable",
        "error: cannot fork() for index-pack: Resource temporarily unavailable",
        "fatal: cannot create async thread: Resource temporarily unavailable",
        "fatal: cannot open '.git/x': Too many open files",
        "sh: 1: exec: git: Text file busy",
    ],
)
def test_a_shortage_that_git_meets_is_one_too(words: str) -> None:
    """It is tried again, and is no fault of the repository."""
    failure: Any = recognise(words, "https://host.example/a.git")

    assert failure.failure_code == "RES-005"
