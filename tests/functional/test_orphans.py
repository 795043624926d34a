"""Children that outlived their server, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from cidx_jobs.handlers.process import orphans
from cidx_jobs.handlers.process.orphans import end_orphans
from cidx_jobs.model.listing import StoreIdentity

OURS = "0b7e7bb8-1d4c-4d62-9c05-4f1b7b2f4f10"
OTHERS = "11111111-1d4c-4d62-9c05-4f1b7b2f4f10"
LOCK = "fe00-4b1.2-0"
US = StoreIdentity(uuid=OURS, epoch=7, clock_seconds=0.0, lock=LOCK)

Start = Callable[[str | None], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a starter of sleeping processes with a mark; what is left of them is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(mark: str | None) -> "subprocess.Popen[bytes]":
        environment = {"PATH": os.environ["PATH"]} | ({"CIDXJ_RUN": mark} if mark else {})
        child = subprocess.Popen(["sleep", "100"], env=environment, start_new_session=True)
        started.append(child)
        return child

    yield begin
    for child in started:
        child.kill()
        child.wait()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


async def test_children_of_older_epochs_are_ended(start: Start) -> None:
    """Every child of an older start of the same database is killed, at once."""
    children = [start(f"{OURS}:{epoch}:{LOCK}") for epoch in (1, 6)]
    began = time.monotonic()

    assert await end_orphans(US) == 2

    assert time.monotonic() - began < 2
    assert [child.wait(5) for child in children] == [-9, -9]


@pytest.mark.parametrize(
    "mark",
    [
        *(None, OURS, f"{OTHERS}:1:{LOCK}", f"{OURS}1:1:{LOCK}"),
        *(f"{OURS}:{epoch}:{LOCK}" for epoch in ("7", "8", "x", "", "-1", "1:1")),
        # Another directory with the same database, and one that is told by its database alone.
        *(f"{OURS}:1{lock}" for lock in ("", ":", ":fe00-4b1.2-1", f":{LOCK}0", ":fe00-4b1x2-0")),
    ],
)
async def test_nobody_else_is_ended(start: Start, mark: str | None) -> None:
    """Children of this start, of other databases and of copies, and strangers live on."""
    child = start(mark)

    assert await end_orphans(US) == 0

    assert child.poll() is None


def test_a_process_that_took_over_the_number_lives_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the signal one may end, and another be given its number."""
    sent: list[int] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda _, number: sent.append(number))
    child = start(US.run_mark)
    born = orphans._start_time(child.pid)
    assert born is not None

    orphans._kill(child.pid, f"{born}0")
    to_another = list(sent)
    orphans._kill(child.pid, born)

    assert to_another == []
    assert sent == [signal.SIGKILL]
