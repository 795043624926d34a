"""The recorder of writes and flushes, on a small program whose files are known."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from torture.recorder import check_recorder, read_recording, recorder
from torture.skipping import SkippedError, must_not_skip
from torture.volatile_disk import VolatileDisk

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sqlite3, subprocess, sys, threading
from pathlib import Path

place = Path(sys.argv[1])
place.mkdir()
database = sqlite3.connect(place / "a.db", isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE t (x)")
database.execute("INSERT INTO t VALUES (randomblob(20000))")
draft = place / "draft"
with draft.open("w") as file:
    file.write("text")
    file.flush()
    os.fsync(file.fileno())
draft.rename(place / "file")
with (place / "log").open("a") as file:
    file.write("one")
with (place / "log").open("a") as file:
    file.write("two")
    file.truncate(5)
thread = threading.Thread(target=(place / "of-a-thread").write_bytes, args=(b"x" * 9999,))
thread.start()
thread.join()
subprocess.run(["sh", "-c", "echo child > of-a-child; rm log"], cwd=place, check=True)
(place / "deeper").mkdir()
(place / "deeper" / "file").write_text("not looked at")
sys.exit(7)
"""

KILLED = """
import contextlib, os, signal, sys
from torture.recorder import MACHINES, Recorder, platform

class KillingRecorder(Recorder):
    "Kills the program in its last write, before that is made or just when it was."

    def is_last(self, pid):
        _, make_record = self._under_way.get(pid, (0, lambda _: ()))
        with contextlib.suppress(OSError):
            return b"last" in make_record(sys.maxsize)

    def _begin(self, pid):
        is_wanted = super()._begin(pid)
        if sys.argv[2] == "before" and self.is_last(pid):
            os.kill(pid, signal.SIGKILL)
        return is_wanted

    def _end(self, pid):
        if self.is_last(pid):
            os.kill(pid, signal.SIGKILL)
        else:
            super()._end(pid)

place, _, calls = sys.argv[1:]
program = (
    "import os, sys; file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
    "os.pwrite(file, b'first', 0); os.pwrite(file, b'last', 5); os.pwrite(file, b'never', 9)"
)
with open(calls, "ab") as out:
    recorder = KillingRecorder(MACHINES[platform.machine()], place, out)
    sys.exit(recorder.run([sys.executable, "-c", program, place + "/file"]))
"""

pytestmark = pytest.mark.slow


def _check_recorder() -> None:
    try:
        check_recorder()
    except SkippedError as error:
        if must_not_skip():
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.mark.parametrize(("when", "left"), [("before", b"first"), ("after", b"firstlast")])
def test_a_write_in_a_kill_is_recorded_if_it_was_made(
    tmp_path: Path, when: str, left: bytes
) -> None:
    """Nobody is told how such a call ended: the file says it."""
    _check_recorder()
    place, calls = tmp_path / "place", tmp_path / "calls"
    place.mkdir()

    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(place), when, str(calls)], cwd=ROOT, check=False
    ).returncode
    disk = VolatileDisk()
    for record in read_recording(calls):
        disk.apply(record)

    assert code == 128 + signal.SIGKILL
    assert (place / "file").read_bytes() == left
    assert {name: bytes(file.newest) for name, file in disk.named.items()} == {"file": left}


def test_what_is_recorded_makes_the_files_as_they_are(tmp_path: Path) -> None:
    """Of all threads and children; the program's exit code is the recorder's."""
    _check_recorder()
    place = tmp_path / "place"
    command = [*recorder(tmp_path / "calls", place), sys.executable, "-c", PROGRAM, str(place)]

    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    records = list(read_recording(tmp_path / "calls"))
    disk = VolatileDisk()
    for record in records:
        disk.apply(record)

    assert code == 7
    there = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    assert {name: bytes(file.newest) for name, file in disk.named.items()} == there
    assert there.keys() >= {"a.db", "file", "of-a-thread", "of-a-child"}
    kinds = [kind for kind, *_ in records]
    assert kinds[0] == "make directory"
    assert {"flush", "flush names", "rename", "resize", "drop"} <= set(kinds)
    assert all(begun <= ended for _, begun, ended, *_ in records)
