"""The page on threats names tests that there are, and a test for each shield."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threats.md").read_text("utf-8")

_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_SHIELDS = re.compile(
    r"^\| .* \| what holds \| proved by \|\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE
)


def names_of_tests(source: str) -> set[str]:
    """Return the names of the tests in a module's *source*."""
    functions = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {each.name for each in functions if each.name.startswith("test_")}


def missing(page: str) -> list[str]:
    """Return the tests that a page names and no file has."""
    named = sorted(set(_NAMED.findall(page)))
    files = {path: ROOT / path for path, _ in named}
    there = {
        path: names_of_tests(file.read_text("utf-8")) if file.is_file() else set[str]()
        for path, file in files.items()
    }
    return [f"{path}::{name}" for path, name in named if name not in there[path]]


def unproved(page: str) -> list[str]:
    """Return the rows of a page's tables of shields that name no test in their last cell."""
    rows = [row for table in _SHIELDS.findall(page) for row in table.splitlines()]
    return [row for row in rows if not _NAMED.search(row.rstrip("| ").rpartition(" | ")[2])]


def test_every_test_that_is_named_is_there() -> None:
    """Whoever renames or deletes a test sees that a shield was said to be proved by it."""
    assert missing(PAGE) == []


def test_every_shield_names_a_test() -> None:
    """A row without one would be a claim; each attacker has a table."""
    assert len(_SHIELDS.findall(PAGE)) == PAGE.count("\n## The ") > 0
    assert unproved(PAGE) == []


@pytest.mark.parametrize("named", ["tests/unit/test_threats.py::test_x", "tests/gone.py::test_x"])
def test_what_is_not_there_is_seen(named: str) -> None:
    """A wrong name and a wrong file are found; so is a row that proves nothing."""
    table = "| they try | what holds | proved by |\n|---|---|---|\n"

    assert missing(f"a shield, see `{named}`") == [named]
    assert unproved(f"{table}| a | b | nothing |\n| c | d | `{named}` |\n") == [
        "| a | b | nothing |"
    ]
