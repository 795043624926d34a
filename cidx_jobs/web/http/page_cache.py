"""Encoded documents, made once for each state of a job however many ask."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import msgspec

MANY = 4_096
MAX_BYTES = 16_384
"""Larger documents are not kept: few ask for them, and they would take the others' room."""


class Page(msgspec.Struct, frozen=True):
    """A document as it goes out: its bytes, and the headers that belong to them."""

    body: bytes
    headers: Mapping[str, str]
    lines: str
    """The headers once more, as they stand in the head of an answer."""


class PageCache:
    """Documents by what they show; those that nobody asked for longest go first."""

    def __init__(self) -> None:
        """Begin empty."""
        self._pages: OrderedDict[Hashable, Page] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Page]) -> Page:
        """Return the document of the *key*, made by *make* if it is not here."""
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
            return page
        page = make()
        if len(page.body) <= MAX_BYTES:
            self._pages[key] = page
            if len(self._pages) > MANY:
                self._pages.popitem(last=False)
        return page
