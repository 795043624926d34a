"""What is found when a server looks at itself: at its start, and when it is examined."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from cidx_jobs.model.ids import JOB_ID_PATTERN, JobId


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not fit together, or that is worth a note."""

    kind: Annotated[
        str,
        Meta(
            description="`database`, `log`, `counts`, `checkpoints`, `slots`, `queue`, `runs`, "
            "`children` or `files`; of a note, `recovering` or the code of the warning."
        ),
    ]
    # It holds no path of the server.
    message: Annotated[str, Meta(description="One line for people.")]
    job_id: Annotated[
        JobId | None,
        Meta(
            description="The job that it is about; null when it is about none.",
            extra_json_schema={"pattern": f"^{JOB_ID_PATTERN}$"},
        ),
    ] = None


ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "database": "Restore a backup: what SQLite cannot read nobody can mend.",
        "log": "Restore a backup, or go on: jobs and log are both kept as they are.",
        "checkpoints": "Retry the job from its start.",
        "slots": "Start the server again: it makes its memory anew from the store.",
        "queue": "Start the server again: it makes its memory anew from the store.",
        "runs": "Start the server again: it ends what nothing runs.",
        "counts": "Start the server again, and look whether the disk takes writes.",
        "children": "End the processes by hand; they are not this user's, or wait for a disk.",
        "files": "Give the files to the server's user, or remove the project and sync it again.",
    }
)
"""What helps against a finding that could not be mended, by its kind."""


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and is put right, and what is left."""

    mended: tuple[Finding, ...]
    left: tuple[Finding, ...]


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
    """What the server's start found of the servers before it, and did about it."""

    unfinished: Annotated[int, Meta(description="Jobs that were not final.")] = 0
    # They are queued again, or failed by the rule of their type.
    interrupted: Annotated[int, Meta(description="Runs that had died with their server.")] = 0
    cancelled: Annotated[
        int, Meta(description="Those of them whose cancel had been asked for.")
    ] = 0
    # Their last run was alone.
    poisoned: Annotated[
        int, Meta(description="Jobs that failed because the server died whenever they ran.")
    ] = 0
    killed_processes: Annotated[int, Meta(description="Child processes of older servers.")] = 0
    swept_files: Annotated[
        int, Meta(description="Files that a cut-off run or write had left.")
    ] = 0
