"""Where a sweep puts its faults: which call, on which file, the how manieth, and what happens."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs

CALLS = {
    "write": "write,writev,pwrite64,pwritev,pwritev2",
    "flush": "fsync,fdatasync",
    "truncate": "ftruncate,?fallocate",
    "open": "?open,openat",
    "rename": "?rename,?renameat,renameat2",
    "unlink": "?unlink,unlinkat",
}
"""The families of system calls, as the tracer takes them."""

FILES = {
    "database": ("jobs.db",),
    "log": ("jobs.db-wal",),
    "shared": ("jobs.db-shm",),
    "mark": ("jobs.mark", "jobs.draft"),
    "rest": (
        *(".", "owner.lock", "jobs.db-journal"),
        *("server.json", "server.json.$$", "admin.token", "admin.token.$$"),
    ),
}
"""The files of a data directory; ``$$`` stands for the server's process id."""

EFFECTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "KILL": "signal=KILL"}
"""What happens at a call, as the tracer takes it."""

_CALL = re.compile(r"(?P<thread>[0-9]+) +(?P<name>[a-z0-9_]+)\(")
_FAMILIES = {
    name.removeprefix("?"): family for family, names in CALLS.items() for name in names.split(",")
}


@attrs.frozen
class Point:
    """One call of one server's life, and what happens there; its text can be read back."""

    life: str
    files: str
    call: str
    effect: str
    number: int
    """Counted by each thread for itself, from 1."""

    def __str__(self) -> str:
        """Give what `parse` takes."""
        return f"{self.life}:{self.files}:{self.call}:{self.effect}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gave.

        Raises:
            ValueError: it is no point.
        """
        life, files, call, effect, number = text.split(":")
        if files not in FILES or call not in CALLS or effect not in EFFECTS or int(number) < 1:
            message = f"{text} is no point"
            raise ValueError(message)
        return cls(life, files, call, effect, int(number))

    def tracer(self, data_dir: Path, tap: Path) -> Sequence[str]:
        """Give the command line that goes before a server's."""
        calls = CALLS[self.call]
        inject = f"inject={calls}:{EFFECTS[self.effect]}:when={self.number}"
        return _tracer(data_dir, tap, FILES[self.files], "-e", f"trace={calls}", "-e", inject)


def counting_tracer(data_dir: Path, tap: Path) -> Sequence[str]:
    """Give the command line of a tracer that only tells of the calls, for `count_calls`."""
    every = [name for names in FILES.values() for name in names]
    calls = ",".join(CALLS.values())
    return _tracer(data_dir, tap, every, "-y", "-e", f"trace={calls}")


Counts = Mapping[tuple[str, str], Mapping[str, int]]
"""How many calls each thread made, by file and family."""


def count_calls(lines: Sequence[str], data_dir: Path, pid: int) -> Counts:
    """Count the calls in what a counting tracer said of the server with this process id."""
    paths = {
        files: [str(data_dir / name.replace("$$", str(pid))) for name in names]
        for files, names in FILES.items()
    }
    counts: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        call = _CALL.match(line)
        if call is None:
            continue
        for files, own in paths.items():
            if any(f'"{path}"' in line or f"<{path}>" in line for path in own):
                kind = files, _FAMILIES[call["name"]]
                counts.setdefault(kind, Counter())[call["thread"]] += 1
    return counts


def list_points(life: str, counts: Counts, seed: int) -> Iterator[Point]:
    """Give every second call, and the only one where there is one, with each effect.

    Headers and pages of the write-ahead log take turns, so that every second call would be of one
    kind only: effects take turns too, and with the next seed each has the other half.
    """
    for (files, call), threads in sorted(counts.items()):
        most = max(threads.values())
        for turn, effect in enumerate(EFFECTS, seed):
            for number in range(2 - turn % 2, most + 1, 2) if most > 1 else (1,):
                yield Point(life, files, call, effect, number)


def _tracer(data_dir: Path, tap: Path, names: Sequence[str], *more: str) -> Sequence[str]:
    # The shell becomes the tracer, and that (-D) the server: one process id, which it knows. No
    # --seccomp-bpf, which would leave a server that is let go of with calls that fail.
    only = " ".join(f'-P "$0/{name}"' for name in names).replace('/."', '"')
    quiet = ("-D", "-f", "-qqq", "-o", str(tap), "-e", "signal=none")
    return ("sh", "-c", f'exec strace {only} "$@"', str(data_dir), *quiet, *more)
