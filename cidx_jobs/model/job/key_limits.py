"""Limits by key (concurrency keys): of all jobs with a key at most so many run at a time.

A job has keys from its submit, which are its user's own, and keys from its type, which are
everybody's. Both stand in its row, are held from start to end, and make one namespace each.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from cidx_jobs.model.errors import Fault, pointer_step
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.limits import (
    LIMIT_KEY_PATTERN,
    MAX_KEY_CHARACTERS,
    MAX_KEY_LIMIT,
    MAX_KEYS,
)

HOST = "host:"
"""Begins the key that all jobs have which ask one code host."""

_KEY = re.compile(LIMIT_KEY_PATTERN)
_NO_BRACKETS = str.maketrans("", "", "[]")


class LimitKey(NamedTuple):
    """What jobs have in common that share a limit."""

    name: str
    owner: UserId | None
    """Whose key it is; None is everybody's."""


class KeyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a job, with the number that its submit or type gave it."""

    key: LimitKey
    limit: int
    set_at: float
    """The engine's second of the request: of the numbers of a key the newest counts."""


KeyLimits = tuple[KeyLimit, ...]


def check_key_limits(limits: Mapping[str, int], pointer: str = "/limits") -> Iterator[Fault]:
    """Yield what is wrong with limits by key: too many, a key's characters, a number's range."""
    if len(limits) > MAX_KEYS:
        yield Fault(pointer, f"at most {MAX_KEYS} keys")
    for key, limit in limits.items():
        place = f"{pointer}/{pointer_step(str(key))}"
        if not _KEY.fullmatch(str(key)):
            yield Fault(place, "a key is 1 to 128 characters of [A-Za-z0-9._:/@-]")
        if type(limit) is not int or not 1 <= limit <= MAX_KEY_LIMIT:
            yield Fault(place, f"the limit of a key is a whole number from 1 to {MAX_KEY_LIMIT}")


def make_key_limits(limits: Mapping[str, int], owner: UserId | None, set_at: float) -> KeyLimits:
    """Return the keys of one owner, in the order of their names."""
    return tuple(
        KeyLimit(key=LimitKey(name, owner), limit=limits[name], set_at=set_at)
        for name in sorted(limits)
    )


def keys_of(limits: Iterable[KeyLimit]) -> tuple[LimitKey, ...]:
    """Return the keys alone."""
    return tuple([each.key for each in limits])


def key_of_host(host: str) -> LimitKey:
    """Return the key of all jobs that ask the host; of a long name the end says the most."""
    name = host.translate(_NO_BRACKETS)
    return LimitKey(HOST + name[-(MAX_KEY_CHARACTERS - len(HOST)) :], None)


def host_of(key: LimitKey) -> str | None:
    """Return the code host whose key it is; None for any other key, and for a user's own."""
    is_host = key.owner is None and key.name.startswith(HOST)
    return key.name.removeprefix(HOST) if is_host else None


def all_limits(limits: Iterable[KeyLimit]) -> dict[str, int]:
    """Return every key with its number; of two of one name the user's own."""
    ordered = sorted(limits, key=lambda each: each.key.owner is not None)
    return {each.key.name: each.limit for each in ordered}
