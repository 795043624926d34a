"""Run every question, or those that are named, and write bench/results/latest.json."""

import argparse
import importlib.metadata
import json
import os
import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import DEFAULT_ROUNDS, ROUNDS_VARIABLE, progress, table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"
NOT_TOPICS = {"harness", "probe"}
ONLY_BY_NAME = {"peers"}
"""What needs the package index."""
MEASURED_WITH = ("cidx-jobs", "aiohttp", "aiosqlite", "attrs", "msgspec", "uvloop")


def topics() -> list[str]:
    """List the questions: the runnable files of this folder."""
    names = (path.stem for path in HERE.glob("*.py"))
    return sorted(name for name in names if not name.startswith("_") and name not in NOT_TOPICS)


def measure(topic: str, rounds: int) -> tuple[list[dict[str, Any]], bool]:
    """Run one question in a process of its own; give its figures and whether it ended well."""
    progress(f"== {topic}")
    with subprocess.Popen(
        [sys.executable, "-m", f"bench.{topic}"],
        cwd=HERE.parent,
        env={**os.environ, ROUNDS_VARIABLE: str(rounds)},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        figures = []
        for line in child.stdout:
            if line.startswith("{"):
                print(line, end="", flush=True)
                figures.append(json.loads(line))
    return figures, child.returncode == 0


def versions() -> dict[str, str]:
    """Name what was measured with what."""
    found = {
        "python": f"{platform.python_version()} ({', '.join(platform.python_build())}, "
        f"{platform.python_compiler()})",
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in MEASURED_WITH:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def main() -> int:
    """Measure, write the results, print the table; give 1 if a question broke off."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="default: all but peers")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="default: %(default)s")
    wanted = parser.parse_args()
    if unknown := set(wanted.topics) - set(topics()):
        parser.error(f"no such topic: {', '.join(sorted(unknown))}; there are: {topics()}")

    load_before = os.getloadavg()
    figures: list[dict[str, Any]] = []
    broken: list[str] = []
    for topic in wanted.topics or [name for name in topics() if name not in ONLY_BY_NAME]:
        measured, well = measure(topic, wanted.rounds)
        figures += measured
        broken += [] if well else [topic]
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "settings": {"rounds": wanted.rounds, "cpus": os.cpu_count()},
        "load": {"before": load_before, "after": os.getloadavg()},
        "broken": broken,
        "figures": figures,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    for topic in broken:
        progress(f"{topic} broke off")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
