"""What is found when a server looks at itself: at its start, and when it is examined."""

import msgspec

from cidx_jobs.model.ids import JobId


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not fit together, or that is worth a note."""

    kind: str
    """What was compared: ``database``, ``log``, ``counts``, ``checkpoints``, ``slots``,
    ``queue``, ``runs``, ``children`` or ``files``; of a note ``recovering``."""
    message: str
    """A sentence for an operator; holds no path of the server."""
    job_id: JobId | None = None


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a data directory that no server owns."""

    database_id: str
    findings: tuple[Finding, ...]


class ServerWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator should mend though the server works."""

    code: str
    message: str
    """A sentence for an operator; holds no path of the server."""


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a start found of the servers before it, and did about it."""

    unfinished: int = 0
    """Jobs that were not final."""
    interrupted: int = 0
    """Runs that had died with their server: queued again, or failed by their type's rule."""
    cancelled: int = 0
    """Runs that had died with their cancel asked for: they are cancelled."""
    poisoned: int = 0
    """Runs that had died alone, once too often: their jobs failed."""
    killed_processes: int = 0
    """Child processes of older servers."""
    swept_files: int = 0
    """Files and directories that a run or a write that was cut off had left."""
