"""How much may run and wait, and what is paused: the values that change while running."""

from collections.abc import Mapping

import msgspec

from cidx_jobs.model.ids import UserId

MAX_ATTEMPTS = 1_000
"""How many attempts a job or its type may ask for."""
MAX_TIMEOUT_SECONDS = 30 * 86_400.0
"""How long a run may ask to take."""
MAX_LABELS = 32
MAX_LABEL_CHARACTERS = 255
LABEL_KEY_PATTERN = r"[a-z0-9._-]{1,63}"
"""What the labels of a job keep to."""

MAX_KEYS = 8
"""How many limits by key a submit or a job type may give a job."""
MAX_KEY_CHARACTERS = 128
LIMIT_KEY_PATTERN = rf"[A-Za-z0-9._:/@-]{{1,{MAX_KEY_CHARACTERS}}}"
MAX_KEY_LIMIT = 1_000
"""The largest number that a key may have; the smallest is 1."""

MAX_RUNNING = 10_000
MAX_QUEUED_PER_USER = 1_000_000
MAX_QUEUED_TOTAL = 10_000_000
MAX_UNITS = 10_000
"""The largest limits that a server can be given; of a named resource so many units."""

MAX_AGE_SECONDS = 100 * 365 * 86_400
"""The age of finished jobs beyond which no clean-up asks."""
SCOPES = ("read", "write", "audit", "admin")
MAX_TOKEN_LABEL_CHARACTERS = 255
MAX_LIFETIME_SECONDS = 10 * 365 * 86_400
"""What a token may be for, how it may be called, and how long it may be good for."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a running server; lowering one never ends a job (api.md, section 3)."""

    max_running_per_user: int = 10
    max_running_total: int = 50
    max_queued_per_user: int = 1_000
    max_queued_total: int = 100_000
    resources: Mapping[str, int] = msgspec.field(
        default_factory=lambda: {"git": 10, "indexing": 10}
    )
    max_priority: int = 9
    user_max_priorities: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The highest priority that a user may ask for, where it is not *max_priority*."""


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator stopped from starting; what runs goes on."""

    everything: bool = False
    users: frozenset[UserId] = frozenset()
    job_types: frozenset[str] = frozenset()
    draining: bool = False
    """New jobs are refused and none is started; what runs is finished."""
