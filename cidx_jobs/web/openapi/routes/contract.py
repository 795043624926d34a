"""What a route promises: the values that the document of the API is made of.

The table of routes (`cidx_jobs.web.http.route`) says who may call what;
`cidx_jobs.web.openapi.routes.operations` says the rest of each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from cidx_jobs.wire.encode import Document

JSON = "application/json"

Schema = Mapping[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 takes it."""


@attrs.frozen
class Parameter:
    """What a request may carry in its query, or in a header."""

    name: str
    about: str
    schema: Schema
    place: str = "query"
    """``query`` or ``header``."""
    is_required: bool = False
    is_list: bool = False
    """It may come more than once."""
    example: Any = None


@attrs.frozen(kw_only=True)
class Reply:
    """One way in which a request succeeds."""

    status: int
    about: str
    document: type[Document] | None = None
    example: Document | None = None
    media: Mapping[str, tuple[Schema, Any]] = attrs.field(factory=dict)
    """Other forms by their type, each with its schema and an example."""
    headers: Sequence[str] = ()
    """By name; what they say stands in `cidx_jobs.web.openapi.document`."""


@attrs.frozen(kw_only=True)
class Operation:
    """What one route takes and gives."""

    name: str
    """Unique among all; the name of a method in clients that are made from the document."""
    group: str
    summary: str
    about: str = ""
    parameters: Sequence[Parameter] = ()
    body: type[Document] | None = None
    body_is_required: bool = False
    body_example: Mapping[str, Any] | None = None
    replies: Sequence[Reply]
    errors: Sequence[str] = ()
    """The codes of its own, besides those that follow from scope, query and body."""
    is_strict: bool = True
    """A query parameter that is not known is refused."""
