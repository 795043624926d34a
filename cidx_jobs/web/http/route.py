"""Routes with their contracts: what a request may bring, and what it is answered.

One declaration parses the request, checks it, calls the handler and is the route's part of the
OpenAPI document:

    @route(
        "GET /jobs/{job_id}/events",
        EVENTS,
        scope="read",
        query=PageQuery,
        replies=[Reply(200, "One page.", EventListDocument(...))],
        errors=[NotAcceptableError],
    )
    async def list_job_events(call: Call, query: PageQuery) -> web.StreamResponse:
        \"\"\"Read the job's transitions, oldest first.\"\"\"

A route says what is its own. What follows from that is added: the errors of its scope, its query,
its body and its path, what the path's parts mean, and its name, which is that of its handler.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, Required, TypedDict, TypeVar, Unpack, overload

import msgspec
from aiohttp import web

from cidx_jobs.model.errors import (
    AdminRequiredError,
    AuthenticationRequiredError,
    CidxJobsError,
    ForbiddenError,
    InvalidCursorError,
    InvalidParameterError,
    OwnerLostError,
    RequestError,
    StaleVersionError,
    StoppingError,
    StorageFullError,
    StorageUnavailableError,
    ValidationError,
)
from cidx_jobs.web.errors import RateLimitedError, TooManyConnectionsError
from cidx_jobs.web.http.body import BODY_ERRORS, read_members
from cidx_jobs.web.http.call import Answer, Call
from cidx_jobs.web.http.paths import list_parts
from cidx_jobs.web.http.query import NoQuery, Query, QueryReader
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.request_bodies import Body, EmptyBody
from cidx_jobs.wire.strict_json import MalformedBodyError, fit

JSON = "application/json"

Schema = Mapping[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 takes it."""

Errors = frozenset[type[CidxJobsError]]

_ALWAYS: Errors = frozenset({RequestError, InvalidParameterError, ForbiddenError, CidxJobsError})
_OF_CALLERS: Errors = frozenset(
    {
        AuthenticationRequiredError,
        RateLimitedError,
        StoppingError,
        StorageUnavailableError,
        TooManyConnectionsError,
    }
)
_OF_WRITES: Errors = frozenset({OwnerLostError, StaleVersionError, StorageFullError})

Q = TypeVar("Q", bound=Query)
Q_contra = TypeVar("Q_contra", bound=Query, contravariant=True)
B = TypeVar("B", bound=Body)
B_contra = TypeVar("B_contra", bound=Body, contravariant=True)


class Group(msgspec.Struct, frozen=True):
    """A chapter of the document: what its routes are about."""

    name: str
    about: str


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A header of a request that the handler reads."""

    name: str
    about: str
    pattern: str | None = None
    example: str


class Reply(msgspec.Struct, frozen=True):
    """One way in which a request succeeds."""

    status: int
    about: str
    example: Document | None = None
    """A document of the class that is answered; None where the answer has no JSON."""
    headers: Sequence[str] = ()
    """By name; what they say stands in `cidx_jobs.web.openapi.headers`."""
    media: Mapping[str, tuple[Schema, Any]] = msgspec.field(default_factory=dict)
    """Other forms by their type, each with its schema and an example."""


class Contract(TypedDict, total=False):
    """The words and the answers of a route."""

    about: str
    headers: Sequence[Header]
    body_example: Mapping[str, Any]
    documents: Sequence[type[msgspec.Struct]]
    """Those that the schema of the body names besides its own."""
    replies: Required[Sequence[Reply]]
    errors: Sequence[type[CidxJobsError]]
    """Its own, besides those that follow from scope, path, query and body."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path: who may use it, what it takes, and what answers."""

    method: str
    path: str
    """Below the prefix."""
    name: str
    """Unique among all; the name of a method in clients that are made from the document."""
    summary: str
    """One line: the first one of its handler's docstring."""
    group: Group
    scope: str | None
    """``read``, ``write``, ``audit``, ``admin``, or None for everybody."""
    query: type[Query]
    body: type[Body] | None
    contract: Contract
    answer: Answer
    """Reads the request, and answers it."""

    @property
    def key(self) -> str:
        """Its method and its path."""
        return f"{self.method} {self.path}"

    @property
    def body_is_required(self) -> bool:
        """Tell whether a request without a body is refused."""
        return self.body is not None and any(
            field.required for field in msgspec.structs.fields(self.body)
        )

    @property
    def errors(self) -> Errors:
        """All that it can refuse a request with."""
        found = _ALWAYS | set(self.contract.get("errors", ()))
        for part in list_parts(self.path):
            found |= set(part.errors)
        if self.scope is not None:
            found |= _OF_CALLERS
        if self.scope in {"admin", "audit"}:
            found |= {AdminRequiredError}
        if "cursor" in self.query.__struct_fields__:
            found |= {InvalidCursorError}
        if self.body is not None:
            found |= BODY_ERRORS
        if self.method != "GET":
            found |= _OF_WRITES
        return found


Table = Sequence[tuple[str, Route]]
"""Each route with its whole path."""


class _TakesQuery(Protocol[Q_contra]):
    def __call__(self, call: Call, query: Q_contra, /) -> Awaitable[web.StreamResponse]: ...


class _TakesBody(Protocol[B_contra]):
    def __call__(self, call: Call, body: B_contra, /) -> Awaitable[web.StreamResponse]: ...


class _TakesBoth(Protocol[Q_contra, B_contra]):
    def __call__(
        self, call: Call, query: Q_contra, body: B_contra, /
    ) -> Awaitable[web.StreamResponse]: ...


@overload
def route(
    key: str,
    group: Group,
    *,
    scope: str | None,
    query: type[Q],
    body: type[B],
    **contract: Unpack[Contract],
) -> Callable[[_TakesBoth[Q, B]], Route]: ...
@overload
def route(
    key: str,
    group: Group,
    *,
    scope: str | None,
    query: type[Q],
    leaves_body: bool = ...,
    **contract: Unpack[Contract],
) -> Callable[[_TakesQuery[Q]], Route]: ...
@overload
def route(
    key: str, group: Group, *, scope: str | None, body: type[B], **contract: Unpack[Contract]
) -> Callable[[_TakesBody[B]], Route]: ...
@overload
def route(
    key: str,
    group: Group,
    *,
    scope: str | None,
    leaves_body: bool = ...,
    **contract: Unpack[Contract],
) -> Callable[[Answer], Route]: ...
def route(
    key: str,
    group: Group,
    *,
    scope: str | None,
    query: type[Query] = NoQuery,
    body: type[Body] | None = None,
    leaves_body: bool = False,
    **contract: Unpack[Contract],
) -> Callable[[Callable[..., Awaitable[web.StreamResponse]]], Route]:
    """Make a route of its handler, which is called with the query, the body or both, once read.

    The first line of the handler's docstring is what the API's document says of the route, and
    its name, in camel case, what the document calls it.

    Args:
        key: the method and the path below the prefix, as in ``GET /jobs/{job_id}``.
        group: the chapter of the document that it stands in.
        scope: who may call: ``read``, ``write``, ``audit``, ``admin``, or None for everybody.
        query: what its parameters are; without it, any parameter is refused.
        body: what its body is; without it, any member is refused where the method has a body.
        leaves_body: whether the body is left unread: for the handler, or for nobody.
        contract: the words and the answers.
    """
    method, _, path = key.partition(" ")
    read = EmptyBody if body is None and method != "GET" and not leaves_body else body

    def make(handler: Callable[..., Awaitable[web.StreamResponse]]) -> Route:
        if read is None:
            answer: Answer = _WithoutBody(query, handler)
        else:
            answer = _WithBody(query, read, handler, passes_body=body is not None)
        return Route(
            method=method,
            path=path,
            name=_name_of(handler),
            summary=_summarize(handler),
            group=group,
            scope=scope,
            query=query,
            body=read,
            contract=contract,
            answer=answer,
        )

    return make


def _name_of(handler: Callable[..., object]) -> str:
    first, *others = handler.__name__.split("_")
    return first + "".join(word.capitalize() for word in others)


def _summarize(handler: Callable[..., object]) -> str:
    # Without docstrings (python -OO) the document has the paths alone.
    return (handler.__doc__ or "").strip().partition("\n")[0]


class _WithoutBody:
    """Calls a handler with the query, if it takes one.

    Not a coroutine: each frame is memory that every request that waits holds.
    """

    def __init__(
        self, query: type[Query], handler: Callable[..., Awaitable[web.StreamResponse]]
    ) -> None:
        self._read = QueryReader(query).read
        self._passes_query = query is not NoQuery
        self._handler = handler

    def __call__(self, call: Call) -> Awaitable[web.StreamResponse]:
        query = self._read(call.request)
        return self._handler(call, query) if self._passes_query else self._handler(call)


class _WithBody:
    """Calls a handler with the query and the body, as far as it takes them."""

    def __init__(
        self,
        query: type[Query],
        body: type[Body],
        handler: Callable[..., Awaitable[web.StreamResponse]],
        *,
        passes_body: bool,
    ) -> None:
        self._read = QueryReader(query).read
        self._passes_query = query is not NoQuery
        self._kind = body
        self._passes_body = passes_body
        self._handler = handler

    async def __call__(self, call: Call) -> web.StreamResponse:
        passed: list[Query | Body] = []
        query = self._read(call.request)
        if self._passes_query:
            passed.append(query)
        call.members = await _read_members_of(self._kind, call)
        body = fit(self._kind, call.members)
        if self._passes_body:
            passed.append(body)
        return await self._handler(call, *passed)


async def _read_members_of(kind: type[Body], call: Call) -> dict[str, Any]:
    try:
        return await read_members(call.request)
    except ValidationError as error:
        if not kind.is_unread_unless_object:
            raise
        message = "the body is no JSON object"
        raise MalformedBodyError(message) from error
