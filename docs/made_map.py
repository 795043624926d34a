"""Makes the map of the code from its rooms, its modules and their first lines.

Run ``python docs/made_map.py`` after a change of either; a test compares the page.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "cidx_jobs"
# The reader's order: from the doors inwards, as docs/explanation/architecture.md draws the layers.
PACKAGES = (
    "cli",
    "client",
    "web",
    "assembly",
    "engine",
    "store",
    "handlers",
    "observe",
    "interfaces",
    "wire",
    "model",
    "settings",
    "testing",
)


def map_page() -> str:
    """Return the page that lists every room, and every module in it, by its first line."""
    lines = [
        "# Map of the code",
        "",
        "Each folder of `cidx_jobs` is a room that answers one question.",
        "Each module in it is one concept; the lines are the first lines of their docstrings.",
        "[Architecture](architecture.md) says how the rooms depend on each other.",
        "The [glossary](glossary.md) says what our own words mean.",
        "",
        "## cidx_jobs",
        "",
        *_modules(PACKAGE),
    ]
    for package in _ordered():
        lines += ["", f"## {package.name}", "", first_line(package / "__init__.py")]
        for room in [package, *_rooms(package)]:
            if room != package:
                name = room.relative_to(PACKAGE).as_posix()
                lines += ["", f"### {name}", "", first_line(room / "__init__.py")]
            lines += ["", *_modules(room)]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def first_line(module: Path) -> str:
    """Return the first line of the docstring of *module*."""
    docstring = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


PAGES: dict[str, Callable[[], str]] = {"explanation/map.md": map_page}


def main() -> None:
    """Write the page."""
    for path, make in PAGES.items():
        (DOCS / path).write_text(make(), "utf-8")


def _ordered() -> Iterator[Path]:
    found = {path.parent.name: path.parent for path in PACKAGE.glob("*/__init__.py")}
    yield from (found.pop(name) for name in PACKAGES if name in found)
    yield from (found[name] for name in sorted(found))


def _rooms(package: Path) -> list[Path]:
    return sorted(path.parent for path in package.glob("*/**/__init__.py"))


def _modules(room: Path) -> list[str]:
    modules = sorted(path for path in room.glob("*.py") if not path.stem.startswith("__"))
    return [f"- `{path.stem}`: {first_line(path)}" for path in modules]


if __name__ == "__main__":
    main()
