"""Errors on the wire: problem documents (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cidx_jobs.model.errors import Fault
from cidx_jobs.wire.encode import Document, encode
from cidx_jobs.wire.member_rules import about

CONTENT_TYPE = "application/problem+json"


class FaultDocument(Document, frozen=True, kw_only=True):
    """One wrong member of a request."""

    pointer: Annotated[str, about("A JSON pointer (RFC 6901); empty for the whole document.")]
    message: Annotated[str, about("One line for people.")]


class ProblemDocument(Document, frozen=True, kw_only=True):
    """The members that every error has; others hold the values that `detail` names."""

    type: Annotated[str, about("A URI that names the kind of problem; it need not lead anywhere.")]
    title: Annotated[str, about("The kind of problem, in words.")]
    status: Annotated[int, about("Where it stands.")]
    detail: Annotated[str, about("What is wrong, for the caller.")]
    code: Annotated[str, about("Documented, stable and never reused.")]
    instance: Annotated[str, about("The path that was asked for.")]
    request_id: Annotated[str, about("Finds the request in the server's log.")]
    errors: Annotated[
        tuple[FaultDocument, ...],
        about("Each wrong member, when the request's document is wrong."),
    ] = ()


def encode_problem(
    problem: ProblemDocument, faults: Sequence[Fault], members: Mapping[str, Any]
) -> bytes:
    """Return the problem as JSON, with *members* beside its own (which win)."""
    known = msgspec.to_builtins(problem)
    del known["errors"]
    if faults:
        known["errors"] = [{"pointer": one.pointer, "message": one.message} for one in faults]
    extra = {name: value for name, value in members.items() if name not in known}
    return encode(known | extra)
