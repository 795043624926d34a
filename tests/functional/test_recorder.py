"""The recorder of writes and flushes, on a small program whose files are known."""

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

pytestmark = pytest.mark.slow


def test_what_is_recorded_makes_the_files_as_they_are(tmp_path: Path) -> None:
    """Of all threads and children; the program's exit code is the recorder's."""
    try:
        check_recorder()
    except SkippedError as error:
        if must_not_skip():
            pytest.fail(str(error))
        pytest.skip(str(error))
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
