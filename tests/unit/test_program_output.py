"""How the output of an index program is understood."""

from typing import Any

import pytest

from cidx_jobs.store.index.program_output import MAX_WARNINGS, ProgramOutput


def hear(*lines: str) -> ProgramOutput:
    """Return the output of a program that wrote these lines."""
    output = ProgramOutput()
    for line in lines:
        output.hear(line)
    return output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("17/300", (17, 300)),
        ("[17/300] src/a.py", (17, 300)),
        ("indexed 17 of 300 files", (17, 300)),
        ("3/3 files", (3, 3)),
        ('{"current": 17, "total": 300, "info": "src/a.py"}', (17, 300)),
        ("[retry 2/3] connection reset", None),
        ("(attempt 1/5) 503", None),
        ("Retrying [2/3]", None),
        ("src/1/2.py", None),
        ("on 12/25/2026", None),
        ("7/3", None),
        ("0/0", None),
        ('{"current": true, "total": 3}', None),
        ('{"current": 4, "total": 3}', None),
        ('{"current": 1', None),
        ("[" * 100_000, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_counts_are_read(line: str, told: tuple[int, int] | None) -> None:
    """Counts of files are, and what only looks like one is not."""
    progress = hear(line).progress
    found = (progress["done"], progress["total"]) if "done" in progress else None
    assert found == told


def test_the_newest_line_that_tells_progress_counts() -> None:
    """What the program says besides does not make it forgotten."""
    progress = hear("1/4", "2/4", "[retry 1/3] busy", "still there").progress

    assert progress == {
        "message": "still there", "done": 2, "total": 4, "unit": "files", "percent": 50.0,
    }  # fmt: skip


def test_what_a_program_says_of_the_moment_is_shown() -> None:
    """The ``info`` of its JSON, made harmless."""
    assert hear('{"current": 1, "total": 2, "info": "a\\u001b.py"}').progress["message"] == "a?.py"
    assert hear("40 %").progress["percent"] == 40.0


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("WARNING: no words", "no words"),
        ("[warn] no words", "no words"),
        ("2026 app WARN - no words", "no words"),
        ("warnings are off", None),
        ("warning:", None),
        ("a file named warning.txt", None),
    ],
)
def test_warnings_are_read(line: str, warning: str | None) -> None:
    """From the beginning of a line."""
    assert hear(line).warnings == (() if warning is None else (warning,))


def test_warnings_are_bounded() -> None:
    """A program may warn of each of its files."""
    output = hear(*[f"warning: {number}" for number in range(100)])
    assert len(output.warnings) == MAX_WARNINGS


def test_nothing_said_is_no_progress() -> None:
    """Only that it runs."""
    told: dict[str, Any] = ProgramOutput().progress
    assert told == {"message": "the index program runs"}
