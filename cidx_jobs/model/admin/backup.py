"""A backup: a verified copy of the database, and what is known of it without opening it."""

from datetime import datetime
from enum import StrEnum

import msgspec


class BackupKind(StrEnum):
    """Why a backup was made; those that are due by the clock are kept by number, others by age."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    MIGRATION = "migration"
    """Before the database was taken to a newer schema."""


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """One backup in the folder of backups."""

    file: str
    """The whole path, on the server's machine."""
    kind: BackupKind
    at: datetime
    bytes: int
    sha256: str
    """Of the whole file, in hex."""
    sequence: int
    """The number of the last row of the transition log in it."""
    database_id: str
