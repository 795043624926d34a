"""Every setting, validated; the only reader of the environment and of configuration files."""

import hashlib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.model.limits import Limits
from cidx_jobs.model.setting_fields import (
    choice,
    command,
    duration,
    flag,
    names,
    number,
    numbers,
    optional,
    other,
    path,
    paths,
    seconds,
    whole,
)

PREFIX = "CIDX_JOBS_"
CLIENT_VARIABLES = frozenset({"CIDX_JOBS_SERVER", "CIDX_JOBS_TOKEN"})
"""Variables with our prefix that belong to the client and are no settings."""

AUTH_MODES = ("none", "tokens", "jwt", "proxy")
SYNCHRONOUS_MODES = ("FULL", "NORMAL")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "console")

_DAY = 86_400.0
_MIB = 1024 * 1024


def _text(value: str | None) -> str | None:
    return None if value is None or value == "" else str(value)


@attrs.frozen(kw_only=True)
class Settings:
    """What a server is told before it starts; durations are seconds, sizes are bytes.

    Raises:
        SettingsError: a value is wrong; the text names the setting.
    """

    data_dir: Path = other("./data", path, "The directory that one server owns; mode 0700.")
    host: str = other("127.0.0.1", str, "The address to listen on.")
    port: int = number(8095, 0, 65_535, "The port to listen on; 0 takes a free one.")
    unix_socket: Path | None = other(None, optional(Path), "A socket file in place of a port.")
    auth: str | None = choice(
        None,
        AUTH_MODES,
        "Who may come in; unset: none on loopback, tokens elsewhere. This version has no jwt and "
        "no proxy.",
    )
    max_running_per_user: int = number(10, 1, 10_000, "Jobs of one user that run at a time.")
    max_running_total: int = number(50, 1, 10_000, "Jobs that run at a time.")
    max_queued_per_user: int = number(1_000, 1, 1_000_000, "Jobs of one user that may wait.")
    max_queued_total: int = number(100_000, 1, 10_000_000, "Jobs that may wait.")
    resources: Mapping[str, int] = numbers(
        "git=5,indexing=10", whole, 1, 10_000, "Named limits, for job types and inside runs."
    )
    max_priority: int = number(9, 0, 9, "The highest priority that a user may ask for.")
    ageing_seconds_per_level: float = duration(
        60, 0.01, 86_400, "A waiting job gains one priority level in this time."
    )
    default_priority: int = number(5, 0, 9, "The priority of a job that asks for none.")
    user_priorities: Mapping[str, int] = numbers(
        {}, whole, 0, 9, "Default priorities of users that have one of their own."
    )
    default_timeout_seconds: float = duration(
        3_600, 0.01, 30 * _DAY, "The longest a run may take."
    )
    default_max_attempts: int = number(3, 1, 1_000, "How often a job is tried.")
    poison_after: int = number(
        3, 0, 1_000, "Unclean ends in a row without progress that make a job suspect; 0 never."
    )
    allowed_hosts: tuple[str, ...] = other(
        (), names, "Host headers to answer to, besides loopback names and the bound host."
    )
    allowed_origins: tuple[str, ...] = other((), names, "Origins of pages that may call.")
    rate_limit_per_second: float = duration(
        0,
        0,
        1_000_000,
        "Requests of one user, else of one address; 0 is off.",
        unit="a second",
    )
    rate_limit_burst: int = number(20, 1, 1_000_000, "Requests that may come at once.")
    jwt_key: str | None = attrs.field(
        default=None,
        converter=_text,
        repr=False,
        metadata={"about": "The key that tokens of others are verified with.", "range": ""},
    )
    jwt_algorithm: str | None = other(None, _text, "The one algorithm that is accepted.")
    jwt_audience: str | None = other(None, _text, "The audience that a token must name.")
    jwt_issuer: str | None = other(None, _text, "The issuer that a token must name.")
    proxy_header: str | None = other(None, _text, "The header in which a proxy names the user.")
    proxy_peers: tuple[str, ...] = other((), names, "Addresses whose proxy header is believed.")
    retry_base_seconds: float = duration(1, 0, 3_600, "The first back-off's upper bound.")
    retry_cap_seconds: float = duration(30, 0, 86_400, "The highest back-off.")
    shutdown_grace_seconds: float = duration(20, 0, 3_600, "How long a stop lets jobs end.")
    retention_seconds: float = duration(7 * _DAY, 1, 3_650 * _DAY, "How long finished jobs stay.")
    retention_seconds_by_status: Mapping[str, float] = numbers(
        {}, seconds, 1, 3_650 * _DAY, "The same for a final status that has a time of its own."
    )
    progress_interval_seconds: float = duration(
        0.25, 0.01, 60, "At most so often a progress report of a job is stored."
    )
    synchronous: str = choice(
        "FULL",
        SYNCHRONOUS_MODES,
        "NORMAL may lose acknowledged jobs in a power cut.",
    )
    backup_interval_seconds: float = duration(
        _DAY, 0, 365 * _DAY, "Between backups; 0 never. This version makes none."
    )
    backup_keep: int = number(7, 1, 10_000, "Backups that are kept, once there are any.")
    project_retention_seconds: float = duration(
        0, 0, 3_650 * _DAY, "Copies and indexes that nobody synced for so long go; 0 never."
    )
    git_allowed_hosts: tuple[str, ...] = other(
        (), names, "host[:port], the only ones to fetch from; none: any public host."
    )
    git_local_roots: tuple[Path, ...] = other(
        (), paths, "Directories whose repositories may be synced by path."
    )
    git_depth: int = number(1, 0, 1_000_000, "Commits of history to fetch; 0 is all.")
    git_ssh: bool = other("false", flag, "Whether ssh URLs are taken.")
    git_submodules: bool = other("false", flag, "Whether submodules are fetched.")
    max_repository_bytes: int = number(2048 * _MIB, 1, 2**50, "The largest repository.")
    max_files: int = number(200_000, 1, 100_000_000, "The most files in a repository.")
    max_file_bytes: int = number(_MIB, 1, 2**40, "Larger files are skipped with a warning.")
    index_command: tuple[str, ...] | None = other(
        None,
        command,
        "A program in place of the built-in index; in a variable split as a shell does.",
    )
    index_command_memory_bytes: int = number(
        8 * 1024 * _MIB, 0, 2**60, "What a process of that program may take; 0: no bound."
    )
    max_waiters_per_user: int = number(100, 0, 1_000_000, "Long-polls of one user at a time.")
    max_waiters_total: int = number(10_000, 0, 1_000_000, "Long-polls at a time.")
    max_connections: int = number(
        12_000, 16, 1_000_000, "Connections at a time; long-polls are among them."
    )
    handlers: str | None = other(None, _text, "package.module:JOB_TYPES with more job types.")
    log_format: str | None = choice(
        None, LOG_FORMATS, "Unset: console when stderr is a terminal, else json."
    )
    log_level: str = choice("info", LOG_LEVELS, "The lowest level that is logged.")

    def __attrs_post_init__(self) -> None:
        """Check what concerns more than one setting."""
        for root in self.git_local_roots:
            if self.data_dir.resolve().is_relative_to(root.resolve()):
                message = f"git_local_roots: {root} contains data_dir"
                raise SettingsError(message)
        if self.auth == "none" and not self.is_local:
            message = f"auth: none is refused on {self.host}; bind to loopback or use tokens"
            raise SettingsError(message)
        unknown = set(self.retention_seconds_by_status) - {"completed", "failed", "cancelled"}
        if unknown:
            message = f"retention_seconds_by_status: {min(unknown)} is no final status"
            raise SettingsError(message)

    @property
    def is_local(self) -> bool:
        """True when only this machine can reach the server."""
        if self.unix_socket is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def auth_mode(self) -> str:
        """The way in that is in force: `auth`, or what its absence means."""
        return self.auth or ("none" if self.is_local else "tokens")

    @property
    def limits(self) -> Limits:
        """The limits to start with."""
        return Limits(
            max_running_per_user=self.max_running_per_user,
            max_running_total=self.max_running_total,
            max_queued_per_user=self.max_queued_per_user,
            max_queued_total=self.max_queued_total,
            resources=self.resources,
            max_priority=self.max_priority,
        )


WORK_PREFIX = "run-"
"""What the name of a directory begins with in which a run works; nobody's once the run is over."""
REMOVED_PREFIX = "removed-"
"""What the name of a project's directory begins with once it is removed, until it is deleted."""


def project_directory(projects: Path, user_id: str, project_id: str) -> Path:
    """Give the directory of one user's project: a hash, never their words."""
    digest = hashlib.sha256(f"{user_id}\0{project_id}".encode()).hexdigest()
    return projects / digest[:32]


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that are lacking, for this user alone."""
    for lacking in reversed([directory, *directory.parents]):
        lacking.mkdir(mode=0o700, exist_ok=True)


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings: the file first, then the environment over it, then *overrides*.

    Raises:
        SettingsError: the file cannot be read, or a key or value is wrong; the text names it.
    """
    values = _read_file(config) if config else {}
    values |= _read_environment(os.environ if environ is None else environ)
    values |= overrides or {}
    return make_settings(values)


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Build the settings from a flat mapping of names to values.

    Raises:
        SettingsError: a key is unknown or a value wrong; the text names it.
    """
    known = attrs.fields_dict(Settings)
    for name in values:
        if name not in known:
            message = f"there is no setting {name}"
            raise SettingsError(message)
    return Settings(**values)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"cannot read {path}: {error}"
        raise SettingsError(message) from error


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in CLIENT_VARIABLES
    }


@attrs.frozen
class DataDirectory:
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
    def admin_token(self) -> Path:
        """The token that local commands administer the server with; mode 0600."""
        return self.root / "admin.token"

    @property
    def projects(self) -> Path:
        """One directory for each project's copy and index, named by a hash."""
        return self.root / "projects"

    @property
    def programs(self) -> Path:
        """The files of projects that an index program works on, where there is one."""
        return self.root / "programs"

    @property
    def git_credentials(self) -> Path:
        """The operator's credentials for git over https; it need not be there."""
        return self.root / "git-credentials"
