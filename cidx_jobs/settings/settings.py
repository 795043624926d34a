"""`Settings`: every setting, with its default and its range."""

import ipaddress
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, cast

import attrs

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.model.limits import (
    MAX_KEY_LIMIT,
    MAX_QUEUED_PER_USER,
    MAX_QUEUED_TOTAL,
    MAX_RUNNING,
    MAX_TIMEOUT_SECONDS,
    MAX_UNITS,
    Limits,
)
from cidx_jobs.model.setting_words import AUTH_MODES, LOG_FORMATS, LOG_LEVELS
from cidx_jobs.settings.fields import (
    choice,
    command,
    duration,
    flag,
    header,
    hosts,
    networks,
    number,
    numbers,
    optional,
    origins,
    other,
    path,
    paths,
    proxy_url,
    seconds,
    secret,
    secret_url,
    size,
    url,
    variables,
    whole,
)
from cidx_jobs.settings.sources import find_place, read_values
from cidx_jobs.settings.way_in import check_given, check_way_in, is_of_others

JWT_ALGORITHMS = ("HS256", "RS256", "ES256")
SYNCHRONOUS_MODES = ("FULL", "NORMAL")
TRACING_MODES = ("auto", "on", "off")

_DAY = 86_400.0
_MIB = 1024 * 1024


def default_resources() -> dict[str, int]:
    """Return the resources of a server whose operator names none.

    A processor for each index that is built.
    """
    return {"git": 10, "indexing": count_processors()}


def count_processors() -> int:
    """Return how many processors this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def _file(value: Any) -> Path:
    """Return the path of a file; git and ssh, which are given it, work in other directories."""
    return path(value).absolute()


def _text(value: str | None) -> str | None:
    return None if value is None or value == "" else str(value)


def _data_directory(value: str | Path) -> Path:
    try:
        return path(value)
    except (ValueError, TypeError) as error:
        message = f"data_dir: {value!r} is not understood: {error}"
        raise SettingsError(message) from error


@attrs.frozen(kw_only=True)
class Settings:
    """What a server is told before it starts; durations are seconds, sizes are bytes.

    Raises:
        SettingsError: a name is unknown or a value wrong; the text names the setting.
    """

    # Written out, so that type checkers learn from the converter that a text will do.
    data_dir: Path = attrs.field(
        default=cast("Path", "./data"),
        converter=_data_directory,
        metadata={"about": "The directory that one server owns; mode 0700.", "range": ""},
    )
    host: str = other("127.0.0.1", str, "The address to listen on.")
    port: int = number(8095, 0, 65_535, "The port to listen on; 0 takes a free one.")
    unix_socket: Path | None = other(None, optional(Path), "A socket file in place of a port.")
    auth: str | None = choice(
        None,
        AUTH_MODES,
        "Who may come in; unset: none on loopback, tokens elsewhere.",
    )
    jwt_key: str | None = secret(
        "The key of others' tokens: a secret, or a public key in PEM form."
    )
    jwt_key_file: Path | None = other(
        None, optional(Path), "A file with it, or a JWKS; read again when it changes."
    )
    jwt_algorithm: str | None = choice(
        None, JWT_ALGORITHMS, "How others' tokens are signed; no other is taken."
    )
    jwt_audience: str | None = other(None, _text, "What the claim aud has to name.")
    jwt_issuer: str | None = other(None, _text, "What the claim iss has to be.")
    jwt_user_claim: str | None = other(
        None, _text, "The claim that names the user; unset: sub. The CIDX server has username."
    )
    jwt_scope_claim: str | None = other(
        None, _text, "The claim with the scopes; unset: scope. The CIDX server has role."
    )
    proxy_header: str | None = other(None, header, "The header in which a proxy names the user.")
    proxy_scope_header: str | None = other(
        None, header, "The header in which it names their scopes; without it: write."
    )
    proxy_peers: tuple[str, ...] = other(
        (),
        networks,
        "Addresses and networks of proxies whose X-Forwarded-For, -Proto and -Prefix count.",
    )
    public_url: str | None = other(
        None, url, "Where clients reach the server, when a proxy stands before it."
    )
    login_seconds: float = duration(
        28_800, 600, 43_200, "How long a login by user and password is good."
    )
    max_running_per_user: int = number(10, 1, MAX_RUNNING, "Jobs of one user that run at a time.")
    max_running_total: int = number(50, 1, MAX_RUNNING, "Jobs that run at a time.")
    max_queued_per_user: int = number(
        1_000, 1, MAX_QUEUED_PER_USER, "Jobs of one user that may wait."
    )
    max_queued_total: int = number(100_000, 1, MAX_QUEUED_TOTAL, "Jobs that may wait.")
    resources: Mapping[str, int] = numbers(
        attrs.Factory(default_resources),
        whole,
        1,
        MAX_UNITS,
        "Named limits, for job types and inside runs; an index is built on each processor.",
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
    max_timeout_seconds: float = duration(
        7 * _DAY, 0.01, MAX_TIMEOUT_SECONDS, "The longest run that a submit may ask for."
    )
    default_max_attempts: int = number(3, 1, 1_000, "How often a job is tried.")
    poison_after: int = number(
        3, 0, 1_000, "Unclean ends in a row without progress that make a job suspect; 0 never."
    )
    allowed_hosts: tuple[str, ...] = other(
        (), hosts, "Host headers to answer to, besides loopback names and the bound host."
    )
    allowed_origins: tuple[str, ...] = other((), origins, "Origins of pages that may call.")
    rate_limit_per_second: float = duration(
        0,
        0,
        1_000_000,
        "Requests of one user, else of one address; 0 is off.",
        unit="a second",
    )
    rate_limit_burst: int = number(20, 1, 1_000_000, "Requests that may come at once.")
    retry_base_seconds: float = duration(1, 0, 3_600, "The first back-off's upper bound.")
    retry_cap_seconds: float = duration(30, 0, 86_400, "The highest back-off.")
    shutdown_grace_seconds: float = duration(20, 0, 3_600, "How long a stop lets jobs end.")
    retention_seconds: float = duration(7 * _DAY, 1, 3_650 * _DAY, "How long finished jobs stay.")
    retention_seconds_by_status: Mapping[str, float] = numbers(
        {}, seconds, 1, 3_650 * _DAY, "The same for a final status that has a time of its own."
    )
    retention_by_type: Mapping[str, float] = numbers(
        {},
        seconds,
        1,
        3_650 * _DAY,
        "The same for a job type that has a time of its own, whatever the status.",
    )
    payload_retention_seconds: float = duration(
        0,
        0,
        3_650 * _DAY,
        "How long finished jobs keep options and result; 0: as long as they stay themselves.",
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
        _DAY, 0, 3_650 * _DAY, "How old the newest backup gets before one is made; 0 never."
    )
    backup_keep: int = number(7, 1, 10_000, "Automatic backups that stay.")
    webhook_allowed_hosts: tuple[str, ...] = other(
        (), hosts, "host[:port], the only ones to tell ends of jobs to; none: nobody."
    )
    min_free_bytes: int = size(
        1024 * _MIB, 0, 2**60, "With less room on the disk /readyz warns of disk_low."
    )
    metrics_open: bool = other("false", flag, "Whether everybody may read /metrics.")
    tracing: str = choice(
        "auto",
        TRACING_MODES,
        "Spans of runs by OpenTelemetry; auto: where the program has loaded it.",
    )
    project_retention_seconds: float = duration(
        0, 0, 3_650 * _DAY, "Copies and indexes that nobody synced for so long go; 0 never."
    )
    git_allowed_hosts: tuple[str, ...] = other(
        (), hosts, "host[:port], the only ones to fetch from; none: any public host."
    )
    git_local_roots: tuple[Path, ...] = other(
        (), paths, "Directories whose repositories may be synced by path."
    )
    git_per_host: int = number(
        4, 1, MAX_KEY_LIMIT, "Syncs of one code host at a time, whoever asks for them."
    )
    git_outage_seconds: float = duration(
        _DAY, 0, 365 * _DAY, "How long a sync waits for a host that is down before it fails."
    )
    git_proxy: str | None = secret_url(
        proxy_url,
        "http://[USER:PASSWORD@]HOST:PORT that git reaches the web through; https and socks5h "
        "too. Unset: that of HTTPS_PROXY. NO_PROXY names exceptions.",
    )
    git_ca_file: Path | None = other(
        None, optional(_file), "Certificates (PEM) of CAs to trust besides those of the system."
    )
    git_credentials: Path | None = other(
        None,
        optional(_file),
        "Lines https://USER:PASSWORD@HOST[/PATH]; unset: git-credentials in data_dir.",
    )
    git_ssh_key: Path | None = other(
        None, optional(_file), "The private key for ssh; unset: those in the server's home."
    )
    git_ssh_known_hosts: Path | None = other(
        None, optional(_file), "The keys of ssh hosts; unset: those the server's ssh knows."
    )
    git_depth: int = number(1, 0, 1_000_000, "Commits of history to fetch; 0 is all.")
    git_ssh: bool = other("false", flag, "Whether ssh URLs are taken.")
    git_submodules: bool = other("false", flag, "Whether submodules are fetched.")
    git_min_bytes_per_second: int = size(
        1_000, 0, 2**40, "The average of a fetch after its first minute; 0: no bound."
    )
    git_memory_bytes: int = size(
        512 * _MIB, 64 * _MIB, 2**60, "Address space that each process of git may take."
    )
    max_repository_bytes: int = size(2048 * _MIB, 1, 2**50, "The largest repository.")
    max_files: int = number(200_000, 1, 100_000_000, "The most files in a repository.")
    max_file_bytes: int = size(_MIB, 1, 2**40, "Larger files are skipped with a warning.")
    index_command: tuple[str, ...] | None = other(
        None,
        command,
        "A program in place of the built-in index; in a variable split as a shell does.",
    )
    index_command_environment: tuple[str, ...] = other(
        (), variables, "Names of variables of the server's environment that the program gets."
    )
    index_command_memory_bytes: int = size(
        8 * 1024 * _MIB, 0, 2**60, "What a process of that program may take; 0: no bound."
    )
    max_result_bytes: int = size(
        _MIB, 2, 2**30, "The largest result of a job, as JSON text; a larger one fails it."
    )
    max_stored_bytes_per_user: int = size(
        1024 * _MIB,
        1,
        2**60,
        "What is stored of one user's jobs, log and checkpoints; copies and indexes do not count.",
    )
    max_children: int = number(10_000, 0, 1_000_000, "Jobs that one job may make.")
    max_waiters_per_user: int = number(100, 0, 1_000_000, "Long-polls of one user at a time.")
    max_waiters_total: int = number(10_000, 0, 1_000_000, "Long-polls at a time.")
    max_connections: int = number(
        12_000,
        16,
        1_000_000,
        "Connections at a time, long-polls among them; a quarter is for known callers.",
    )
    keepalive_seconds: float = duration(
        75, 1, 86_400, "An idle connection is closed then; balancers use theirs again for 60."
    )
    repository_sync: bool = other("true", flag, "Whether the job type repository_sync is there.")
    handlers: str | None = other(None, _text, "package.module:JOB_TYPES with more job types.")
    log_format: str | None = choice(
        None, LOG_FORMATS, "Unset: console when stderr is a terminal, else json."
    )
    log_file: Path | None = other(
        None, optional(Path), "The log goes there in place of stderr; SIGUSR1 opens it anew."
    )
    access_log: bool = other("false", flag, "Whether each answered request is a line of the log.")
    log_level: str = choice("info", LOG_LEVELS, "The lowest level that is logged.")

    def __new__(cls, **values: Any) -> Self:
        """Refuse a name that is no setting of this version, as a wrong value is refused."""
        unknown = values.keys() - attrs.fields_dict(cls).keys()
        if unknown:
            name = min(unknown)
            close = get_close_matches(name, attrs.fields_dict(cls), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            message = f"{name}: this version has no such setting{hint}"
            raise SettingsError(message)
        return super().__new__(cls)

    def __attrs_post_init__(self) -> None:
        """Check what concerns more than one setting."""
        for root in self.git_local_roots:
            if self.data_dir.resolve().is_relative_to(root.resolve()):
                message = f"git_local_roots: {root} contains data_dir"
                raise SettingsError(message)
        if self.auth == "none" and not self.is_local:
            message = f"auth: none is refused on {self.host}; bind to loopback or use tokens"
            raise SettingsError(message)
        check_way_in(self, self.auth_mode)
        unknown = set(self.retention_seconds_by_status) - {"completed", "failed", "cancelled"}
        if unknown:
            message = f"retention_seconds_by_status: {min(unknown)} is no final status"
            raise SettingsError(message)

    @classmethod
    def load(
        cls,
        file: Path | str | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read the settings: the TOML file first, then the variables over it, then *overrides*.

        Args:
            file: a relative path in it counts from its folder.
            environ: in place of the process's own variables; those `CIDX_JOBS_*` are read.
            overrides: by the names of settings; a value of None was not given.

        Raises:
            SettingsError: the file cannot be read, or a key or value is wrong; the text names it.
        """
        path = None if file is None else Path(file)
        types = {field.name: field.type for field in attrs.fields(cls)}
        values = read_values(path, environ, overrides, types)
        try:
            settings = cls(**values)
            check_given(values, settings.auth_mode)
        except SettingsError as error:
            # Every refusal begins with the name of the setting.
            name = re.split(r"\W", error.message, maxsplit=1)[0]
            is_flag = (overrides or {}).get(name) is not None
            place = None if is_flag else find_place(name, path, environ)
            if place is None:
                raise
            message = f"{error.message} ({place})"
            raise SettingsError(message) from error
        return settings

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
    def takes_passwords(self) -> bool:
        """True when users may log in with a password: none else says who they are."""
        return not is_of_others(self.auth_mode)

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
