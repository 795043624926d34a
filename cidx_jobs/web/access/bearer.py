"""The bearer token of a request (RFC 6750)."""

import re

_BEARER = re.compile(r"(?i:bearer) +(\S{1,8192})")


def read_bearer(authorization: str | None) -> str | None:
    """Return what a request sends as its token; None when that is nothing."""
    match = _BEARER.fullmatch(authorization or "")
    return None if match is None else match[1]
