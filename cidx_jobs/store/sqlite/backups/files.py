"""Files of backups: their names, which say when, why and with which content they were made."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from cidx_jobs.model.admin.backup import BackupKind

_NAME = re.compile(r"jobs-([0-9]{8}T[0-9]{6}\.[0-9]{6})Z-([a-z]+)-([0-9a-f]{64})\.db")
_TIME = "%Y%m%dT%H%M%S.%f"
_READ_BYTES = 1024 * 1024


def make_name(at: datetime, kind: BackupKind, sha256: str) -> str:
    """Return the name of a backup: the names of several are in the order of their times."""
    return f"jobs-{at.astimezone(UTC):{_TIME}}Z-{kind.value}-{sha256}.db"


def read_name(name: str) -> tuple[datetime, BackupKind, str] | None:
    """Return time, kind and SHA-256 that a name says; None for the name of anything else."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in set(BackupKind):
        return None
    try:
        at = datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return at, BackupKind(found[2]), found[3]


def list_files(folder: Path) -> list[Path]:
    """Return the backups in a folder, newest first; none where there is no folder."""
    found = [path for path in folder.glob("jobs-*.db") if read_name(path.name) is not None]
    return sorted(found, key=lambda path: path.name, reverse=True)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for part in read_parts(file):
            digest.update(part)
    return digest.hexdigest()


def read_parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file, a part at a time."""
    while part := file.read(_READ_BYTES):
        yield part
