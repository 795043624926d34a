"""What the README and the documentation show in Python passes two strict type checkers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w.]+)\.py\n")
# What recipes send to: where it is not installed, the rest is checked all the same.
CONFIG = "[mypy]\n[mypy-opentelemetry.*,sentry_sdk.*]\nignore_missing_imports = True\n"

PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in page.parts and BLOCK.search(page.read_text("utf-8"))
]


def modules_of(page: Path) -> dict[str, str]:
    """Give the modules that a page shows, by name: a block that names its file is that file."""
    modules: dict[str, str] = {}
    for number, text in enumerate(BLOCK.findall(page.read_text("utf-8"))):
        named = FILE_NAME.match(text)
        place = re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())
        modules[named[1] if named else f"{place}_{number}"] = text
    return modules


def in_runs(pages: list[Path]) -> list[dict[str, str]]:
    """Give all modules, in as few runs of the checker as their names allow."""
    runs: list[dict[str, str]] = []
    for modules in map(modules_of, pages):
        for known in runs:
            if not known.keys() & modules.keys():
                known.update(modules)
                break
        else:
            runs.append(modules)
    return runs


PYRIGHT = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT)],
    "venvPath": str(Path(sys.prefix).parent),
    "venv": Path(sys.prefix).name,
}
"""Pyright's own strict rules; basedpyright brings the program that runs it in its wheels."""


def write_down(pages: list[Path], folder: Path) -> Iterator[Path]:
    """Yield a folder for each run, with its modules in it."""
    for number, modules in enumerate(in_runs(pages)):
        own = folder / str(number)
        own.mkdir()
        for name, text in modules.items():
            (own / f"{name}.py").write_text(text, encoding="utf-8")
        yield own


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_block_passes_pyright(tmp_path: Path) -> None:
    """Strictly, as an editor shows it to whoever copies a block."""
    told = []
    for folder in write_down(PAGES, tmp_path):
        (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
        found = subprocess.run(
            [sys.executable, "-m", "basedpyright", "--project", str(folder)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        told += [found.stdout] if found.returncode else []

    assert "".join(told) == ""


@pytest.mark.slow
def test_every_block_passes_mypy(tmp_path: Path) -> None:
    """Strictly, with the types that are public and no others."""
    config = tmp_path / "mypy.ini"
    config.write_text(CONFIG, encoding="utf-8")
    told = []
    for folder in write_down(PAGES, tmp_path):
        found = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
                "--follow-imports=silent",
                *("--config-file", str(config), "--cache-dir", str(ROOT / ".mypy_cache" / "docs")),
                *sorted(file.name for file in folder.glob("*.py")),
            ],
            cwd=folder,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        told += [found.stdout, found.stderr]

    assert "".join(told) == ""
