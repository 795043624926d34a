"""Counts that forget what has come to nothing: there may be many users, over the years."""

from collections.abc import Hashable
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


# Of dictionaries: what goes into a Counter goes through code that is written in Python.


def increase(counts: dict[Name, int], name: Name) -> None:
    """Count one more of *name*."""
    counts[name] = counts.get(name, 0) + 1


def decrease(counts: dict[Name, int], name: Name) -> None:
    """Count one less of *name*, of which there is one at least."""
    left = counts[name] - 1
    if left:
        counts[name] = left
    else:
        counts.pop(name)
