"""The twelve tasks of the comparison with others, each run as a program of its own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.test_cli_server import clean_environment
from tests.unit.test_house import code_lines

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "examples" / "tasks"
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\| \**(\d+)\** \|", re.MULTILINE)
PRINTED = {
    "durable_job": "{'sum': 3}",
    "retry_with_back_off": "{'attempt': 3}",
    "progress_on_a_page": "50",
    "cancel_while_it_runs": "cancelled",
    "schedule_in_a_time_zone": "7",
    "one_at_a_time": "2",
    "so_many_per_key": "{'red': 2, 'blue': 2}",
    "fan_out_and_join": "{'letters': 13}",
    "resume_after_a_kill": "0\n1\n2\n3\n4",
    "two_processes": "{'printed': True}",
    "typed_options": "{'width': 640}\n/options/width\n/options/depth",
    "tested_without_a_server": "queued\n{'pages': 3}",
}
"""What each program says when it keeps its promise."""

pytestmark = pytest.mark.slow


def count_lines(program: Path) -> int:
    """Count as the page does: code lines without imports."""
    source = program.read_text("utf-8")
    imports = [
        node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    lines = sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in imports)
    return code_lines(source) - lines


def test_each_task_is_tried_and_counted() -> None:
    """A program that is added is run here, and stands in the page's table with its lines."""
    page = (ROOT / "docs" / "explanation" / "twelve-tasks.md").read_text("utf-8")

    told = {name: int(lines) for name, lines in ROW.findall(page)}

    assert told == {program.stem: count_lines(program) for program in TASKS.glob("*.py")}
    assert set(told) == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_a_task(name: str, tmp_path: Path) -> None:
    """In an empty folder it ends well and prints what its promise says."""
    program = TASKS / f"{name}.py"

    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout.strip(), done.returncode) == (PRINTED[name], 0), done.stderr
