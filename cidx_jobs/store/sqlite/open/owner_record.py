"""What stands in ``owner.lock``: who owns the directory, and which start accepted its stop.

Both are for those who come later: whoever is refused is told whom to stop, and the next start
knows that what a stop could not wait for was interrupted, not killed by its own job.
"""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.redact import redact_secrets

_PROC = Path("/proc")
_START_TIME_FIELD = 19
"""Where the start time stands in /proc/PID/stat, counted behind the name."""
_COMMAND_CHARACTERS = 200
_MAX_BYTES = 8_192


class OwnerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The process that took the directory last."""

    pid: int | None = None
    started_at: str | None = None
    """When the process started, RFC 3339; None where the system does not tell."""
    command: str = ""
    stopped_epoch: int = 0
    """The start that accepted a stop; 0 where none did."""

    @property
    def is_own(self) -> bool:
        """True where this very process took it."""
        return self.pid == os.getpid()


def describe_this_process(stopped_epoch: int) -> OwnerRecord:
    """Return the record of this process, which goes on from what was known of a stop."""
    command = redact_secrets(plain_text(shlex.join(sys.orig_argv), _COMMAND_CHARACTERS))
    return OwnerRecord(
        pid=os.getpid(),
        started_at=_started_at(),
        command="".join(part if part.isprintable() else "?" for part in command),
        stopped_epoch=stopped_epoch,
    )


def decode_record(text: bytes) -> OwnerRecord:
    """Return what the file says; an empty record where it says nothing that is understood."""
    try:
        return msgspec.json.decode(text, type=OwnerRecord)
    except msgspec.DecodeError:
        return OwnerRecord()


def encode_record(record: OwnerRecord) -> bytes:
    """Return what the file says of the record: one line."""
    return msgspec.json.encode(record) + b"\n"


def read_text(descriptor: int) -> bytes:
    """Return what the file says."""
    return os.pread(descriptor, _MAX_BYTES, 0)


def write_text(descriptor: int, text: bytes) -> None:
    """Put the text in place of what the file says; durable when this returns.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)


def name_owner(record: OwnerRecord) -> str:
    """Return the owner in words, for whoever is refused."""
    if record.pid is None:
        return "another server"
    since = f", started {record.started_at}" if record.started_at else ""
    whose = "this very process" if record.is_own else "another server"
    return f"{whose} (pid {record.pid}{since}, command: {record.command})"


def _started_at() -> str | None:
    try:
        stat = (_PROC / "self/stat").read_text("utf-8", "replace")
        boot = next(
            line for line in (_PROC / "stat").read_text("ascii").splitlines() if "btime" in line
        )
    except (OSError, StopIteration):
        return None
    ticks = int(stat.rpartition(")")[2].split()[_START_TIME_FIELD])
    seconds = int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
