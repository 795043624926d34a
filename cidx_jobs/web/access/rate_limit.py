"""Rate limits: a token bucket for each caller, which fills up evenly."""

import math
from collections.abc import Callable

import msgspec

_MANY = 10_000
_ROUNDING = 1e-6


class _Bucket(msgspec.Struct):
    """What is left of somebody's requests, and when that was counted."""

    left: float
    at: float


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has after a request."""

    remaining: int
    """How many more may come at once."""
    reset_seconds: int
    """When the bucket is full again."""
    wait_seconds: int
    """When the request may come again; 0 when it is allowed."""


class Rates:
    """Lets everybody ask *per_second* on average, and *burst* at once."""

    def __init__(self, per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        """Begin with full buckets."""
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: dict[str, _Bucket] = {}

    @property
    def policy(self) -> str:
        """The rule, as the header ``RateLimit-Policy`` has it."""
        return f'"default";q={self._burst};w={math.ceil(self._burst / self._per_second)}'

    def take(self, who: str) -> Allowance:
        """Count a request of *who*; one that is refused is not counted."""
        bucket = self._bucket(who)
        wait = 0.0
        if bucket.left >= 1 - _ROUNDING:
            bucket.left = max(0.0, bucket.left - 1)
        else:
            wait = (1 - bucket.left) / self._per_second
        return Allowance(
            remaining=int(bucket.left + _ROUNDING),
            reset_seconds=math.ceil((self._burst - bucket.left) / self._per_second),
            wait_seconds=math.ceil(wait),
        )

    def give_back(self, who: str) -> None:
        """Take back that a request was counted: it brought nothing new and cost nothing."""
        bucket = self._bucket(who)
        bucket.left = min(self._burst, bucket.left + 1)

    def _bucket(self, who: str) -> _Bucket:
        now = self._monotonic()
        bucket = self._buckets.get(who)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[who] = _Bucket(self._burst, now)
        self._fill(bucket, now)
        return bucket

    def _fill(self, bucket: _Bucket, now: float) -> None:
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now

    def _make_room(self, now: float) -> None:
        if len(self._buckets) < _MANY:
            return
        for who, bucket in tuple(self._buckets.items()):
            self._fill(bucket, now)
            if bucket.left >= self._burst:
                # A full bucket is the same as none.
                del self._buckets[who]
        if len(self._buckets) >= _MANY:
            self._buckets.clear()
