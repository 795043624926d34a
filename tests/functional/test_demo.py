"""The demo, as a new user runs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture
def demo(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start the demo, with a temporary directory of its own; end it if it still runs."""
    demo = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield demo
    if demo.poll() is None:
        demo.kill()
        demo.communicate()


def left_behind(folder: Path) -> list[str]:
    """List what lies in the folder, and the processes that have to do with it."""
    found = [path.name for path in folder.iterdir()]
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if str(folder) in environment.get("CIDX_JOBS_DATA_DIR", ""):
            found.append(" ".join(process.info["cmdline"] or ["?"]))
    return found


def test_the_demo_syncs_twice_and_leaves_nothing_behind(
    demo: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """Progress, phases with times, a hit; then one changed file; then nothing is left."""
    out, err = demo.communicate(timeout=WAIT_SECONDS)

    assert demo.returncode == 0, err
    assert re.search(r"indexing +\d+\.\d\d s", out)
    assert "class JobSystem" in out
    assert re.search(r"^  1 files indexed", out, re.MULTILINE)
    assert "greeting.py:1: def greeting_of_the_demo() -> str:" in out
    assert re.search(r"^ *\d+%", err, re.MULTILINE)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_demo_can_be_interrupted(
    demo: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The server is stopped and the directory removed all the same."""
    assert demo.stdout is not None
    while "First sync" not in demo.stdout.readline():
        assert demo.poll() is None

    demo.send_signal(number)
    demo.communicate(timeout=WAIT_SECONDS)

    assert demo.returncode == code
    assert left_behind(tmp_path) == []
