"""The admin log as the API shows it."""

from datetime import datetime
from typing import Annotated

import msgspec

from cidx_jobs.wire.encode import Document, NextCursor
from cidx_jobs.wire.member_rules import about


class AdminEntryDocument(Document, frozen=True, kw_only=True):
    """What an administrator did, or that somebody was not let in."""

    at: Annotated[datetime, about("When.")]
    actor: Annotated[str | None, about("The user who acted; null where nobody was let in.")]
    action: Annotated[str, about("What was done, as `limits_changed` or `token_refused`.")]
    target: Annotated[str | None, about("What it was done to, in words.")]
    address: Annotated[
        str | None, about("Where the request came from; null over a unix socket.")
    ] = msgspec.field(name="from")


class AdminLogDocument(Document, frozen=True, kw_only=True):
    """One page of the admin log, newest first."""

    entries: Annotated[tuple[AdminEntryDocument, ...], about("Newest first.")]
    next_cursor: NextCursor
