"""The commands against canned answers: output, exit codes, what is said when it goes wrong."""

import asyncio
import gc
import json
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from click.testing import CliRunner

from cidx_jobs import __version__
from cidx_jobs.cli.main import main, run
from cidx_jobs.cli.root import cidx_jobs
from cidx_jobs.settings.settings import default_resources
from tests.canned_server import (
    JOB_ID,
    CannedServer,
    Fault,
    answer_with,
    cut,
    error_document,
    job_document,
)
from tests.sync_kit import install_git


class ServedInThread:
    """A canned server with a loop and a thread of its own, as a command needs it."""

    def __init__(self) -> None:
        """Start it and wait until it listens."""
        self.canned = CannedServer()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._runner = web.AppRunner(self.canned.make_app(), shutdown_timeout=0)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    def meanwhile(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something with the canned server in its own loop, beside a command."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


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


RunCli = Callable[..., Done]


@pytest.fixture(scope="module")
def served() -> Iterator[ServedInThread]:
    """Give one server for all tests here."""
    served = ServedInThread()
    yield served
    served.stop()


@pytest.fixture
def canned(served: ServedInThread) -> CannedServer:
    """Give the server's inside, with a running job and no faults."""
    served.canned.job = job_document()
    served.canned.faults.clear()
    served.canned.requests.clear()
    served.canned.bodies.clear()
    return served.canned


@pytest.fixture
def cli(
    canned: CannedServer,
    served: ServedInThread,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> RunCli:
    """Give what runs a command against the server."""
    monkeypatch.setenv("CIDX_JOBS_SERVER", served.url)
    monkeypatch.delenv("CIDX_JOBS_TOKEN", raising=False)
    # Of a server that `check` is asked about: that of another test may have the usual one.
    monkeypatch.setenv("CIDX_JOBS_PORT", "0")
    monkeypatch.setattr("cidx_jobs.cli.async_run.RETRIES", 0)

    def run_command(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run_command


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch"],
        ["nonsense"],
        ["list", "--limit", "0"],
        ["list", "--nonsense"],
        ["submit", "x"],
        ["submit", "x", "-p", "p", "-o", "novalue"],
        ["submit", "x", "-p", "p", "--start-at", "soon"],
        ["sync", "p", "--timeout", "0"],
        ["status", "x", "--server", "localhost:1"],
        ["--server", "localhost:1", "status", "x"],
        ["status", "x", "--server", "http://[::1"],
        ["status", "x", "--server", "http://host:99999"],
        ["sync", "p", "--timeout", "nan"],
        ["wait", "x", "--timeout", "inf"],
        ["submit", "x", "-p", "p", "--run-timeout", "nan"],
        ["submit", "x", "-p", "p", "--start-at", "9999-12-31T23:59:59-10:00"],
        ["submit", "x", "-p", "p", "--idempotency-key", "a\nb"],
        ["submit", "x", "-p", "p", "--idempotency-key", ""],
        ["submit", "x", "-p", "p", "--limit", "tenant"],
        ["submit", "x", "-p", "p", "--limit", "tenant=many"],
        ["submit", "x", "-p", "p", "--limit", "=1"],
        ["admin", "cleanup", "--older-than", "nan"],
        ["check", "--data-dir", ""],
        ["search", "p", "abc\udcff"],
        ["wait", "x", "\udcff"],
    ],
    ids=ascii,
)
def test_a_wrong_command_line_exits_with_64(cli: RunCli, arguments: list[str]) -> None:
    """What is wrong is said on stderr, with no traceback, and nothing is asked of the server."""
    done = cli(*arguments)

    assert done.code == 64
    assert done.out == ""
    assert "Error: " in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [["watch"], ["nonsense"], []], ids=" ".join)
def test_a_wrong_command_line_is_a_json_document_too(cli: RunCli, arguments: list[str]) -> None:
    """With ``--json`` stdout holds one document, however a command ends; the code stays 64."""
    done = cli(*arguments, "--json")

    assert done.code == 64
    assert done.json["error"]["code"] == "wrong_command_line"
    assert done.err


def test_what_nobody_foresaw_is_a_json_document_too(
    cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads stdout learns that there is no answer; stderr says how to find out more."""

    def fail(*_: object, **_options: object) -> None:
        message = "a thing of ours broke"
        raise LookupError(message)

    monkeypatch.setattr("cidx_jobs.cli.async_run.JobsClient", fail)

    done = cli("status", "x", "--json")

    assert done.code == 1
    assert done.json["error"]["code"] == "internal_error"
    assert "a thing of ours broke" in done.err


def test_a_token_that_no_header_can_hold_is_told(
    cli: RunCli, canned: CannedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a file with more than the token in it was read into the variable."""
    monkeypatch.setenv("CIDX_JOBS_TOKEN", "cidxj_one\ncidxj_two")

    done = cli("list")

    assert done.code == 64
    assert "token" in done.err
    assert "cidxj_" not in done.err
    assert not canned.requests


def test_an_option_too_deep_to_be_json_is_a_text(cli: RunCli, canned: CannedServer) -> None:
    """As every value that is no JSON."""
    deep = "[" * 10_000

    done = cli("submit", "steps", "-p", "p", "-o", f"names={deep}")

    assert done.code == 0
    assert canned.bodies[-1]["options"] == {"names": deep}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["serve"], 0),
        (["--json", "serve", "--port", "0"], 0),
        (["--server", "serve", "serve"], 0),
        (["search", "p", "serve"], 143),
        (["--server", "serve", "list"], 143),
        (["sync", "serve"], 143),
        ([], 143),
    ],
)
def test_sigterm_is_a_good_end_of_the_server_alone(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """A project or a text that is called ``serve`` makes no client command a server."""
    codes: list[int] = []
    monkeypatch.setattr(
        "cidx_jobs.cli.main.end_at_once_on_signals",
        lambda *, server_code: codes.append(143 if server_code is None else server_code),
    )
    monkeypatch.setattr("cidx_jobs.cli.main.run", lambda _: 0)
    monkeypatch.setattr(gc, "disable", lambda: None)

    with pytest.raises(SystemExit):
        main(arguments)

    assert set(codes) == {code}


def test_a_directory_that_cannot_be_read_is_no_wrong_command_line(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens it tells of it, in one line; a command that only names it can go on."""
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)

    assert cli("check", "--data-dir", str(tmp_path)).code == 0


def test_no_command_shows_the_help_and_exits_with_64(cli: RunCli) -> None:
    """Nothing was asked for."""
    done = cli()

    assert done.code == 64
    assert "Commands:" in done.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["status", "--help"]], ids=" ".join)
def test_help_is_no_error(cli: RunCli, arguments: list[str]) -> None:
    """It goes to stdout, with exit code 0."""
    done = cli(*arguments)

    assert done.code == 0
    assert done.out.startswith("Usage: cidx-jobs")


def test_every_command_has_json_and_help() -> None:
    """``--json`` stands on each command; each says in one line what it does, and shows it."""
    leaves = dict(cidx_jobs.commands)
    for group in ("token", "user", "admin", "project", "schedule", "hook"):
        inner = getattr(leaves.pop(group), "commands")  # noqa: B009 - groups have them, commands not
        leaves |= {f"{group} {name}": command for name, command in inner.items()}

    assert {
        name
        for name, command in leaves.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    } == set()
    assert [name for name, command in leaves.items() if not command.help] == []
    assert [
        name
        for name, command in leaves.items()
        if f"cidx-jobs {name}" not in (command.epilog or "")
    ] == []
    listing = CliRunner().invoke(cidx_jobs, ["--help"]).output
    assert "..." not in listing.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (answer_with(401, "authentication_required"), 2, "CIDX_JOBS_TOKEN"),
        (answer_with(403, "admin_required"), 2, "token of an admin"),
        (answer_with(404, "job_not_found"), 7, "cidx-jobs list"),
        (answer_with(409, "project_busy"), 8, "canned project_busy"),
        (answer_with(422, "validation_failed"), 1, "canned validation_failed"),
        (answer_with(429, "slow_down"), 1, "canned slow_down"),
        (answer_with(500, "internal_error"), 1, "request r-1"),
        (cut, 3, "cidx-jobs serve"),
    ],
    ids=["401", "403", "404", "409", "422", "429", "500", "cut"],
)
def test_what_the_server_says_becomes_an_exit_code(
    canned: CannedServer, cli: RunCli, fault: Fault, code: int, text: str
) -> None:
    """One line on what happened, one on what to do, no traceback; with --json a document too."""
    # aiohttp itself sends a GET again that was cut.
    canned.faults = [fault] * 2
    plain = cli("status", JOB_ID)
    canned.faults = [fault] * 2
    as_json = cli("status", JOB_ID, "--json")

    assert (plain.code, plain.out) == (code, "")
    assert text in plain.err
    assert "Traceback" not in plain.err
    assert as_json.code == code
    assert as_json.json["error"]["code"]


def test_a_server_that_is_not_there_exits_with_3(
    cli: RunCli, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is named, and what may be done."""
    monkeypatch.setenv("CIDX_JOBS_SERVER", f"http://127.0.0.1:{unused_tcp_port}")

    done = cli("list")

    assert done.code == 3
    assert str(unused_tcp_port) in done.err
    assert "--server" in done.err


def test_wrong_members_are_named(canned: CannedServer, cli: RunCli) -> None:
    """Each fault of a refused document has a line, and none has two."""
    errors = [
        {"pointer": "/options/branch", "message": "it begins with a dash"},
        {"pointer": "/labels/A", "message": "it is too large"},
    ]
    detail = "/options/branch: it begins with a dash"
    canned.faults = [
        answer_with(422, "validation_failed", errors=errors),
        answer_with(422, "validation_failed", errors=errors, detail=detail),
    ]

    done = cli("sync", "p", "--branch", "x")
    again = cli("sync", "p", "--branch", "x")

    assert done.code == again.code == 1
    for told in (done.err, again.err):
        assert told.count("--branch: it begins with a dash") == 1
        assert told.count("labels.A: it is too large") == 1
        assert "/" not in told


def test_hostile_text_of_a_server_is_escaped(canned: CannedServer, cli: RunCli) -> None:
    """Neither a job's strings nor an error's can act on the terminal."""
    canned.job |= {"message": "\x1b[2J", "phase": "a\u202eb", "project_id": "\x07"}
    shown = cli("status", JOB_ID)
    canned.faults = [answer_with(404, "\x1b[31m")]
    refused = cli("status", JOB_ID)

    assert "\x1b" not in shown.out + refused.err
    assert "\u202e" not in shown.out
    assert "\\x1b[2J" in shown.out


def test_the_token_comes_from_the_environment(
    canned: CannedServer, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And from nowhere else: an argument could be seen by everybody on the machine."""
    monkeypatch.setenv("CIDX_JOBS_TOKEN", "cidxj_x")

    cli("list")

    assert canned.requests[0].headers["Authorization"] == "Bearer cidxj_x"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--expires-in", "nan"), "--expires-in"),
        (("--expires-in", "inf"), "--expires-in"),
        (("--expires-in", "1e12"), "--expires-in"),
        (("--label", "a\nb"), "--label"),
    ],
)
def test_a_token_is_refused_alike_with_and_without_a_server(
    cli: RunCli, tmp_path: Path, more: tuple[str, str], named: str
) -> None:
    """Where the command opens the directory itself the same ranges hold; nothing is stored."""
    data_dir = tmp_path / "data"

    done = cli("token", "create", "alice", "--data-dir", str(data_dir), *more)

    assert done.code == 1
    assert f"{named}: it" in done.err
    assert not data_dir.exists()


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_server_may_be_named_before_or_after_the_command(
    served: ServedInThread, cli: RunCli, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Both places work, and both win over the environment."""
    monkeypatch.setenv("CIDX_JOBS_SERVER", "http://127.0.0.1:1")
    option = ["--server", served.url]

    done = cli(*option, "list") if where == "before" else cli("list", *option)

    assert done.code == 0


def test_status_shows_a_job(cli: RunCli) -> None:
    """In words, or as the document."""
    assert f"job {JOB_ID} running" in cli("status", JOB_ID).out
    assert cli("status", JOB_ID, "--json").json["job_id"] == JOB_ID


@pytest.mark.parametrize(
    "name", ["@latest", JOB_ID[:13], JOB_ID.upper(), JOB_ID[:8], JOB_ID[-12:], "0001"]
)
def test_a_job_has_shorter_names(cli: RunCli, name: str) -> None:
    """The newest one, and the beginning of an id when it is the only one so."""
    assert cli("status", name, "--json").json["job_id"] == JOB_ID


def test_the_latest_is_ones_own(canned: CannedServer, cli: RunCli) -> None:
    """Also for an administrator, who would be given everybody's jobs."""
    cli("status", "@latest")

    assert dict(canned.requests[0].query) == {"user_id": "@me", "limit": "1"}


def test_a_beginning_that_fits_nothing_is_not_found(cli: RunCli) -> None:
    """As with a whole id that does not exist."""
    assert cli("status", "ffff0000").code == 7
    assert cli("status", "019a0000-0000-7000-8000-000000000009").code == 7
    assert cli("status", "nonsense").code == 7


def test_an_empty_id_is_no_job(cli: RunCli, canned: CannedServer) -> None:
    """As from a variable that was never set: said so, and nothing is asked of the server."""
    done = cli("status", " ")

    assert done.code == 7
    assert "Job not found" in done.err
    assert not canned.requests


def test_a_beginning_is_looked_for_in_its_time_only(canned: CannedServer, cli: RunCli) -> None:
    """An id begins with its time, so that the server has few jobs to list."""
    cli("status", "019a00000000")

    query = canned.requests[0].query
    assert query["created_after"] == "2025-10-20T05:03:06.360000Z"
    assert query["created_before"] == "2025-10-20T05:03:16.360000Z"


def test_list_is_a_table_or_the_document(cli: RunCli) -> None:
    """Filters go to the server; the document is the server's."""
    table = cli("list", "--status", "running", "--status", "queued", "--label", "a=b")
    document = cli("list", "--json").json

    assert table.out.splitlines()[0].split() == ["JOB", "STATUS", "DONE", "AGE", "PROJECT", "TYPE"]
    assert JOB_ID[-12:] in table.out
    assert document["jobs"][0]["job_id"] == JOB_ID


def test_filters_are_sent(canned: CannedServer, cli: RunCli) -> None:
    """As the API names them."""
    cli("list", "--status", "running", "--status", "queued", "-l", "a=b", "--type", "t", "-p", "p")

    assert dict(canned.requests[0].query) == {
        "status": "running,queued",
        "label": "a:b",
        "job_type": "t",
        "project_id": "p",
        "limit": "50",
    }


def test_submit_sends_what_was_wanted(canned: CannedServer, cli: RunCli) -> None:
    """Options that are JSON are sent as JSON, others as text."""
    done = cli(
        *("submit", "reindex", "-p", "project", "-o", "names=[1,2]", "-o", "text=hello world"),
        *("-o", "flag=true", "-l", "origin=ci", "--priority", "7", "--run-timeout", "60"),
        *("--start-at", "2030-01-31T18:00:00+01:00", "--hold", "--on-conflict", "reject"),
        *("--idempotency-key", "k", "--limit", "tenant:7=3", "--limit", "a=b=1"),
        *("--notify", "https://ci.example/done"),
    )

    assert done.code == 0
    assert done.out.startswith(JOB_ID)
    assert canned.requests[0].headers["Idempotency-Key"] == "k"
    assert canned.bodies[0] == {
        "job_type": "reindex",
        "project_id": "project",
        "options": {"names": [1, 2], "text": "hello world", "flag": True},
        "priority": 7,
        "timeout_seconds": 60.0,
        "start_at": "2030-01-31T17:00:00Z",
        "hold": True,
        "on_conflict": "reject",
        "labels": {"origin": "ci"},
        "limits": {"tenant:7": 3, "a=b": 1},
        "notify": "https://ci.example/done",
    }


@pytest.mark.parametrize(
    ("status", "members", "code"),
    [
        ("completed", {}, 0),
        ("failed", {"error": error_document()}, 5),
        ("failed", {"error": error_document("IDX-001", "indexing")}, 1),
        ("cancelled", {"error": error_document("CANCELLED", "system")}, 6),
    ],
    ids=["completed", "failed in git", "failed", "cancelled"],
)
@pytest.mark.parametrize("command", [["sync", "p"], ["watch", JOB_ID], ["wait", JOB_ID]])
def test_the_end_of_a_job_is_the_exit_code(
    canned: CannedServer,
    cli: RunCli,
    *,
    command: list[str],
    status: str,
    members: dict[str, Any],
    code: int,
) -> None:
    """Whoever follows a job to its end exits as it ended; stdout has the one document."""
    canned.job = job_document(status=status, **members)

    done = cli(*command, "--json")

    assert done.code == code
    assert done.json["status"] == status


def test_progress_goes_to_stderr_a_line_a_change(served: ServedInThread, cli: RunCli) -> None:
    """Where stderr is no terminal each change has its line, and stdout only the result."""
    canned = served.canned

    async def move() -> None:
        await canned.asked(2)
        canned.change(progress=42, phase="indexing")
        await canned.asked(3)
        canned.end()

    served.meanwhile(move())

    done = cli("sync", "p", "--url", "https://example.org/r.git")

    assert done.code == 0
    assert done.err.splitlines()[0] == "  0% running"
    assert done.out.startswith(f"job {JOB_ID} completed")


@pytest.mark.parametrize("cancels", [False, True])
def test_a_timeout_ends_the_watching(canned: CannedServer, cli: RunCli, *, cancels: bool) -> None:
    """Exit code 4; the job goes on, and it is said how to come back, unless it is cancelled."""
    option = ["--cancel-on-timeout"] if cancels else []

    done = cli("watch", JOB_ID, "--timeout", "0.1", "--json", *option)

    assert done.code == 4
    assert done.json["status"] == ("cancelled" if cancels else "running")
    assert (f"cidx-jobs watch {JOB_ID}" in done.err) is not cancels


def test_several_jobs_exit_with_the_largest_code(canned: CannedServer, cli: RunCli) -> None:
    """What becomes of one changes nothing for the others."""
    canned.end()
    missing = "019a0000-0000-7000-8000-000000000009"

    waited = cli("wait", JOB_ID, missing, "--json")
    cancelled = cli("cancel", missing, JOB_ID)

    assert waited.code == 7
    assert [job["job_id"] for job in waited.json["jobs"]] == [JOB_ID]
    assert waited.json["errors"][0]["code"] == "job_not_found"
    assert cancelled.code == 7
    assert JOB_ID in cancelled.out


def test_cancel_gives_the_reason(canned: CannedServer, cli: RunCli) -> None:
    """It is for who reads the job."""
    done = cli("cancel", JOB_ID, "--reason", "enough", "--json")

    assert done.code == 0
    assert done.json["status"] == "cancelled"
    assert canned.bodies == [{"reason": "enough"}]


def test_version_says_which(canned: CannedServer, cli: RunCli) -> None:
    """That of this program and that of the server, for people and for programs."""
    canned.version = "9.8\x1b[m"

    shown = cli("version").out.splitlines()
    told = cli("version", "--json").json

    assert shown[0] == f"cidx-jobs {__version__}"
    assert shown[1].startswith("server    9.8\\x1b[m at http")
    assert (told["version"], told["server"]["version"]) == (__version__, canned.version)
    assert __version__ in cli("--version").out


def test_a_chosen_server_has_to_say_its_version(
    cli: RunCli, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the exit code tells; where none was chosen there need not be one."""
    away = f"http://127.0.0.1:{unused_tcp_port}"

    chosen = cli("version", "--server", away, "--json")
    monkeypatch.delenv("CIDX_JOBS_SERVER")
    monkeypatch.setattr("cidx_jobs.cli.target.DEFAULT_SERVER", away)
    unchosen = cli("version", "--json")

    assert (chosen.code, unchosen.code) == (3, 0)
    assert chosen.json["version"] == unchosen.json["version"] == __version__
    assert (chosen.json["server"]["version"], unchosen.json["server"]) == (None, None)
    assert f"cannot reach {away}" in chosen.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(cli: RunCli, shell: str) -> None:
    """For each shell that click knows."""
    assert "_CIDX_JOBS_COMPLETE" in cli("completion", shell).out


def test_check_shows_the_settings(cli: RunCli, tmp_path: Any) -> None:
    """As they would be in force, from file and environment."""
    config = tmp_path / "c.toml"
    config.write_text("max_running_per_user = 3\n", encoding="utf-8")

    done = cli("check", "--config", str(config), "--json")

    assert done.code == 0
    assert done.json["settings"]["max_running_per_user"] == 3
    assert done.json["settings"]["resources"] == default_resources()
    assert "max_running_per_user" in cli("check").out


def test_check_warns_of_an_old_git(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that started here would not sync what is in the web; all else is right."""
    install_git(tmp_path, "git version 2.34.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    shown = cli("check")
    document = cli("check", "--json")

    assert (shown.code, document.code) == (0, 0)
    assert "git_too_old: git version 2.34.1 is installed" in shown.err
    assert [warning["code"] for warning in document.json["warnings"]] == ["git_too_old"]


def test_check_names_what_is_wrong(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown or wrong setting is an error that names it."""
    monkeypatch.setenv("CIDX_JOBS_MAX_RUNNING_TOTAL", "0")
    wrong = cli("check")
    monkeypatch.delenv("CIDX_JOBS_MAX_RUNNING_TOTAL")
    monkeypatch.setenv("CIDX_JOBS_NO_SUCH", "1")
    unknown = cli("check")

    assert wrong.code == unknown.code == 1
    assert "max_running_total" in wrong.err
    assert "no_such" in unknown.err


@pytest.mark.parametrize("command", ["check", "serve"])
def test_what_this_version_does_not_do_is_refused_before_a_start(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Also with the value that would be the default: nobody relies on what nothing does."""
    monkeypatch.setenv("CIDX_JOBS_UI", "true")

    done = cli(command, "--data-dir", str(tmp_path / "data"), "--json")

    assert done.code == 1
    assert "ui: this version has no such setting" in done.err
    assert done.json["error"]["code"] == "settings"
    assert not (tmp_path / "data").exists()


def test_what_nobody_foresaw_has_no_traceback(
    cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is said to be one, with the way to see more."""

    def broken(*_: object, **__: object) -> None:
        message = "planted"
        raise RuntimeError(message)

    monkeypatch.setattr("cidx_jobs.cli.actions.jobs.find_job", broken)

    done = cli("status", JOB_ID)

    assert done.code == 1
    assert "planted" in done.err
    assert "Traceback" not in done.err


def answer_once(canned: CannedServer, document: dict[str, Any]) -> None:
    """Let the server answer the next request with the document."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    canned.faults.append(answer)


@pytest.mark.parametrize(
    ("job_id", "until", "line"),
    [
        (
            JOB_ID,
            "2030-01-01T00:00:30Z",
            f"job {JOB_ID} runs alone first, until 2030-01-01T00:00:30Z at the latest",
        ),
        (None, None, "another user's job runs alone first"),
    ],
)
def test_the_queue_says_whom_all_others_wait_for(
    cli: RunCli, canned: CannedServer, job_id: str | None, until: str | None, line: str
) -> None:
    """After a crash a suspect runs alone; its id is shown to who may see it."""
    limits = {
        "max_running_per_user": 2, "max_running_total": 4, "max_queued_per_user": 9,
        "max_queued_total": 9, "resources": {}, "max_priority": 9, "user_max_priorities": {},
    }  # fmt: skip
    answer_once(
        canned,
        {
            "limits": limits,
            "running": {"user": 0, "total": 1, "resources": {}},
            "queued": 3,
            "jobs": [],
            "recovering": {"until": until, "suspects": 2, "job_id": job_id},
        },
    )

    assert cli("queue").out.splitlines()[-1] == f"recovering from a crash: {line}"


def test_what_the_doctor_mended_and_what_is_left_is_told(
    cli: RunCli, canned: CannedServer
) -> None:
    """Each finding that is left has what helps below it, and the exit code says that some is."""
    mended = {"kind": "runs", "message": "job x is running, but nothing runs it", "job_id": JOB_ID}
    left = {"kind": "log", "message": "job y has no row in the log", "job_id": JOB_ID}
    answer_once(
        canned,
        {
            "ok": False,
            "database_id": "d",
            "mended": [mended],
            "findings": [left],
            "advice": ["Restore a backup."],
        },
    )

    done = cli("doctor", "--fix")

    assert done.code == 1
    assert done.out.splitlines()[1:] == [
        "runs         mended: job x is running, but nothing runs it",
        "log          job y has no row in the log",
        "             Restore a backup.",
    ]


def test_a_note_of_the_doctor_is_no_finding(cli: RunCli, canned: CannedServer) -> None:
    """It is shown, and the exit code says that all is well."""
    note = {"kind": "recovering", "message": "job x runs alone first", "job_id": JOB_ID}
    answer_once(canned, {"ok": True, "database_id": "d", "findings": [], "notes": [note]})

    done = cli("doctor")

    assert done.code == 0
    assert done.out.splitlines()[1:] == [
        "everything fits together",
        "recovering   job x runs alone first",
    ]
