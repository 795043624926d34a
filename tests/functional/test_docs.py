"""What the README and the documentation show, runs."""

import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(block, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    if "_build" not in page.parts
    for number, block in enumerate(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")), 1)
]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_runs(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python block runs as it stands, and so does the `main` that it defines."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}

    exec(compile(example, "example", "exec"), names)  # noqa: S102 - our own documentation

    main = names.get("main")
    if inspect.iscoroutinefunction(main):
        await main()


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_two_commands(command: str) -> None:
    """A newcomer finds both commands in the README, and make knows them."""
    target = command.removeprefix("make ")

    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
