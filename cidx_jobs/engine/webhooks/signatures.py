"""Signatures of deliveries: the ways in which code hosts show that they know a hook's secret.

Which header signs is decided by what is there, never by what fits: else whoever can leave a
header out could choose the weakest way.
"""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from cidx_jobs.engine.webhooks import standard

Headers = Mapping[str, str]
"""The headers of a delivery; their letter case does not count."""

STANDARD = "webhook-signature"
_MAX_SIGNATURES = 16
"""A sender that changes its secret gives a few; each costs a digest's comparison."""
_MAX_DIGITS = 12
"""Of seconds since 1970; Python refuses to read very long numbers, with an error."""


class Signed(msgspec.Struct, frozen=True):
    """What came, and when: all that a signature is held against."""

    headers: Headers
    body: bytes
    """As it came, or what of it the sender signs."""
    now: datetime


def _fits_standard(value: str, secret: str, signed: Signed) -> bool:
    message_id = signed.headers.get("webhook-id", "")
    timestamp = signed.headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit()):
        return False
    if len(timestamp) > _MAX_DIGITS:
        return False
    if abs(signed.now.timestamp() - int(timestamp)) > standard.TOLERANCE_SECONDS:
        return False
    expected = standard.sign(secret, message_id, timestamp, signed.body)
    # There are several while a sender changes its secret.
    given = value.split(" ")[:_MAX_SIGNATURES]
    return any(_is_same(one, expected) for one in given)


def _fits_digest(value: str, secret: str, signed: Signed) -> bool:
    return _is_same(value, hmac.new(secret.encode(), signed.body, "sha256").hexdigest())


def _fits_marked_digest(value: str, secret: str, signed: Signed) -> bool:
    mark, _, digest = value.partition("=")
    return mark == "sha256" and _fits_digest(digest, secret, signed)


def _fits_token(value: str, secret: str, _: Signed) -> bool:
    return _is_same(value, secret)


_WAYS: Mapping[str, Callable[[str, str, Signed], bool]] = {
    STANDARD: _fits_standard,
    "X-Gitea-Signature": _fits_digest,
    "X-Hub-Signature-256": _fits_marked_digest,
    "X-Gitlab-Token": _fits_token,
    "X-Hub-Signature": _fits_marked_digest,
}
HEADERS: tuple[str, ...] = tuple(_WAYS)
"""The headers that sign, in the order in which they are looked for."""


def find_way(headers: Headers) -> str | None:
    """Return the header that decides: the first that is there; None without any."""
    return next((name for name in _WAYS if name in headers), None)


def is_signed(secret: str, signed: Signed) -> bool:
    """Return whether the header that decides shows that the sender knows the secret."""
    way = find_way(signed.headers)
    return way is not None and _WAYS[way](signed.headers[way], secret, signed)


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
