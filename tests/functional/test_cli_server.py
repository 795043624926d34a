"""The command line, as a process, against a real server: every command, codes, terminals."""

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import attrs
import pytest

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.main import run
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.text import cells
from cidx_jobs.client import AuthenticationError, JobsClient
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30.0
CLI = (sys.executable, "-m", "cidx_jobs")

# Each command is a process, which takes its half second to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@attrs.frozen
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be one JSON document."""
        return json.loads(self.out)


@attrs.frozen
class Server:
    """A running server and the environment of its clients."""

    process: "subprocess.Popen[bytes]"
    url: str
    data_dir: Path
    env: Mapping[str, str]

    def cli(self, *arguments: str, **env: str) -> Done:
        """Run a command to its end, in this process, which saves its start."""
        return run_here(arguments, {**self.env, **env})

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command whose end is awaited elsewhere."""
        return subprocess.Popen(
            [*CLI, *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submit(self, job_type: str, *options: str) -> str:
        """Submit a job and give its id."""
        wanted = [part for option in options for part in ("-o", option)]
        job_id: str = self.cli("submit", job_type, "-p", "p", *wanted, "--json").json["job_id"]
        return job_id


class Shown:
    """A job watched in terminals that were there before it began, of several widths."""

    def __init__(
        self, server: Server, let_end: Path, *options: str, widths: Sequence[int]
    ) -> None:
        """Watch it until each terminal has shown a file; it ends once *let_end* exists."""
        wanted = [part for option in (*options, f"until={let_end}") for part in ("-o", option)]
        submitted = server.cli("submit", "steps", "-p", "p", *wanted, "--hold", "--json")
        self.job_id: str = submitted.json["job_id"]
        watch = [*CLI, "watch", self.job_id]
        with contextlib.ExitStack() as stack:
            self.terminals = {
                columns: stack.enter_context(Terminal(watch, server.env, columns=columns))
                for columns in widths
            }
            for terminal in self.terminals.values():
                terminal.read_until("held")
            asyncio.run(release(server, self.job_id))
            for terminal in self.terminals.values():
                terminal.read_until("walking.*(py|evil).*\r")
            let_end.touch()
            self.codes = [terminal.finish() for terminal in self.terminals.values()]


async def release(server: Server, job_id: str) -> None:
    """Let a held job start."""
    async with JobsClient(server.url) as client:
        await client.start_job(job_id)


def clean_environment() -> dict[str, str]:
    """Give an environment without anybody's settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIDX_")}
    # No test here speaks TLS, and reading all certificates is a third of a command's start.
    return kept | {"TERM": "xterm", "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": os.devnull}


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells of."""
    until = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def run_here(arguments: tuple[str, ...], env: Mapping[str, str]) -> Done:
    """Run a command in this process as if it had the environment to itself."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, env, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(arguments)
    assert "Traceback" not in err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


def run_process(*arguments: str, env: Mapping[str, str]) -> Done:
    """Run a command to its end in a process of its own."""
    done = subprocess.run(
        [*CLI, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def start_server(folder: Path, **settings: str) -> Server:
    """Start a server on a free port and wait until it says where it is."""
    env = clean_environment()
    log = folder / "server.log"
    data_dir = folder / "data"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*CLI, "serve", "--port", "0", "--data-dir", str(data_dir), "--log-format", "json"],
            cwd=ROOT,
            env=env | settings,
            stderr=stream,
        )
    file = data_dir / "server.json"

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text("utf-8")
        return file.exists()

    eventually(is_ready)
    url = json.loads(file.read_text("utf-8"))["url"]
    return Server(process, url, data_dir, env | {"CIDX_JOBS_SERVER": url})


def stop_server(server: Server) -> int:
    """Stop a server as an operator does, and give its exit code."""
    server.process.terminate()
    return server.process.wait(WAIT_SECONDS)


def git(folder: Path, *arguments: str) -> None:
    """Run git in a repository of a test."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull},
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small repository, under a root of its own."""
    folder = tmp_path_factory.mktemp("repositories") / "sample"
    folder.mkdir()
    for number in range(20):
        (folder / f"file_{number:02}.py").write_text(f"NEEDLE = {number}\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server for all tests here, which has to stop cleanly at the end."""
    server = start_server(
        tmp_path_factory.mktemp("server"),
        CIDX_JOBS_GIT_LOCAL_ROOTS=str(repository.parent),
        CIDX_JOBS_HANDLERS="tests.cli_job_types:JOB_TYPES",
        CIDX_JOBS_SHUTDOWN_GRACE_SECONDS="0",
    )
    yield server
    assert stop_server(server) == 0


@pytest.fixture(scope="module")
def synced(server: Server, repository: Path) -> Done:
    """Sync the repository for the first time, as the project ``sample``."""
    return server.cli("sync", "sample", "--url", str(repository))


def test_a_repository_is_synced_and_searched(server: Server, synced: Done) -> None:
    """Sync, list, status, events, search: the whole way, in words and as documents."""
    latest = server.cli("status", "@latest", "--json").json
    again = server.cli("sync", "sample", "--json")
    hits = server.cli("search", "sample", "needle = 1", "--json").json["hits"]
    words = server.cli("search", "sample", "NEEDLE = 19")

    assert synced.code == 0
    assert "20 indexed, 0 skipped, 20 in all" in synced.out
    assert synced.err.splitlines()[-1] == "completed"
    assert latest["status"] == "completed"
    assert again.json["result"]["files_indexed"] == 0
    assert [hit["path"] for hit in hits] == ["file_01.py"] + [
        f"file_{number}.py" for number in range(10, 20)
    ]
    assert words.out == "file_19.py:1: NEEDLE = 19\n"
    projects = server.cli("project", "list").out.splitlines()
    assert projects[1].split()[2] == "20"
    assert server.cli("status", latest["job_id"][:18]).code == 0
    assert latest["job_id"][-12:] in server.cli("list", "--project", "sample").out


async def push_a_tag(url: str, secret: str) -> None:
    """Send what a code host would."""
    headers = {"X-Gitlab-Token": secret}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(url, data=b'{"ref": "refs/tags/v1"}', headers=headers)
        assert (await answer.json())["verdict"] == "tag"


def test_a_hook_is_made_shown_and_removed(server: Server, synced: Done) -> None:
    """Address and secret once; what came; and nothing goes that nobody was asked about."""
    assert synced.code == 0

    made = server.cli("hook", "create", "sample")
    url, secret = (line.split()[1] for line in made.out.splitlines())
    asyncio.run(push_a_tag(url, secret))
    shown = server.cli("hook", "show", "sample")
    document = server.cli("hook", "show", "sample", "--json").json
    unasked = server.cli("hook", "remove", "sample")
    removed = server.cli("hook", "remove", "sample", "--yes", "--json")
    gone = server.cli("hook", "show", "sample")

    assert url.startswith(f"{server.url}/hooks/")
    assert shown.out.splitlines()[2].split()[1:] == ["generic", "push", "tag", "-"]
    assert document["url"] == url
    assert (unasked.code, removed.code, gone.code) == (64, 0, 7)
    assert removed.json == {"project_id": "sample", "removed": True}
    assert "cidx-jobs hook create" in gone.err


def test_a_project_is_kept_fresh(server: Server, synced: Done) -> None:
    """``--every`` says how often its remote is asked for news, and never takes that back."""
    assert synced.code == 0

    for every, seconds in (("10m", 600), ("auto", "auto"), ("never", None)):
        done = server.cli("sync", "sample", "--every", every, "--json")

        shown = server.cli("project", "show", "sample", "--json").json
        assert (done.code, shown["sync_every_seconds"]) == (0, seconds)
    assert server.cli("sync", "sample", "--every", "5s").code == 1
    assert server.cli("sync", "sample", "--every", "often").code == 64


def test_a_schedule_is_made_shown_run_switched_and_removed(server: Server, synced: Done) -> None:
    """In words and as documents; nothing goes that nobody was asked about."""
    assert synced.code == 0

    made = server.cli(
        *("schedule", "add", "nightly", "--project", "sample", "--cron", "30 2 * * *"),
        *("--timezone", "Europe/Berlin", "--jitter", "5m", "--catch-up", "skip", "--json"),
    )
    often = server.cli("schedule", "add", "often", "-p", "sample", "--every", "2h", "--disabled")
    listed = server.cli("schedule", "list").out.splitlines()
    shown = server.cli("schedule", "show", "nightly").out
    disabled = server.cli("schedule", "disable", "nightly", "--json").json
    enabled = server.cli("schedule", "enable", "nightly", "--json").json
    ran = server.cli("schedule", "run", "nightly", "--json").json
    everybody = server.cli("schedule", "list", "--user", "*").out
    unasked = server.cli("schedule", "remove", "nightly")
    removed = [server.cli("schedule", "remove", name, "--yes") for name in ("nightly", "often")]
    gone = server.cli("schedule", "show", "nightly")

    assert made.code == often.code == 0
    assert (made.json["jitter_seconds"], made.json["catch_up"]) == (300, "skip")
    assert "every 2h (disabled)" in often.out
    assert [line.split()[0] for line in listed] == ["NAME", "nightly", "often"]
    assert "30 2 * * * Europe/Berlin, jitter 5m" in shown
    assert (disabled["enabled"], disabled["next_at"], enabled["enabled"]) == (False, [], True)
    assert (ran["schedule"], ran["scheduled_at"]) == ("nightly", None)
    assert everybody.startswith("USER")
    assert (unasked.code, [done.code for done in removed], gone.code) == (64, [0, 0], 7)
    assert "cidx-jobs schedule list" in gone.err


def test_a_wrong_schedule_is_told_by_its_member(server: Server) -> None:
    """A wrong command line is 64, a refusal of the server 1."""
    both = server.cli("schedule", "add", "x", "-p", "p", "--cron", "@daily", "--every", "5m")
    none = server.cli("schedule", "add", "x", "-p", "p")
    odd = server.cli("schedule", "add", "x", "-p", "p", "--every", "soon")
    never = server.cli("schedule", "add", "x", "-p", "p", "--cron", "0 0 30 2 *")

    assert [done.code for done in (both, none, odd, never)] == [64, 64, 64, 1]
    assert "--cron: " in never.err


def test_a_search_says_that_there_is_more(server: Server, synced: Done) -> None:
    """All of it can be asked for; nothing found is an exit code of its own."""
    assert synced.code == 0

    some = server.cli("search", "sample", "needle =", "--limit", "7")
    every = server.cli("search", "sample", "needle =", "--all")
    document = server.cli("search", "sample", "needle =", "--limit", "7", "--json").json
    none = server.cli("search", "sample", "no such thing")
    short = server.cli("search", "sample", "ne")

    assert (some.code, len(some.out.splitlines())) == (0, 7)
    assert "There are more than these 7 lines: see them with --all." in some.err
    assert (every.code, len(every.out.splitlines()), every.err) == (0, 20, "")
    assert document["truncated"]
    assert document["next_cursor"]
    assert len(document["commit"]) == 40
    assert (none.code, none.out) == (1, "")
    assert short.code == 1


def test_a_project_is_shown_with_what_cannot_be_found(server: Server, repository: Path) -> None:
    """Each path with its reason, also after a sync that changed nothing of it."""
    other = repository.with_name("with-images")
    subprocess.run(["git", "clone", "--quiet", str(repository), str(other)], check=True)
    (other / "image.png").write_bytes(b"\x89PNG\0\0")
    (other / "link").symlink_to("image.png")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["add", "--all"], [*who, "commit", "--quiet", "--message=images"]):
        subprocess.run(["git", "-C", str(other), *command], check=True)
    server.cli("sync", "images", "--url", str(other))
    server.cli("sync", "images")

    shown = server.cli("project", "show", "images")
    document = server.cli("project", "show", "images", "--json").json

    assert shown.code == 0
    assert "not indexed 1 binary, 1 link" in shown.out
    assert "  binary      image.png" in shown.out.splitlines()
    assert document["files_skipped"] == {"binary": 1, "link": 1}


def test_another_url_for_a_project_is_asked_about(
    server: Server, repository: Path, synced: Done
) -> None:
    """Where nobody can be asked, --yes says it; the same url asks nothing."""
    assert synced.code == 0
    other = repository.with_name("other")
    subprocess.run(["git", "clone", "--quiet", str(repository), str(other)], check=True)

    same = server.cli("sync", "sample", "--url", f"{repository}/")
    refused = server.cli("sync", "sample", "--url", str(other))
    taken = server.cli("sync", "sample", "--url", str(other), "--yes")
    back = server.cli("sync", "sample", "--url", str(repository), "--yes")

    assert (same.code, taken.code, back.code) == (0, 0, 0)
    assert refused.code == 64
    assert str(repository) in refused.err
    assert "--yes" in refused.err


def test_the_log_of_a_job_is_shown_whole(server: Server) -> None:
    """From the first row to the end."""
    job_id = server.submit("steps", "count=1", "pause=0")
    server.cli("wait", job_id)

    events = server.cli("events", job_id, "--json").json["events"]

    assert events[0]["from"] is None
    assert events[-1]["to"] == "completed"
    assert "running -> completed" in server.cli("events", job_id).out


def test_a_log_is_followed_to_the_end(server: Server) -> None:
    """Each row once, those that were there and those that come; one document with --json."""
    job_id = server.submit("steps", "count=4")
    followed = server.cli("events", job_id, "--follow", "--json")
    words = server.cli("events", job_id, "--follow")

    assert followed.code == words.code == 0
    assert followed.json == server.cli("events", job_id, "--json").json
    assert [line.split()[2] for line in words.out.splitlines()] == [
        event["event"] for event in followed.json["events"]
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sync", "sample", "--url", "{repository}", "--branch", "nope"], 5),
        (["sync", "other", "--url", "/etc"], 1),
        (["sync", "other"], 1),
        (["submit", "no_such_type", "-p", "p"], 1),
        (["submit", "fails", "-p", "p", "--watch"], 1),
        (["status", "019a0000-0000-7000-8000-000000000001"], 7),
        (["search", "no_such_project", "text"], 7),
        (["project", "remove", "no_such_project"], 7),
        (["search", "sample", "ab"], 1),
        (["retry", "@latest"], 8),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else " ".join(value),
)
@pytest.mark.usefixtures("synced")
def test_what_goes_wrong_has_its_code(
    server: Server, repository: Path, arguments: list[str], code: int
) -> None:
    """With one line on what happened, and one JSON document when that is asked for."""
    server.cli("wait", server.submit("steps", "count=0"))  # the latest has completed
    given = [argument.format(repository=repository) for argument in arguments]

    done = server.cli(*given, "--json")

    assert done.code == code
    assert done.json
    if arguments[0] != "submit" or "--watch" not in arguments:
        assert done.err


def test_a_failed_job_can_be_retried(server: Server) -> None:
    """It is queued again, and its end is the code of who waits."""
    job_id = server.submit("fails")
    waited = server.cli("wait", job_id)
    retried = server.cli("retry", job_id, "--json")
    cancelled = server.cli("cancel", job_id)

    assert waited.code == 1
    assert retried.code == 0
    assert retried.json["job_id"] == job_id
    assert cancelled.code in {0, 8}  # whether it has failed again by then


def test_a_job_is_cancelled(server: Server) -> None:
    """Cancel asks, wait sees the end; a second cancel is no error, that of a done job is."""
    job_id = server.submit("steps", "count=1000")
    done_id = server.submit("steps", "count=0")

    asked = server.cli("cancel", job_id, "--reason", "enough", "--json")
    waited = server.cli("wait", job_id, done_id, "--json")
    again = server.cli("cancel", job_id)
    late = server.cli("cancel", done_id, "--json")

    assert asked.code == 0
    assert asked.json["cancel_reason"] == "enough"
    assert waited.code == 6
    assert {job["status"] for job in waited.json["jobs"]} == {"cancelled", "completed"}
    assert again.code == 0
    assert late.code == 8
    assert late.json["error"]["code"] == "already_finished"


def test_the_queue_is_shown(server: Server) -> None:
    """A held job waits, and it is said why."""
    held = server.cli("submit", "steps", "-p", "p", "--hold", "--json").json["job_id"]

    document = server.cli("queue", "--json").json
    words = server.cli("queue").out

    assert held in [job["job_id"] for job in document["jobs"]]
    assert held[-12:] in words
    assert "held" in words
    assert server.cli("wait", held, "--timeout", "0.2").code == 4
    assert server.cli("cancel", held).code == 0


def test_a_timeout_leaves_the_job_or_cancels_it(server: Server) -> None:
    """Exit code 4 either way."""
    left = server.submit("steps", "count=1000")
    gone = server.submit("steps", "count=1000")

    leaving = server.cli("watch", left, "--timeout", "0.3")
    cancelling = server.cli("watch", gone, "--timeout", "0.3", "--cancel-on-timeout")

    assert leaving.code == cancelling.code == 4
    assert f"{left} goes on. Come back with: cidx-jobs watch {left}" in leaving.err
    assert "goes on" not in cancelling.err
    assert server.cli("wait", gone, "--timeout", "10").code == 6
    assert server.cli("cancel", left).code == 0


SIGNALS = {
    ("watch", signal.SIGINT): 130,
    ("watch", signal.SIGTERM): 143,
    ("wait", signal.SIGINT): 130,
    ("wait", signal.SIGTERM): 143,
}


def test_a_signal_ends_the_command_and_not_the_job(server: Server) -> None:
    """Without a traceback; after Ctrl-C `watch` says how to come back."""
    job_id = server.submit("steps", "count=1000")
    processes = {case: server.start(case[0], job_id) for case in SIGNALS}
    eventually(lambda: server.cli("admin", "stats", "--json").json["waiters"] == len(SIGNALS))
    for (_, number), process in processes.items():
        process.send_signal(number)
    errors = {
        case: process.communicate(timeout=WAIT_SECONDS)[1] for case, process in processes.items()
    }

    assert {case: process.returncode for case, process in processes.items()} == SIGNALS
    assert "Traceback" not in "".join(errors.values())
    come_back = f"cidx-jobs watch {job_id}"
    assert [case for case in SIGNALS if come_back in errors[case]] == [("watch", signal.SIGINT)]
    assert server.cli("status", job_id, "--json").json["status"] == "running"
    server.cli("cancel", job_id)


PAUSE = """
import os, sys

class Pause:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["PAUSE_AT"]:
            sys.meta_path.remove(self)
            print("paused", flush=True)
            sys.stdin.read()

sys.meta_path.insert(0, Pause())
"""


def test_ctrl_c_while_starting_has_no_traceback(server: Server, tmp_path: Path) -> None:
    """Whatever is being imported just then, from the first thing that is not there at once."""
    (tmp_path / "sitecustomize.py").write_text(PAUSE, "utf-8")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    modules = ("click", "cidx_jobs.cli.root", "cidx_jobs.cli.actions.sync", "aiohttp")
    processes = [
        subprocess.Popen(
            [*CLI, "watch", "@latest"],
            env={**server.env, "PYTHONPATH": path, "PAUSE_AT": module},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for module in modules
    ]
    ends = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_SECONDS)
        ends.append((process.returncode, err))

    assert ends == [(130, "")] * len(modules)


def test_a_reader_that_goes_away_is_no_catastrophe(server: Server) -> None:
    """A broken pipe ends the command without a word."""
    process = server.start("list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(WAIT_SECONDS)
    process.stderr.close()

    assert err == ""


def test_the_live_line_fits_the_terminal(server: Server, tmp_path: Path) -> None:
    """Bar, percent and phase in one line that is drawn over itself; a report at the end."""
    shown = Shown(server, tmp_path / "end", "count=40", widths=(40, 80, 200))

    assert shown.codes == [0, 0, 0]
    for columns, terminal in shown.terminals.items():
        live = [line for line in terminal.drawn() if line.startswith("[")]
        assert len(live) >= 2
        assert all(cells(line) < columns for line in live)
        assert all("% walking" in line for line in live[1:])
        assert any("file_0" in line or ".py" in line for line in live)
        assert f"job {shown.job_id} " in terminal.output
        assert "  phases      walking" in terminal.output


def test_the_live_line_follows_a_resize(server: Server) -> None:
    """What is drawn after a resize fits the new size."""
    job_id = server.submit("steps", "count=1000")
    terminal = Terminal([*CLI, "watch", job_id], server.env, columns=120)
    try:
        terminal.read_until(r"walking[^\r]*file_")
        terminal.resize(40)
        terminal.read_until("\r")
        begin = len(terminal.drawn())
        terminal.read_until(r"walking[^\r]*\r.*walking[^\r]*\r")
        after = terminal.drawn()[begin:]
    finally:
        terminal.process.send_signal(signal.SIGINT)
        terminal.finish()
        terminal.close()
        server.cli("cancel", job_id)

    assert after
    assert all(cells(line) < 40 for line in after)


def test_hostile_names_do_not_reach_the_terminal(server: Server, tmp_path: Path) -> None:
    """A file name with terminal codes and a bidi override is shown escaped."""
    name = json.dumps("evil\x1b[2J\u202egpj.py")
    shown = Shown(server, tmp_path / "end", "count=2", f"item={name}", widths=(120,))

    output = shown.terminals[120].output
    assert "evil\\x1b[2J\\u202egpj.py" in output
    assert "\x1b[2J" not in output
    assert "\u202e" not in output


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, True), ("y", 0, False)])
def test_a_clean_up_asks_who_can_be_asked(
    server: Server, answer: str, code: int, *, left: bool
) -> None:
    """It says how many finished jobs it means; --yes is for who has decided."""
    job_id = server.submit("steps", "count=0")
    server.cli("wait", job_id)
    command = [*CLI, "admin", "cleanup", "--older-than", "0s"]

    with Terminal(command, server.env, columns=80) as terminal:
        terminal.read_until(r"Delete \d+ finished jobs, with their events\? \[y/N\] ")
        terminal.type(f"{answer}\n")
        ended = terminal.finish()
    found = server.cli("status", job_id)
    sure = server.cli("admin", "cleanup", "--older-than", "0s", "--yes", "--json")

    assert (ended, found.code == 0) == (code, left)
    assert (sure.code, sure.json["dry_run"]) == (0, False)


def test_colours_can_be_switched_off(server: Server) -> None:
    """A terminal gets the status in its colour, unless NO_COLOR is set."""
    job_id = server.submit("steps", "count=0")
    server.cli("wait", job_id)
    status = [*CLI, "status", job_id]
    with (
        Terminal(status, {**server.env, "NO_COLOR": ""}, columns=80) as coloured,
        Terminal(status, {**server.env, "NO_COLOR": "1"}, columns=80) as plain,
    ):
        coloured.finish()
        plain.finish()

    assert "\x1b[32mcompleted" in coloured.output
    assert " completed" in plain.output
    assert "\x1b" not in plain.output
    assert "\x1b" not in server.cli("status", job_id).out


ANSWERS = {"y\n": 6, "n\n": 130, "\n": 130, "ctrl-c": 130}


@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_terminal_that_closes_ends_the_command_and_not_the_job(
    server: Server, is_ignored: bool
) -> None:
    """By its signal; and where that is ignored (nohup), by the first thing that is written."""
    job_id = server.submit("steps", "count=1000")
    watch = shlex.join([*CLI, "watch", job_id])
    trap = "trap '' HUP;" if is_ignored else ""
    shell = ["/bin/sh", "-c", f"{trap} exec {watch}"]
    with Terminal(shell, server.env, columns=80) as terminal:
        terminal.read_until("walking")
        terminal.hang_up()
        code = terminal.process.wait(WAIT_SECONDS)

    assert code == (1 if is_ignored else -signal.SIGHUP)
    assert server.cli("status", job_id, "--json").json["status"] == "running"
    server.cli("cancel", job_id)


def test_ctrl_c_asks_whether_to_cancel(server: Server) -> None:
    """Yes cancels, and the job's end is awaited: exit code 6.

    No, nothing, or a second Ctrl-C: the job goes on, and it is said how to come back.
    """
    submit = [*CLI, "submit", "steps", "-p", "p", "-o", "count=1000", "--watch"]
    with contextlib.ExitStack() as stack:
        terminals = {
            answer: stack.enter_context(Terminal(submit, server.env, columns=80))
            for answer in ANSWERS
        }
        for answer, terminal in terminals.items():
            terminal.read_until("walking")
            terminal.process.send_signal(signal.SIGINT)
            terminal.read_until("Cancel the job")
            if answer == "ctrl-c":
                terminal.process.send_signal(signal.SIGINT)
            else:
                terminal.type(answer)
        codes = {answer: terminal.finish() for answer, terminal in terminals.items()}

    assert codes == ANSWERS
    assert "cancelled" in terminals.pop("y\n").output
    for terminal in terminals.values():
        assert "Traceback" not in terminal.output
        named = re.search(r"cidx-jobs watch (\S+)", terminal.output)
        assert named is not None
        assert server.cli("status", named[1], "--json").json["status"] == "running"
        server.cli("cancel", named[1])


def test_a_server_that_restarts_is_sat_out(tmp_path: Path) -> None:
    """A watcher survives the restart, says so, and sees the job's end."""
    settings = {
        "CIDX_JOBS_HANDLERS": "tests.cli_job_types:JOB_TYPES",
        "CIDX_JOBS_SHUTDOWN_GRACE_SECONDS": "0",
    }
    first = start_server(tmp_path, **settings)
    let_end = tmp_path / "end"
    job_id = first.submit("steps", f"until={let_end}")
    watcher = first.start("watch", job_id)
    assert watcher.stderr is not None
    watcher.stderr.readline()
    port = first.url.rpartition(":")[2]
    assert stop_server(first) == 0
    while "trying again" not in watcher.stderr.readline():
        assert watcher.poll() is None

    second = subprocess.Popen(
        [*CLI, "serve", "--port", port, "--data-dir", str(first.data_dir)],
        cwd=ROOT,
        env={**clean_environment(), **settings},
        stderr=subprocess.DEVNULL,
    )
    try:
        let_end.touch()
        out, err = watcher.communicate(timeout=WAIT_SECONDS)
    finally:
        second.terminate()
        assert second.wait(WAIT_SECONDS) == 0

    assert watcher.returncode == 0
    assert "completed" in out
    assert "the server is back" in err


def test_tokens_are_made_at_the_server_or_in_the_directory(tmp_path: Path) -> None:
    """Before the first start, while a server owns the directory, and after it has stopped."""
    env = clean_environment() | {"CIDX_JOBS_DATA_DIR": str(tmp_path / "data")}

    def cli(*arguments: str, **more: str) -> Done:
        return run_here(arguments, env | more)

    before = cli("token", "create", "alice").out
    server = start_server(tmp_path, CIDX_JOBS_AUTH="tokens")
    try:
        during = cli("token", "create", "bob", "--scope", "read", "--label", "x", "--json").json
        as_alice = server.cli("list", CIDX_JOBS_TOKEN=before.strip())
        as_bob = server.cli("submit", "x", "-p", "p", CIDX_JOBS_TOKEN=during["token"])
        as_nobody = server.cli("list")
        url = "repository_url=https://example.org/a/b.git"
        wanted = ("submit", "repository_sync", "-p", "p", "-o", url, "--hold", "--json")
        of_alice = server.cli(*wanted, CIDX_JOBS_TOKEN=before.strip()).json["job_id"]
        admin = (server.data_dir / "admin.token").read_text("utf-8").strip()
        latest = [
            server.cli("status", "@latest", CIDX_JOBS_TOKEN=token)
            for token in (before.strip(), admin)
        ]
        listed = cli("token", "list", "--json").json["tokens"]
        revoked = cli("token", "revoke", during["token_id"])
        as_revoked = server.cli("list", CIDX_JOBS_TOKEN=during["token"])
        at_server = server.cli("token", "list", CIDX_JOBS_TOKEN=before.strip())
        (server.data_dir / "admin.token").write_text("of another server", "utf-8")
        unknown = [cli("token", "list"), cli("doctor")]
    finally:
        assert stop_server(server) == 0
    after = cli("token", "list")

    assert before.startswith("cidxj_")
    assert before.count("\n") == 1
    assert as_alice.code == 0
    assert of_alice in latest[0].out
    assert latest[1].code == 7  # the administrator has no job of their own
    assert as_bob.code == as_nobody.code == as_revoked.code == at_server.code == 2
    assert {token["user_id"] for token in listed} == {"alice", "bob", "admin"}
    assert [done.code for done in unknown] == [2, 2]
    assert all(f"{server.data_dir / 'admin.token'}: remove" in done.err for done in unknown)
    assert revoked.code == 0
    assert "alice" in after.out
    assert "bob" not in after.out
    assert cli("token", "revoke", "nonsense").code == 7
    assert cli("token", "create", "a\nb").code == 1


def test_an_operator_backs_up_and_restores(server: Server, tmp_path: Path) -> None:
    """The backup's name is printed, listed, and taken by the restore; a hurt one is refused."""
    directory = ["--data-dir", str(server.data_dir)]

    made = server.cli("admin", "backup", "--json", *directory).json
    shown = server.cli("admin", "backup", *directory)
    listed = server.cli("admin", "backup", "list", "--json", *directory).json["backups"]
    table = server.cli("admin", "backup", "list", *directory).out
    restored = server.cli("restore", made["file"], "--data-dir", str(tmp_path / "r"), "--json")
    again = server.cli("restore", made["file"], "--data-dir", str(tmp_path / "r"))
    replaced = server.cli("restore", made["file"], "--data-dir", str(tmp_path / "r"), "--replace")
    in_use = server.cli("restore", made["file"], *directory, "--replace")
    cut = tmp_path / "cut.db"
    cut.write_bytes(Path(made["file"]).read_bytes()[:-5_000])
    hurt = server.cli("restore", str(cut), "--data-dir", str(tmp_path / "s"))
    held = server.cli("restore", made["file"], "--data-dir", str(tmp_path / "h"), "--hold")
    counted = server.cli(
        *("restore", made["file"], "--data-dir", str(tmp_path / "h"), "--hold", "--replace"),
        "--json",
    )
    small = server.cli("admin", "compact", "--data-dir", str(tmp_path / "r"), "--json")
    told = server.cli("admin", "compact", "--data-dir", str(tmp_path / "r"))
    served = server.cli("admin", "compact", *directory)

    assert (shown.code, restored.code, replaced.code) == (0, 0, 0)
    assert made["file"] in [one["file"] for one in listed]
    assert made["file"] in table
    assert restored.json["database_id"] == made["database_id"]
    assert restored.json["seq"] == made["seq"]
    assert "is kept" in replaced.out
    assert f"held {counted.json['held']:,} unfinished" in held.out
    assert restored.json["held"] == 0
    assert [one.code for one in (again, in_use, hurt)] == [1, 1, 1]
    assert "--replace" in again.err
    assert "owned by another server" in in_use.err
    assert "is cut" in hurt.err
    assert 0 < small.json["bytes_after"] <= small.json["bytes_before"]
    assert "bytes now" in told.out
    assert "owned by another server" in served.err
    assert not (tmp_path / "s").exists()


def test_an_operator_changes_the_server(server: Server, tmp_path: Path) -> None:
    """Limits, pauses and the drain, by the directory or by the name of the server."""
    directory = ["--data-dir", str(server.data_dir)]

    stats = server.cli("admin", "stats", "--json", *directory).json
    limits = server.cli("admin", "limits", "--set", "resources.git=7", "--json", *directory).json
    wrong = server.cli("admin", "limits", "--set", "max_running_total=0", *directory)
    unknown = server.cli("admin", "limits", "--set", "colour=1")
    paused = server.cli("admin", "pause", "--user", "eve", "--json").json
    while_paused = server.cli("admin", "stats").out
    resumed = server.cli("admin", "resume", "--user", "eve", "--json").json
    logged = server.cli("admin", "log", "--limit", "2", "--json").json["entries"]
    shown = server.cli("admin", "log").out
    draining = server.cli("admin", "drain")
    drained = server.cli("admin", "drain", "--wait", "--json").json
    torn = server.cli("admin", "drain", "--wait", "--off")
    refused = server.cli("submit", "steps", "-p", "p", "--json")
    ended = server.cli("admin", "drain", "--off", "--json").json
    cleanup = ["admin", "cleanup", "--status", "failed", "--dry-run", "--older-than"]
    counted = server.cli(*cleanup, "0", "--json").json
    never = server.cli(*cleanup, "-1")
    nowhere = server.cli("admin", "stats", "--data-dir", str(tmp_path))

    assert stats["slots"]["max_running_total"] == 50
    assert limits["resources"]["git"] == 7
    assert wrong.code == 1
    assert "max_running_total" in wrong.err
    assert unknown.code == 64
    assert paused["users"] == ["eve"]
    assert "paused       user eve" in while_paused
    assert "bytes free" in while_paused
    assert resumed["users"] == []
    assert [one["action"] for one in logged] == ["resumed", "paused"]
    assert "user eve" in shown
    assert "draining               yes" in draining.out
    assert drained == {"draining": True, "drained": True, "running": 0, "waiting": 0}
    assert torn.code == 64
    assert refused.code == 1
    assert refused.json["error"]["code"] == "draining"
    assert ended["draining"] is False
    assert (counted["deleted"], counted["dry_run"]) == (0, True)
    assert never.code == 64
    assert nowhere.code == 1
    assert "--data-dir" in nowhere.err
    assert "50" in server.cli("admin", "stats").out


def test_an_operator_changes_a_directory_that_no_server_owns(tmp_path: Path) -> None:
    """What is set is kept for the next server; where there is no database none is made."""
    env = clean_environment() | {"CIDX_JOBS_DATA_DIR": str(tmp_path / "data")}

    def admin(*arguments: str) -> Done:
        return run_here(("admin", *arguments), env)

    nowhere = admin("stats")
    assert not (tmp_path / "data").exists()
    run_here(("token", "create", "alice"), env)
    stats = admin("stats", "--json").json
    limits = admin("limits", "--set", "resources.git=7", "--set", "max_priority=3", "--json").json
    wrong = admin("limits", "--set", "max_running_total=0")
    admin("pause", "--user", "eve")
    admin("pause", "--user", "ann")
    paused = admin("resume", "--user", "eve", "--json").json
    nobody = admin("pause", "--user", "")
    admin("drain")
    cleaned = admin("cleanup", "--older-than", "0", "--json").json
    kept = admin("stats", "--json").json
    shown = admin("limits", "--json").json
    ended = admin("drain", "--off", "--json").json

    assert nowhere.code == 1
    assert "--data-dir" in nowhere.err
    assert (stats["by_status"], stats["slots"]["running"]) == ({}, 0)
    assert (limits["resources"]["git"], limits["max_priority"]) == (7, 3)
    assert wrong.code == nobody.code == 1
    assert "max_running_total" in wrong.err
    assert paused["users"] == ["ann"]
    assert cleaned == {"matched": 0, "deleted": 0, "dry_run": False}
    assert kept["pauses"]["draining"] is True
    assert kept["slots"]["resources"]["git"]["limit"] == 7
    assert shown == limits
    assert ended["draining"] is False


def test_administration_of_a_directory_moves_no_job(tmp_path: Path) -> None:
    """What a killed server left is the next server's to recover; the command leaves no trace."""
    server = start_server(tmp_path, CIDX_JOBS_HANDLERS="tests.cli_job_types:JOB_TYPES")
    running = server.submit("steps", f"until={tmp_path / 'never'}")
    eventually(lambda: server.cli("status", running, "--json").json["status"] == "running")
    server.process.kill()
    server.process.wait(WAIT_SECONDS)
    env = clean_environment()

    def admin(*arguments: str) -> Done:
        directory = ("--data-dir", str(server.data_dir))
        return run_process("admin", *arguments, *directory, "--json", env=env)

    stats = [admin("stats"), admin("drain"), admin("stats")]

    assert [done.code for done in stats] == [0, 0, 0]
    assert [stats[0].json["by_status"], stats[2].json["by_status"]] == [{"running": 1}] * 2
    assert stats[0].err == ""


def test_nobody_else_comes_in_while_a_command_serves_a_directory(tmp_path: Path) -> None:
    """Its address is anybody's on this machine; its token is in no file."""

    async def ask_beside(client: JobsClient) -> None:
        for token in (None, "cidxj_" + "x" * 43):
            async with JobsClient(client._transport.address, token) as other:
                with pytest.raises(AuthenticationError):
                    await other.get_stats()

    administer(Target(data_dir=tmp_path / "data"), ask_beside, creates=True)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["version"], ["version", "--json"], ["check", "--json"]])
def test_an_output_that_takes_nothing_is_told_in_one_line(arguments: list[str]) -> None:
    """On a full disk, with exit code 1; where stdout is closed nothing is missing."""
    environ = clean_environment()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*CLI, *arguments],
            cwd=ROOT,
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
    closed = subprocess.run(
        ["sh", "-c", '"$@" <&- >&-', "sh", *CLI, *arguments],
        cwd=ROOT,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "cidx-jobs: cannot use the output: No space left on device\n"
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_start_that_is_refused_says_why(server: Server, tmp_path: Path) -> None:
    """One line and exit code 1: for a second owner, a port that is taken, a wrong setting."""
    port = server.url.rpartition(":")[2]

    def serve(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*CLI, "serve", *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )

    with (
        serve("--data-dir", str(server.data_dir), "--port", "0") as owning,
        serve("--data-dir", str(tmp_path / "d"), "--port", port) as taking,
    ):
        owned, taken = (
            Done(process.wait(WAIT_SECONDS), "", process.communicate()[1])
            for process in (owning, taking)
        )
    wrong = run_here(("serve",), clean_environment() | {"CIDX_JOBS_MAX_RUNNING_TOTAL": "-1"})

    assert owned.code == taken.code == wrong.code == 1
    assert str(server.data_dir) in owned.err
    assert port in taken.err
    assert "max_running_total" in wrong.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["version"],
        ["check"],
        ["list"],
        ["queue"],
        ["completion", "bash"],
        ["submit", "steps", "-p", "p", "-o", "count=1"],
        ["submit", "steps", "-p", "p", "-o", "count=1", "--watch"],
        ["status", "@latest"],
        ["watch", "@latest"],
        ["wait", "@latest"],
        ["events", "@latest"],
    ],
    ids=" ".join,
)
def test_each_command_prints_one_document(server: Server, arguments: list[str]) -> None:
    """Exit code 0, one JSON document on stdout."""
    server.cli("wait", server.submit("steps", "count=0"))

    done = server.cli(*arguments, "--json")

    assert done.code == 0
    assert isinstance(done.json, dict)


def test_a_process_prints_the_same(server: Server) -> None:
    """What holds for a command run in the tests' process holds for one of its own."""
    server.cli("wait", server.submit("steps", "count=0"))

    done = run_process("status", "@latest", "--json", env=server.env)

    assert done == server.cli("status", "@latest", "--json")


def test_help_imports_nothing_heavy() -> None:
    """What a command needs is imported when it runs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cidx_jobs", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "click" in imported
    assert not imported & {"aiohttp", "aiosqlite", "asyncio", "attr", "attrs", "msgspec", "rich"}
    assert "cidx_jobs.model.job.job" not in imported


def test_the_doctor_mends_a_directory_without_a_server(tmp_path: Path) -> None:
    """Files that were no project's for days go; jobs wait for the next server as before."""
    data = tmp_path / "data"
    environment = clean_environment() | {"CIDX_JOBS_DATA_DIR": str(data)}
    run_here(("token", "create", "alice"), environment)
    stray = data / "projects" / "0123456789abcdef"
    stray.mkdir(parents=True)
    long_ago = time.time() - 4 * 86_400.0
    os.utime(stray, (long_ago, long_ago))

    found = run_here(("doctor",), environment)
    done = run_here(("doctor", "--fix", "--json"), environment)
    after = run_here(("doctor",), environment)

    assert (found.code, done.code, after.code) == (1, 0, 0)
    assert [one["kind"] for one in done.json["mended"]] == ["files"]
    assert not stray.exists()
