"""What the README and the documentation show in Python passes a strict type checker."""

import os
import re
import subprocess
import sys
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


@pytest.mark.slow
def test_every_block_passes_mypy(tmp_path: Path) -> None:
    """Strictly, with the types that are public and no others."""
    config = tmp_path / "mypy.ini"
    config.write_text(CONFIG, encoding="utf-8")
    told = []
    for number, modules in enumerate(in_runs(PAGES)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        found = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
                "--follow-imports=silent",
                *("--config-file", str(config), "--cache-dir", str(ROOT / ".mypy_cache" / "docs")),
                *sorted(f"{name}.py" for name in modules),
            ],
            cwd=folder,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        told += [found.stdout, found.stderr]

    assert "".join(told) == ""
