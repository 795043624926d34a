"""Backups as the API shows them."""

from datetime import datetime
from typing import Annotated, Self

import msgspec

from cidx_jobs.model.admin.backup import Backup
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import about


class BackupDocument(Document, frozen=True, kw_only=True):
    """One backup: a copy of the database that was checked."""

    file: Annotated[str, about("Its whole path, on the server's machine.")]
    bytes: Annotated[int, about("Its size.")]
    sha256: Annotated[str, about("Of the whole file, in hex.")]
    sequence: Annotated[int, about("The number of the last row of the transition log in it.")] = (
        msgspec.field(name="seq")
    )
    database_id: Annotated[str, about("The id of the database that it is of.")]
    kind: Annotated[
        str,
        about(
            "`automatic`, `manual`, or `migration`: made before a newer version "
            "changed the schema."
        ),
    ]
    created_at: Annotated[datetime, about("When it was begun.")]

    @classmethod
    def of(cls, backup: Backup) -> Self:
        """Return the document of a backup."""
        return cls.like(backup, kind=backup.kind.value, created_at=backup.at)


class BackupListDocument(Document, frozen=True, kw_only=True):
    """All backups, newest first."""

    backups: Annotated[tuple[BackupDocument, ...], about("The backups.")]
