"""The log's file and the access log: where lines go, and which there are."""

import json
import logging
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import Settings, setup_logging
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.observe.logs import reopen_log_files
from cidx_jobs.runtime.log import LogEvent, get_logger
from tests.functional.test_cli_server import clean_environment
from tests.functional.web import AioClient, open_house

WAIT_SECONDS = 20.0


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Return where the log goes."""
    return tmp_path / "jobs.log"


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_file_takes_the_log_and_is_opened_anew(log_file: Path) -> None:
    """What was moved away keeps what it has; the next lines go to a file of the old name."""
    log_file.write_text('{"event": "before"}\n')
    setup_logging(Settings(log_file=log_file))
    log = get_logger("test")

    log.info("first", name="\ud800")
    moved = log_file.rename(log_file.with_suffix(".1"))
    log.info("second")
    reopen_log_files()
    log.info("third")

    assert [line["event"] for line in lines_of(moved)] == ["before", "first", "second"]
    assert [line["event"] for line in lines_of(log_file)] == ["third"]
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_refuses_the_start(log_file: Path) -> None:
    """It is named."""
    with pytest.raises(SettingsError, match="log_file"):
        setup_logging(Settings(log_file=log_file / "none"))


def test_a_file_that_cannot_be_opened_anew_is_written_on(log_file: Path) -> None:
    """The old one says why."""
    setup_logging(Settings(log_file=log_file))
    moved = log_file.rename(log_file.with_suffix(".1"))
    log_file.mkdir()

    reopen_log_files()

    assert [line["event"] for line in lines_of(moved)] == ["log_file_not_reopened"]


@contextmanager
def served(tmp_path: Path, log_file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server that logs to a file."""
    env = clean_environment() | {
        "CIDX_JOBS_DATA_DIR": str(tmp_path / "data"),
        "CIDX_JOBS_LOG_FILE": str(log_file),
        "CIDX_JOBS_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cidx_jobs", "serve"], env=env, stderr=subprocess.PIPE
    )
    try:
        _wait_for(log_file, "server_ready", process)
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for(path: Path, event: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(int(WAIT_SECONDS / 0.05)):
        if path.exists() and event in path.read_text("utf-8"):
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    message = f"no {event} in {path}"
    raise AssertionError(message)


@pytest.mark.slow
def test_a_server_opens_its_log_anew_at_a_signal(tmp_path: Path, log_file: Path) -> None:
    """SIGUSR1, as whatever rotates logs sends it; nothing of the log comes on stderr."""
    with served(tmp_path, log_file) as process:
        log_file.rename(log_file.with_suffix(".1"))
        process.send_signal(signal.SIGUSR1)
        for _ in range(int(WAIT_SECONDS / 0.05)):
            if log_file.exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.terminate()
        _, told = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 0
    assert [line["event"] for line in lines_of(log_file)][-1] == "server_stopped"
    assert told == b""


async def test_each_answer_is_a_line_where_that_is_wanted(
    aiohttp_client: AioClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Method, path, status, time and address; never what is behind the question mark."""
    caplog.set_level(logging.INFO, "cidx_jobs")
    async with open_house(aiohttp_client, tmp_path, access_log=True) as house:
        await house.ask("GET", "/api/jobs", params={"project_id": "secret"})
        await house.ask("GET", "/api/nothing")

    events = [one.msg for one in caplog.records if isinstance(one.msg, LogEvent)]
    lines = [one.members() for one in events if one.name == "request_answered"]
    assert [(one["method"], one["path"], one["status"]) for one in lines] == [
        ("GET", "/api/jobs", 200),
        ("GET", "/api/nothing", 404),
    ]
    assert all(one["seconds"] >= 0 and one["address"] == "127.0.0.1" for one in lines)


async def test_without_the_setting_answers_are_no_lines(
    aiohttp_client: AioClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each would cost half of what an answer does."""
    caplog.set_level(logging.INFO, "cidx_jobs")
    async with open_house(aiohttp_client, tmp_path) as house:
        await house.ask("GET", "/api/jobs")

    assert "request_answered" not in caplog.text
