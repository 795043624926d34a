"""An entry of the admin log: what an administrator did, or whom the server did not let in."""

from datetime import datetime

import msgspec

MAX_TARGET_CHARACTERS = 500


class AdminEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as it is stored; it never changes."""

    number: int = 0
    """Grows with each entry; the store gives it."""
    at: datetime
    actor: str | None
    """The user who acted; None where nobody was let in."""
    action: str
    """In snake_case past tense, as ``limits_changed``."""
    target: str | None
    """What it was done to, in words; None where the action says it all."""
    address: str | None
    """Where the request came from; None over a unix socket."""
    is_refusal: bool = False
    """A login or token was refused: there may be many, and they take no room from the others."""
