"""The pages that are read off the code say what the code says now."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_SPEC = importlib.util.spec_from_file_location("made_pages", DOCS / "made_pages.py")
assert _SPEC is not None
assert _SPEC.loader is not None
made_pages = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_pages)


@pytest.mark.parametrize("path", list(made_pages.PAGES))
def test_a_made_page_is_up_to_date(path: str) -> None:
    """If not: run ``python docs/made_pages.py``."""
    assert (DOCS / path).read_text("utf-8") == made_pages.PAGES[path]()
