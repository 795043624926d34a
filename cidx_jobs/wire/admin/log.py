"""The admin log as the API shows it."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from cidx_jobs.wire.encode import Document, NextCursor


class AdminEntryDocument(Document, frozen=True, kw_only=True):
    """What an administrator did, or that somebody was not let in."""

    at: Annotated[datetime, Meta(description="When.")]
    actor: Annotated[
        str | None, Meta(description="The user who acted; null where nobody was let in.")
    ]
    action: Annotated[
        str, Meta(description="What was done, as `limits_changed` or `token_refused`.")
    ]
    target: Annotated[str | None, Meta(description="What it was done to, in words.")]
    address: Annotated[
        str | None,
        Meta(description="Where the request came from; null over a unix socket."),
    ] = msgspec.field(name="from")


class AdminLogDocument(Document, frozen=True, kw_only=True):
    """One page of the admin log, newest first."""

    entries: Annotated[tuple[AdminEntryDocument, ...], Meta(description="Newest first.")]
    next_cursor: NextCursor
