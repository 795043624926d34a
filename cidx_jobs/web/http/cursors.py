"""Opaque cursors: where a page of a list ended, bound to the list that it was made for."""

import base64
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from cidx_jobs.model.errors import InvalidCursorError
from cidx_jobs.web.http.query import Query
from cidx_jobs.wire.member_rules import about

T = TypeVar("T")

Cursor = Annotated[
    str,
    about(
        "The `next_cursor` of the page before, of the same list.", {"pattern": "^[A-Za-z0-9_-]+$"}
    ),
]
"""The parameter that brings the next page of a list."""

PageLimit = Annotated[int, Meta(description="How many on a page.", ge=1, le=200)]
"""The parameter that says how long a page may be."""


class PageQuery(Query, frozen=True, kw_only=True):
    """Which page of a list."""

    limit: PageLimit = 50
    cursor: Cursor | None = None


_FORM = re.compile(r"c([0-9a-f]{1,16})-([0-9a-f]{8})")
_TEXT_FORM = re.compile(r"t([A-Za-z0-9_-]*)-([0-9a-f]{8})")


def cut_page(
    found: Sequence[T], limit: int, cursor_of: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """Return a page of at most *limit*, and the cursor behind it; None on the last page.

    Args:
        found: the rows of the page, and one more where there is one: it tells that there is.
        limit: how many the page may have.
        cursor_of: the cursor behind a row.
    """
    page = found[:limit]
    return page, cursor_of(page[-1]) if len(found) > limit else None


def make_cursor(position: int, *listing: Any) -> str:
    """Return the cursor behind *position* of the listing that these values name."""
    return f"c{position:x}-{_mark(position, listing)}"


def read_cursor(text: str, *listing: Any) -> int:
    """Return the position of a cursor.

    Raises:
        InvalidCursorError: it was not made here, or for another listing.
    """
    parts = _FORM.fullmatch(text)
    position = int(parts[1], 16) if parts else 0
    # What a cursor has to be: short of the largest number that the store can hold.
    if parts is None or position >= 2**63 or parts[2] != _mark(position, listing):
        raise InvalidCursorError
    return position


def make_text_cursor(position: str, *listing: Any) -> str:
    """Return the cursor behind a *position* that is a text."""
    text = base64.urlsafe_b64encode(position.encode()).rstrip(b"=").decode()
    return f"t{text}-{_mark(position, listing)}"


def read_text_cursor(text: str, *listing: Any) -> str:
    """Return the position of a cursor of `make_text_cursor`.

    Raises:
        InvalidCursorError: it was not made here, or for another listing.
    """
    parts = _TEXT_FORM.fullmatch(text)
    if parts is None:
        raise InvalidCursorError
    try:
        padding = "=" * (-len(parts[1]) % 4)
        position = base64.urlsafe_b64decode(parts[1] + padding).decode()
    except ValueError:
        raise InvalidCursorError from None
    if parts[2] != _mark(position, listing):
        raise InvalidCursorError
    return position


def _mark(position: int | str, listing: tuple[Any, ...]) -> str:
    return f"{zlib.crc32(repr((position, listing)).encode('utf-8', 'replace')):08x}"
