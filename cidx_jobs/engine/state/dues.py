"""What is due when: keys in the order of their moments, each with one at most."""

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from sortedcontainers import SortedSet

K = TypeVar("K", bound=Hashable)


class Dues(Generic[K]):
    """Knows the moment of each key; keys of one moment go in their own order."""

    def __init__(self) -> None:
        """Begin with nothing that is due."""
        self._dues: SortedSet[tuple[datetime, K]] = SortedSet()
        self._due_of: dict[K, datetime] = {}

    def set(self, key: K, due: datetime) -> None:
        """Let the key be due at this moment, and at no other."""
        self.discard(key)
        self._due_of[key] = due
        self._dues.add((due, key))

    def discard(self, key: K) -> None:
        """Let the key be due at no time."""
        due = self._due_of.pop(key, None)
        if due is not None:
            self._dues.discard((due, key))

    def list_due(self, now: datetime) -> Sequence[K]:
        """List the keys whose moments have come, in their order; they stay due."""
        due: list[K] = []
        for at, key in self._dues:
            if at > now:
                break
            due.append(key)
        return due

    def take_due(self, now: datetime) -> K | None:
        """Return the first key whose moment has come, which is due no more then."""
        if not self._dues or self._dues[0][0] > now:
            return None
        key: K = self._dues[0][1]
        self.discard(key)
        return key

    def find_first(self) -> datetime | None:
        """Return the earliest moment."""
        return self._dues[0][0] if self._dues else None
