"""The pages that are read off the code say what the code says now."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def load(name: str) -> ModuleType:
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKERS = [load("made_pages"), load("made_reference"), load("made_map")]
MADE = [(maker.__name__, path, make) for maker in MAKERS for path, make in maker.PAGES.items()]


@pytest.mark.parametrize(("script", "path", "make"), MADE, ids=[path for _, path, _ in MADE])
def test_a_made_page_is_up_to_date(script: str, path: str, make: Callable[[], str]) -> None:
    """If not: run the script that makes it."""
    assert (DOCS / path).read_text("utf-8") == make(), f"run: python docs/{script}.py"
