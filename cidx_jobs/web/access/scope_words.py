"""Words of others for what a user may do: of claims and of headers."""

from collections.abc import Iterable
from typing import Any

from cidx_jobs.model.limits import SCOPES

_ROLES = {"admin": "admin", "auditor": "audit", "user": "write"}
"""What the CIDX server calls the holders of scopes."""


def read_scopes(words: Iterable[Any], *, are_roles: bool = False) -> frozenset[str]:
    """Return our scopes among the words; none of ours is a user who may do nothing.

    Args:
        words: as they came; others' words among them say nothing here.
        are_roles: they are the CIDX server's roles, and not scopes.
    """
    ours = _ROLES if are_roles else {scope: scope for scope in SCOPES}
    return frozenset(ours[word] for word in words if isinstance(word, str) and word in ours)
