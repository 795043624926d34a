"""Push hooks: the address at which a code host tells of pushes to a project, and what it told."""

from datetime import datetime

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId

KEPT_DELIVERIES = 20
"""How many deliveries of a hook are kept, the newest."""


class PushHook(msgspec.Struct, frozen=True, kw_only=True):
    """The hook of a project; its secret is kept encrypted, since signatures need its text."""

    hook_id: str
    """Random, the last part of its address."""
    user_id: UserId
    project_id: ProjectId
    sealed_secret: str
    created_at: datetime
    """When its secret was made."""


class PushDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """What a code host sent to a hook, and what came of it."""

    at: datetime
    sender: str
    """The kind of host, such as ``github``; ``generic`` for any other client."""
    kind: str
    """``push``, ``ping``, or what the host calls another event."""
    verdict: str
    """``submitted``, ``joined``, ``replayed``, or the reason why nothing was done."""
    job_id: JobId | None = None
