"""Counts that forget what has come to nothing: there may be many users, over the years."""

from collections import Counter
from collections.abc import Hashable
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def decrease(counts: Counter[Name], name: Name) -> None:
    """Count one less of *name*."""
    counts[name] -= 1
    if not counts[name]:
        # `del` is Python's own code in a Counter; `pop` is not.
        counts.pop(name)
