"""What a server found when it looked at itself: at its start, and when it was examined."""

from collections.abc import Sequence
from typing import Self

from cidx_jobs.model.findings import Finding, Recovery, ServerWarning
from cidx_jobs.model.ids import JobId
from cidx_jobs.wire.encode import Document


class FindingDocument(Document, frozen=True, kw_only=True):
    """One thing that does not fit together."""

    kind: str
    """``database``, ``log``, ``counts``, ``checkpoints``, ``slots``, ``queue``, ``runs``,
    ``children`` or ``files``; of a note, the code of the warning."""
    message: str
    job_id: JobId | None


class DoctorDocument(Document, frozen=True, kw_only=True):
    """``GET /api/admin/doctor``."""

    ok: bool
    """Nothing was found."""
    database_id: str
    findings: tuple[FindingDocument, ...]
    notes: tuple[FindingDocument, ...]
    """What should be mended though everything fits together: the warnings of ``/readyz``."""

    @classmethod
    def of(
        cls, findings: Sequence[Finding], database_id: str, warnings: Sequence[ServerWarning]
    ) -> Self:
        """Return the document of what was found."""
        return cls(
            ok=not findings,
            database_id=database_id,
            findings=tuple(
                FindingDocument(kind=one.kind, message=one.message, job_id=one.job_id)
                for one in findings
            ),
            notes=tuple(
                FindingDocument(kind=one.code, message=one.message, job_id=None)
                for one in warnings
            ),
        )


class RecoveryDocument(Document, frozen=True, kw_only=True):
    """What the server's start found of the servers before it, and did about it."""

    unfinished: int
    interrupted: int
    """Runs that had died with their server."""
    cancelled: int
    """Those of them whose cancel had been asked for."""
    poisoned: int
    """Jobs that failed because the server died whenever they ran."""
    killed_processes: int
    swept_files: int

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
