"""The sweep looks for the leaders of process groups only: a double fork hides from it."""

import os
from collections.abc import Iterator

from cidx_jobs.handlers.process import orphans
from cidx_jobs.model.listing import StoreIdentity
from torture.jobs import TYPES

__all__ = ["TYPES"]

_marked = orphans._marked


def _marked_leaders(identity: StoreIdentity) -> Iterator[tuple[int, str, int]]:
    for pid, started, epoch in _marked(identity):
        try:
            if os.getpgid(pid) == pid:
                yield pid, started, epoch
        except ProcessLookupError:
            continue


orphans._marked = _marked_leaders
