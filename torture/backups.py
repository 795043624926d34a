"""Backups that a server made between its deaths: each restores, and is a prefix of what came."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import attrs

from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups.files import list_files
from cidx_jobs.store.sqlite.doctor import examine_directory
from cidx_jobs.store.sqlite.restore import restore
from torture.ledger import Ledger
from torture.server import Site

_LOG = "SELECT seq, job_id, version, event, to_status, at, run FROM events WHERE seq <= ?"


@attrs.define
class BackupCheck:
    """Restores each backup once, while no server is alive."""

    site: Site
    ledger: Ledger
    seen: set[str] = attrs.field(factory=set)

    def check_new(self) -> int:
        """Restore what was made since the last time; return how many there were."""
        directory = DataDirectory(self.site.data_dir)
        new = [path for path in list_files(directory.backups) if path.name not in self.seen]
        if not new:
            return 0
        folder = self.site.data_dir.with_name("restored")
        copy = DataDirectory(folder / "now")
        copy.root.mkdir(parents=True)
        try:
            # Not the directory itself: whoever opens its log leaves traces there.
            for file in directory.database_files[:2]:
                if file.exists():
                    shutil.copy(file, copy.root)
            for number, path in enumerate(new):
                self.seen.add(path.name)
                self._check(path, DataDirectory(folder / str(number)), copy.database)
        finally:
            shutil.rmtree(folder)
        return len(new)

    def _check(self, path: Path, into: DataDirectory, now: Path) -> None:
        try:
            done = restore(path, into, replace=False, now=datetime.now(UTC))
            found = examine_directory(into).findings
        except CidxJobsError as error:
            self.ledger.blame(f"a backup does not restore: {error.message}")
            return
        for finding in found:
            self.ledger.blame(f"a backup does not fit together: {finding.message}")
        if _read_log(into.database, done.sequence) != _read_log(now, done.sequence):
            self.ledger.blame(f"a backup is no prefix: {path.name}, row {done.sequence}")


def _read_log(database: Path, last: int) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(_LOG, (last,)).fetchall()
