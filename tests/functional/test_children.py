"""Child processes and their trees, with real ones."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from cidx_jobs.handlers.process.children import Bounds, Children
from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.errors import JobFailure

KILL_AFTER = 0.3
WAIT_SECONDS = 5.0


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    """Give a starter of children that must leave none behind."""
    children = Children("uuid:7", kill_after=KILL_AFTER)
    yield children
    assert children.active == frozenset()


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def written_pid(file: Path) -> int:
    """Wait until a script has written the process id that it promised."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if text := await asyncio.to_thread(_read_if_there, file):
            return int(text)
        await asyncio.sleep(0.01)
    message = f"nobody wrote {file}"
    raise TimeoutError(message)


def _read_if_there(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


async def test_a_child_gives_its_words(children: Children) -> None:
    """Stdout and stderr are kept apart and decoded, whatever bytes they are."""
    result = await children.run(
        ["sh", "-c", r"echo out; printf 'err\377' >&2"], timeout=WAIT_SECONDS
    )

    assert result == ChildResult(
        returncode=0, stdout="out\n", stderr="err\N{REPLACEMENT CHARACTER}"
    )


@pytest.mark.parametrize("argv", ["echo out", b"echo", []], ids=["text", "bytes", "empty"])
async def test_a_child_is_a_list(children: Children, argv: Any) -> None:
    """A text is no list of letters, of which the first would be the program."""
    with pytest.raises(TypeError, match="a list"):
        await children.run(argv, timeout=WAIT_SECONDS)


async def test_only_the_last_words_are_kept(children: Children) -> None:
    """A child that talks a lot costs no memory: the last 64 KiB are kept."""
    result = await children.run(
        ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end"], timeout=WAIT_SECONDS
    )

    assert len(result.stdout) == 64 * 1024
    assert result.stdout.endswith("xend\n")


async def test_lines_are_given_as_they_come(children: Children) -> None:
    """Lines end at LF and at CR, as progress does; the last one needs no end."""
    lines: list[str] = []

    result = await children.run(
        ["sh", "-c", r"printf '1%%\r2%%\r\n\nlast'"], timeout=WAIT_SECONDS, on_line=lines.append
    )

    assert lines == ["1%", "2%", "last"]
    assert result.stdout == ""


async def test_a_long_line_is_cut(children: Children) -> None:
    """A line without an end does not fill the memory."""
    lines: list[str] = []

    await children.run(
        ["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"],
        timeout=WAIT_SECONDS,
        on_line=lines.append,
    )

    assert [len(line) for line in lines] == [8_192]


async def test_an_error_of_the_callback_ends_the_child(children: Children) -> None:
    """What a line's callback raises comes out, and the child is ended."""

    def refuse(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError, match="now"):
        await children.run(
            ["sh", "-c", "echo now; sleep 100"], timeout=WAIT_SECONDS, on_line=refuse
        )


async def test_the_environment_is_clean(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child sees what the allow-list names, the server's mark, and what it is given."""
    monkeypatch.setenv("SECRET_TOKEN", "hidden")

    result = await children.run(["env"], timeout=WAIT_SECONDS, env={"GIVEN": "1"})

    seen = dict(line.partition("=")[::2] for line in result.stdout.splitlines())
    assert seen["CIDXJ_RUN"] == "uuid:7"
    assert seen["GIVEN"] == "1"
    assert "SECRET_TOKEN" not in seen
    assert set(seen) <= {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"),
        *("CIDXJ_RUN", "CIDXJ_CHILD", "GIVEN", "PWD", "SHLVL", "_"),
    }


@pytest.mark.parametrize("path", [":{bin}:.:bin:", ""])
async def test_no_program_is_taken_from_where_a_child_runs(
    children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    """Of the server's path only whole directories count, neither ``.`` nor nothing."""
    stranger = tmp_path / "sh"
    stranger.write_text("#!/bin/sh\necho stranger\n")
    stranger.chmod(0o700)
    monkeypatch.setenv("PATH", path.format(bin="/usr/bin:/bin"))

    result = await children.run(
        ["sh", "-c", "sh -c 'echo server'"], timeout=WAIT_SECONDS, cwd=tmp_path
    )

    assert result.stdout == "server\n"


async def test_a_child_leads_its_own_session(children: Children) -> None:
    """A signal to the server's group, such as Ctrl-C, does not reach a child."""
    result = await children.run(
        ["sh", "-c", "echo $$; cut -d ' ' -f 5,6 /proc/$$/stat"], timeout=WAIT_SECONDS
    )

    pid, group, session = result.stdout.split()
    assert pid == group == session


async def test_a_bad_end_is_a_failure(children: Children) -> None:
    """Another code than 0 raises, with the program's name and the code."""
    with pytest.raises(JobFailure, match="sh ended with code 3") as failed:
        await children.run(["sh", "-c", "exit 3"], timeout=WAIT_SECONDS)

    assert failed.value.failure_code == "CHILD_FAILED"


@pytest.mark.parametrize("program", ["no-such-program", "/dev/null"])
async def test_a_program_that_is_not_there_is_a_failure(children: Children, program: str) -> None:
    """What cannot be started has a code of its own."""
    with pytest.raises(JobFailure) as failed:
        await children.run([program], timeout=WAIT_SECONDS)

    assert failed.value.failure_code == "CFG-001"


async def test_a_directory_that_is_not_there_is_a_failure(
    children: Children, tmp_path: Path
) -> None:
    """A child that cannot be started where it shall is a failure, not a crash."""
    with pytest.raises(JobFailure):
        await children.run(["true"], timeout=WAIT_SECONDS, cwd=tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo $$ >> PIDS; sleep 100", id="plain"),
        pytest.param("trap '' TERM; echo $$ >> PIDS; while :; do sleep 1; done", id="stubborn"),
        pytest.param("setsid sh -c 'echo $$ >> PIDS; sleep 100' & sleep 100", id="new-session"),
        pytest.param(
            "(setsid sh -c 'trap \"\" TERM; echo $$ >> PIDS; while :; do sleep 1; done' &);"
            " sleep 100",
            id="double-fork",
        ),
    ],
)
@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_the_whole_tree_is_ended(
    children: Children, tmp_path: Path, script: str, how: str
) -> None:
    """When the time is up or the caller is cancelled, nothing of the tree is left, soon."""
    pids = tmp_path / "PIDS"
    running = asyncio.create_task(
        children.run(
            ["sh", "-c", script],
            timeout=1.0 if how == "timeout" else WAIT_SECONDS,
            cwd=tmp_path,
        )
    )
    pid = await written_pid(pids)
    assert is_alive(pid)

    began = time.monotonic()
    if how == "cancel":
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        with pytest.raises(JobFailure) as failed:
            await running
        assert failed.value.failure_code == "TIMEOUT"

    assert time.monotonic() - began < 1.0 + KILL_AFTER + 1.0
    assert not is_alive(pid)


@pytest.mark.slow
async def test_cancelling_again_does_not_leave_the_tree(
    children: Children, tmp_path: Path
) -> None:
    """A second cancel while a stubborn child is ended changes nothing: the caller waits."""
    running = asyncio.create_task(
        children.run(
            ["sh", "-c", "trap '' TERM; echo $$ > PIDS; while :; do sleep 1; done"],
            timeout=WAIT_SECONDS,
            cwd=tmp_path,
        )
    )
    pid = await written_pid(tmp_path / "PIDS")

    running.cancel()
    await asyncio.sleep(KILL_AFTER / 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not is_alive(pid)


async def test_what_a_child_leaves_behind_ends_with_it(children: Children, tmp_path: Path) -> None:
    """A child that ends well may not leave a process of its group to go on."""
    result = await children.run(
        ["sh", "-c", "sleep 100 & echo $! > PIDS; echo done"], timeout=WAIT_SECONDS, cwd=tmp_path
    )

    assert result.stdout == "done\n"
    assert not is_alive(int((tmp_path / "PIDS").read_text()))


async def test_a_bound_on_files_holds(children: Children, tmp_path: Path) -> None:
    """A child cannot write a larger file than it may, and gets an error to tell of."""
    result = await children.execute(
        ["sh", "-c", "head -c 100000 /dev/zero > big"],
        timeout=WAIT_SECONDS,
        cwd=tmp_path,
        bounds=Bounds(file_bytes=4_096),
    )

    assert result.returncode != 0
    assert "File too large" in result.stderr
    assert (tmp_path / "big").stat().st_size == 4_096


def test_another_loop_has_the_same_children(tmp_path: Path) -> None:
    """On uvloop, too, a child is heard, fed, bounded and ended."""

    async def work() -> None:
        children = Children("uuid:7", kill_after=KILL_AFTER)
        lines: list[str] = []
        heard = await children.execute(
            ["sh", "-c", "echo one; echo two >&2; exit 3"],
            timeout=WAIT_SECONDS,
            on_line=lines.append,
        )
        assert (heard.returncode, lines, heard.stderr) == (3, ["one"], "two\n")
        async with children.stream(["cat"]) as cat:
            cat.input.write(b"three\n")
            cat.input.close()
            assert await asyncio.to_thread(cat.output.read) == b"three\n"
        bound = await children.execute(
            ["sh", "-c", "head -c 100000 /dev/zero > big"],
            timeout=WAIT_SECONDS,
            cwd=tmp_path,
            bounds=Bounds(file_bytes=4_096),
        )
        assert "File too large" in bound.stderr
        with pytest.raises(JobFailure) as caught:
            await children.execute(["sleep", "60"], timeout=0.1)
        assert caught.value.failure_code == "TIMEOUT"
        assert children.active == frozenset()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


async def test_a_thread_can_talk_with_a_child(children: Children) -> None:
    """A stream's two ends are used by another thread, and its end is the end of file."""

    def talk() -> list[bytes]:
        child.input.write(b"one\n")
        first = child.output.readline()
        child.input.close()
        return [first, child.output.read()]

    async with children.stream(["cat"]) as child:
        heard = await asyncio.to_thread(talk)
        ended = await child.wait()

    assert heard == [b"one\n", b""]
    assert ended.returncode == 0


async def test_a_child_that_dies_is_the_end_of_file(children: Children) -> None:
    """A thread that reads from a child which is killed does not hang."""
    async with children.stream(["sleep", "100"]) as child:
        reading = asyncio.create_task(asyncio.to_thread(child.output.read))
        (pid,) = children.active
        os.kill(pid, signal.SIGKILL)

        assert await asyncio.wait_for(reading, WAIT_SECONDS) == b""
        assert (await child.wait()).returncode == -signal.SIGKILL


async def test_a_stream_that_is_left_ends_its_child(children: Children) -> None:
    """Leaving the block ends the child, also by an error."""
    seen: set[int] = set()

    async def leave() -> None:
        async with children.stream(["sleep", "100"]):
            seen.update(children.active)
            raise KeyError

    with pytest.raises(KeyError):
        await leave()

    assert not any(map(is_alive, seen))
