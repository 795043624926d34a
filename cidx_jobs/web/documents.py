"""Encoded documents, made once for each state of a job however many ask."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

MANY = 4_096
MAX_BYTES = 16_384
"""Larger documents are not kept: few ask for them, and they would take the others' room."""


class Documents:
    """The bytes of documents by what they show; those that nobody asked for longest go first."""

    def __init__(self) -> None:
        """Begin empty."""
        self._encoded: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Give the document of the *key*, made by *make* if it is not here."""
        body = self._encoded.get(key)
        if body is not None:
            self._encoded.move_to_end(key)
            return body
        body = make()
        if len(body) <= MAX_BYTES:
            self._encoded[key] = body
            if len(self._encoded) > MANY:
                self._encoded.popitem(last=False)
        return body
