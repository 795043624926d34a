"""What was found when the server or its directory was examined."""

from collections.abc import Sequence
from typing import Annotated, Self

from cidx_jobs.model.findings import ADVICE, Finding, Mended, ServerWarning
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.member_rules import about


class MendDocument(Document, frozen=True, kw_only=True):
    """``POST /api/admin/doctor``."""

    ok: Annotated[bool, about("Nothing is left that does not fit together.")]
    database_id: Annotated[str, about("The id of the database.")]
    mended: Annotated[tuple[Finding, ...], about("What was found and is put right.")]
    findings: Annotated[tuple[Finding, ...], about("What could not be mended.")]
    advice: Annotated[
        tuple[str, ...], about("What helps against each of the findings, in their order.")
    ]

    @classmethod
    def of(cls, mended: Mended, database_id: str) -> Self:
        """Return the document of what was mended."""
        return cls(
            ok=not mended.left,
            database_id=database_id,
            mended=mended.mended,
            findings=mended.left,
            advice=tuple(ADVICE[finding.kind] for finding in mended.left),
        )


class DoctorDocument(Document, frozen=True, kw_only=True):
    """``GET /api/admin/doctor``."""

    ok: Annotated[bool, about("Nothing was found.")]
    database_id: Annotated[
        str, about("The id of the database; a copy takes one of its own when it starts.")
    ] = ""
    findings: Annotated[
        tuple[Finding, ...], about("One for each thing that does not fit together.")
    ]
    notes: Annotated[
        tuple[Finding, ...],
        about(
            "What is no fault of what is stored: the warnings of `/readyz`, a "
            "suspect of a crash that runs alone, and push hooks whose secret was encrypted with a "
            "key that is gone."
        ),
    ] = ()

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
            findings=tuple(findings),
            notes=(*(Finding(kind=one.code, message=one.message) for one in warnings), *notes),
        )
