"""What a process of the command loads before it answers, and what it leaves for later."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30.0

# Whole modules, or packages with all that is in them.
OF_A_SERVER = (
    "cidx_jobs.client",
    "cidx_jobs.handlers.notice_sender",
    "jsonschema",
    "prometheus_client",
    "psutil",
)
OF_A_CLIENT = (
    "aiosqlite",
    "cidx_jobs.engine",
    "cidx_jobs.handlers",
    "cidx_jobs.interfaces",
    "cidx_jobs.settings",
    "cidx_jobs.store",
    "cidx_jobs.system",
    "cidx_jobs.web",
    "psutil",
    "pygments",
    "rich.console",
    "sqlite3",
    "structlog",
    "uvloop",
)


def environment(**more: str) -> dict[str, str]:
    """Give an environment without anybody's settings of ours, with the package in reach.

    What measures the coverage would load modules of its own.
    """
    others = ("CIDX_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def imported(lines: Sequence[str]) -> set[str]:
    """Give the modules that ``-X importtime`` tells of."""
    rows = [line.rsplit("|", 1) for line in lines if line.startswith("import time:")]
    return {row[-1].strip() for row in rows}


def among(modules: set[str], names: Sequence[str]) -> set[str]:
    """Give the modules that are one of the names, or within it."""
    return {one for one in modules if any(f"{one}.".startswith(f"{name}.") for name in names)}


def test_a_server_loads_nothing_that_may_never_be_asked_for(tmp_path: Path) -> None:
    """What only some servers use, the libraries of extras foremost, waits for its first use."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "cidx_jobs", "serve"],
        env=environment(
            CIDX_JOBS_DATA_DIR=str(tmp_path / "data"),
            CIDX_JOBS_UNIX_SOCKET=str(tmp_path / "s"),
            CIDX_JOBS_LOG_FORMAT="json",
        ),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while '"server_ready"' not in "".join(lines[-1:]):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        process.terminate()
        process.stderr.read()
        process.wait(WAIT_SECONDS)

    assert "cidx_jobs.web.server" in imported(lines)
    assert not among(imported(lines), OF_A_SERVER)


def test_a_command_that_asks_loads_no_server(tmp_path: Path) -> None:
    """What speaks to a server needs the client, and nothing that a server is made of."""
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "cidx_jobs"),
            *("--server", f"unix:{tmp_path}/none", "status", "@latest"),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
    )

    found = imported(done.stderr.splitlines())
    assert "cidx_jobs.client.transport" in found
    assert not among(found, OF_A_CLIENT)


def output_of(code: str) -> str:
    """Give what a process that runs the code prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_SECONDS,
    )
    return done.stdout


def test_few_classes_of_a_server_are_made_of_source_text() -> None:
    """Each class of attrs is compiled when its module is loaded: half a millisecond of a start."""
    code = (
        "import sys; made = []; "
        "sys.addaudithook(lambda e, a: made.append(a[1]) if e == 'compile' else None); "
        "import cidx_jobs.cli.actions.serve; print(*map(str, made), sep='\\n')"
    )

    sources = output_of(code).splitlines()

    ours = [source for source in sources if "methods cidx_jobs." in source]
    assert 0 < len(ours) <= 40
