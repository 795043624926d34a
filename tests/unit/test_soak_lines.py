"""How the soak judges its lines: the last third is held against the one before."""

from typing import Any

import attrs
import pytest

from torture.soak import Size, find_growth

FLAT = Size(
    jobs=0,
    objects=80_000,
    tasks=18,
    descriptors=24,
    memory_bytes=80_000_000,
    database_bytes=2_000_000,
    log_bytes=16_000_000,
    directory_bytes=30_000_000,
    submit_seconds=0.01,
    end_seconds=0.03,
    work_seconds=0.0008,
    jobs_a_second=900.0,
)


def run(**last: Any) -> list[str]:
    """Give what is said of nine looks, of which the last three are as told."""
    sizes = [attrs.evolve(FLAT, jobs=number * 10_000) for number in range(9)]
    return list(find_growth([*sizes[:6], *(attrs.evolve(size, **last) for size in sizes[6:])]))


def test_flat_lines_are_no_fault() -> None:
    """Nothing is said of what stays as it was, or becomes less."""
    assert run() == []
    assert run(objects=70_000, memory_bytes=60_000_000, submit_seconds=0.001) == []


@pytest.mark.parametrize(
    ("last", "word"),
    [
        ({"objects": 90_000}, "objects"),
        ({"tasks": 19}, "tasks"),
        ({"descriptors": 25}, "descriptors"),
        ({"memory_bytes": 100_000_000}, "memory"),
        ({"database_bytes": 5_000_000}, "database_bytes"),
        ({"log_bytes": 70_000_000}, "write-ahead log"),
        ({"directory_bytes": 40_000_000}, "directory_bytes"),
        ({"submit_seconds": 0.03}, "a submit took"),
        ({"work_seconds": 0.0012}, "processor time"),
    ],
)
def test_each_line_that_rises_is_told(last: dict[str, float], word: str) -> None:
    """By its name, with what it was and what it became."""
    (said,) = run(**last)

    assert word in said
