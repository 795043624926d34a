"""Names of files and folders in the data directory."""

from pathlib import Path

import msgspec

WORK_PREFIX = "run-"
"""What the name of a directory begins with in which a run works; nobody's once the run is over."""
REMOVED_PREFIX = "removed-"
"""What the name of a copy's directory begins with once it is removed, until it is deleted."""

BACKUP_DRAFT_SUFFIX = ".draft"
"""What the name of a backup ends with until it is on the disk and was checked."""


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that are lacking, for this user alone."""
    for lacking in reversed([directory, *directory.parents]):
        lacking.mkdir(mode=0o700, exist_ok=True)


class DataDirectory(msgspec.Struct, frozen=True):
    """Where things lie in the data directory; it makes nothing by itself."""

    root: Path

    @property
    def database(self) -> Path:
        """The one database file."""
        return self.root / "jobs.db"

    @property
    def database_files(self) -> tuple[Path, ...]:
        """The database's file, and its write-ahead log with the index of that, while in use."""
        return tuple(Path(f"{self.database}{name}") for name in ("", "-wal", "-shm"))

    @property
    def high_water_mark(self) -> Path:
        """The last sequence number that was committed, for the check at start."""
        return self.root / "jobs.mark"

    @property
    def owner_lock(self) -> Path:
        """The file whose exclusive flock makes a process the owner."""
        return self.root / "owner.lock"

    @property
    def server_file(self) -> Path:
        """The url and pid of the running server, for local commands."""
        return self.root / "server.json"

    @property
    def server_socket(self) -> Path:
        """The socket that every server listens on for local commands; mode 0600."""
        return self.root / "server.sock"

    @property
    def admin_token(self) -> Path:
        """The token that local commands administer the server with; mode 0600."""
        return self.root / "admin.token"

    @property
    def login_key(self) -> Path:
        """The key that logins are signed with; mode 0600."""
        return self.root / "login.key"

    @property
    def secrets_key(self) -> Path:
        """The key that stored secrets are encrypted with; mode 0600, and in no backup."""
        return self.root / "secrets.key"

    @property
    def backups(self) -> Path:
        """Copies of the database that were checked."""
        return self.root / "backups"

    @property
    def projects(self) -> Path:
        """One directory for each copy with its index, named by a hash of what is copied."""
        return self.root / "projects"

    @property
    def programs(self) -> Path:
        """The files of copies that an index program works on, where there is one."""
        return self.root / "programs"

    @property
    def git_credentials(self) -> Path:
        """The operator's credentials for git over https; it need not be there."""
        return self.root / "git-credentials"
