"""Which calls a sweep finds in what a tracer said, and which of them it takes."""

from pathlib import Path

import pytest

from torture.points import FILES, Point, count_calls, list_points

DATA = Path("/d")
LINES = (
    '7  openat(AT_FDCWD</elsewhere>, "/d/jobs.db-wal", O_RDWR) = 3</d/jobs.db-wal>',
    '7  pwrite64(3</d/jobs.db-wal>, "x", 1, 0) = 1',
    "7  fdatasync(3</d/jobs.db-wal>) = 0",
    '8  pwrite64(4</d/jobs.db-wal>, "x", 1, 0 <unfinished ...>',
    "8  <... pwrite64 resumed>) = 1",
    '8  pwrite64(4</d/jobs.db-wal>, "x", 1, 0) = 1',
    '8  pwrite64(4</d/jobs.db-wal>, "x", 1, 0) = 1',
    '6  write(2</d/elsewhere>, "jobs.db-wal", 11) = 11',
    '6  rename("/d/server.json.6", "/d/server.json") = 0',
    '6  openat(AT_FDCWD</elsewhere>, "/d/jobs.draft", O_WRONLY) = 5</d/jobs.draft>',
)


def test_calls_are_counted_by_file_family_and_thread() -> None:
    """A call that is told in two parts is one; a file elsewhere is none of ours."""
    counts = count_calls(LINES, DATA, pid=6)

    assert counts == {
        ("log", "open"): {"7": 1},
        ("log", "write"): {"7": 1, "8": 3},
        ("log", "flush"): {"7": 1},
        ("rest", "rename"): {"6": 1},
        ("mark", "open"): {"6": 1},
    }


def test_every_second_call_is_taken_and_the_seeds_share_them() -> None:
    """What one seed leaves out for an effect, the next takes; the only call is always taken."""
    counts = {("log", "write"): {"7": 1, "8": 5}, ("log", "flush"): {"7": 1}}

    taken = [{str(point) for point in list_points("first", counts, seed)} for seed in (0, 1)]

    assert taken[0] >= {f"first:log:write:EIO:{number}" for number in (2, 4)}
    assert taken[1] >= {f"first:log:write:EIO:{number}" for number in (1, 3, 5)}
    both = {f"first:log:flush:{effect}:1" for effect in ("EIO", "ENOSPC", "KILL")}
    assert taken[0] & taken[1] == both
    assert len(taken[0] | taken[1]) == 3 * (5 + 1)


@pytest.mark.parametrize("text", ["first:log", "first:log:flush:EIO:0", "a:b:c:d:1"])
def test_a_point_is_read_back_from_its_text(text: str) -> None:
    """And what is none is refused."""
    point = Point("again", "mark", "write", "KILL", 2)

    assert Point.parse(str(point)) == point
    with pytest.raises(ValueError, match=r"no point|values to unpack"):
        Point.parse(text)


def test_the_tracer_looks_at_the_files_of_a_kind_only() -> None:
    """The server's process id is put in by the shell that becomes the server."""
    command = Point("first", "rest", "write", "EIO", 1).tracer(DATA, Path("/tap"))

    assert '-P "$0" -P "$0/owner.lock"' in command[2]
    assert '-P "$0/server.json.$$"' in command[2]
    assert command[3] == str(DATA)
    assert {"rest", "log"} <= FILES.keys()
