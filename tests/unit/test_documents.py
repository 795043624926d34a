"""Encoded documents are kept for those who ask again, within bounds."""

import pytest

from cidx_jobs.web.http import page_cache as documents
from cidx_jobs.web.http.page_cache import MAX_BYTES, Page, PageCache


class Maker:
    """Makes documents, and counts how many."""

    def __init__(self, size: int = 10) -> None:
        """Make documents of *size* bytes."""
        self.count = 0
        self._size = size

    def __call__(self) -> Page:
        """Make one."""
        self.count += 1
        return Page(b"x" * self._size, {"ETag": "1"}, "ETag: 1\r\n")


def test_a_document_is_made_once() -> None:
    """However many ask."""
    kept, make = PageCache(), Maker()

    pages = {id(kept.get(("j", "1", "whole"), make)) for _ in range(100)}

    assert (make.count, len(pages)) == (1, 1)


def test_another_state_is_another_document() -> None:
    """The key is all that it shows."""
    kept, make = PageCache(), Maker()

    for key in ("1", "2", "1"):
        kept.get(key, make)

    assert make.count == 2


def test_what_nobody_asks_for_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently asked for goes first."""
    monkeypatch.setattr(documents, "MANY", 2)
    kept, make = PageCache(), Maker()

    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, make)

    assert make.count == 4


def test_a_large_document_is_not_kept() -> None:
    """It would take the room of many others."""
    kept, make = PageCache(), Maker(MAX_BYTES + 1)

    for _ in range(2):
        kept.get("a", make)

    assert make.count == 2
