"""What a server found when it looked at itself: at its start, and when it was examined."""

from collections.abc import Sequence
from typing import Annotated, Self

from msgspec import Meta

from cidx_jobs.model.findings import Finding, Recovery, ServerWarning
from cidx_jobs.model.ids import JobId
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document


class FindingDocument(Document, frozen=True, kw_only=True):
    """One thing that does not fit together, or that is worth a note."""

    kind: Annotated[
        str,
        Meta(
            description="`database`, `log`, `counts`, `checkpoints`, `slots`, `queue`, `runs`, "
            "`children` or `files`; of a note, `recovering` or the code of the warning."
        ),
    ]
    message: Annotated[str, Meta(description="One line for people.")]
    job_id: Annotated[
        JobId | None,
        Meta(
            description="The job that it is about; null when it is about none.",
            extra_json_schema=rules.JOB_ID,
        ),
    ]

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the document of a finding or a note."""
        return cls(kind=finding.kind, message=finding.message, job_id=finding.job_id)


class DoctorDocument(Document, frozen=True, kw_only=True):
    """``GET /api/admin/doctor``."""

    ok: Annotated[bool, Meta(description="Nothing was found.")]
    database_id: Annotated[
        str,
        Meta(description="The id of the database; a copy takes one of its own when it starts."),
    ]
    findings: Annotated[
        tuple[FindingDocument, ...],
        Meta(description="One for each thing that does not fit together."),
    ]

    notes: Annotated[
        tuple[FindingDocument, ...],
        Meta(
            description="What is no fault of what is stored: the warnings of `/readyz`, and a "
            "suspect of a crash that runs alone."
        ),
    ]

    @classmethod
    def of(
        cls,
        findings: Sequence[Finding],
        database_id: str,
        warnings: Sequence[ServerWarning],
        notes: Sequence[Finding] = (),
    ) -> Self:
        """Return the document of what was found."""
        return cls(
            ok=not findings,
            database_id=database_id,
            findings=tuple(map(FindingDocument.of, findings)),
            notes=(
                *(
                    FindingDocument(kind=one.code, message=one.message, job_id=None)
                    for one in warnings
                ),
                *map(FindingDocument.of, notes),
            ),
        )


class RecoveryDocument(Document, frozen=True, kw_only=True):
    """What the server's start found of the servers before it, and did about it."""

    unfinished: Annotated[int, Meta(description="Jobs that were not final.")]
    interrupted: Annotated[int, Meta(description="Runs that had died with their server.")]
    cancelled: Annotated[int, Meta(description="Those of them whose cancel had been asked for.")]
    poisoned: Annotated[
        int, Meta(description="Jobs that failed because the server died whenever they ran.")
    ]
    killed_processes: Annotated[int, Meta(description="Child processes of older servers.")]
    swept_files: Annotated[int, Meta(description="Files that a cut-off run or write had left.")]

    @classmethod
    def of(cls, recovery: Recovery) -> Self:
        """Give the document of a recovery."""
        return cls(
            unfinished=recovery.unfinished,
            interrupted=recovery.interrupted,
            cancelled=recovery.cancelled,
            poisoned=recovery.poisoned,
            killed_processes=recovery.killed_processes,
            swept_files=recovery.swept_files,
        )
