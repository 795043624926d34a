"""Queries of requests: a class of typed members says what a route takes, and reads it strictly.

Each member of a `Query` is one parameter. Its type and its `msgspec.Meta` are all there is to say
of it: they read the text, check it, and describe it in the OpenAPI document.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from aiohttp import web
from msgspec import inspect as types

from cidx_jobs.model.errors import InvalidParameterError
from cidx_jobs.model.foreign import MAX_WHOLE
from cidx_jobs.web.http.body import shown

MAX_NUMBER = MAX_WHOLE
"""The largest whole number that a query takes."""

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
"""A parameter that is any whole number."""

_WHOLE = re.compile(r"[0-9]{1,19}")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_FLAGS = {"true": True, "false": False}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all queries.

    A member may be an ``int`` with `ge` and `le`, a ``bool``, an enumeration, a ``Literal``, a
    ``datetime``, or text with `pattern` or `max_length`; or a list of these, and only then may the
    parameter be repeated. ``Meta(extra={"rule": ...})`` words the refusal of a text that does not
    fit its pattern. A constraint in `extra_json_schema` is told, and not checked here.
    """


class NoQuery(Query, frozen=True, kw_only=True):
    """The query of a route that takes no parameters."""


class LenientQuery(Query, frozen=True, kw_only=True):
    """The base of what clients of others send: parameters that are not declared are ignored."""


Q = TypeVar("Q", bound=Query)

_ReadText = Callable[[str, str], Any]
"""Takes a parameter's name and its text."""


class QueryReader(Generic[Q]):
    """Reads the queries of one class; what there is to know of it is found out once."""

    def __init__(self, kind: type[Q]) -> None:
        """Prepare to read queries of this class.

        Raises:
            TypeError: it has a member of a type that no parameter can have.
        """
        self._kind = kind
        self._members = {member.parameter: member for member in _members(kind)}
        self._ignores_others = issubclass(kind, LenientQuery)
        is_open = not any(member.is_required for member in self._members.values())
        self._empty: Q | None = kind() if is_open else None

    def read(self, request: web.Request) -> Q:
        """Return the query of the request.

        Raises:
            InvalidParameterError: a parameter is unknown, doubled, missing or wrong.
        """
        if self._empty is not None and not request.query_string:
            return self._empty
        texts = self._texts(request)
        values: dict[str, Any] = {}
        for name, member in self._members.items():
            if name in texts:
                values[member.attribute] = member.read(texts[name])
            elif member.is_required:
                raise InvalidParameterError(name, "it is required")
        return self._kind(**values)

    def _texts(self, request: web.Request) -> Mapping[str, list[str]]:
        texts: dict[str, list[str]] = {}
        for name, text in request.query.items():
            if name not in self._members:
                if self._ignores_others:
                    continue
                raise InvalidParameterError(shown(name), "there is no such parameter")
            if _NO_TEXT.search(text):
                raise InvalidParameterError(name, "it holds what is no text")
            texts.setdefault(name, []).append(text)
        return texts


class _Member(msgspec.Struct, frozen=True, kw_only=True):
    """How one parameter is read."""

    parameter: str
    attribute: str
    is_required: bool
    is_list: bool
    read_text: _ReadText

    def read(self, texts: list[str]) -> Any:
        """Return the value of the parameter."""
        if self.is_list:
            return [self.read_text(self.parameter, text) for text in texts]
        if len(texts) > 1:
            raise InvalidParameterError(self.parameter, "it came more than once")
        return self.read_text(self.parameter, texts[0])


class _Whole(msgspec.Struct, frozen=True):
    """Reads a whole number in ASCII digits."""

    low: int
    high: int

    def __call__(self, name: str, text: str) -> int:
        """Return the number."""
        if not _WHOLE.fullmatch(text) or not self.low <= int(text) <= self.high:
            message = f"it must be a whole number from {self.low} to {self.high}"
            raise InvalidParameterError(name, message, minimum=self.low, maximum=self.high)
        return int(text)


class _Choice(msgspec.Struct, frozen=True):
    """Reads one of some words."""

    choices: Mapping[str, Any]

    def __call__(self, name: str, text: str) -> Any:
        """Return what the word stands for."""
        if text not in self.choices:
            message = f"it must be one of {', '.join(self.choices)}"
            raise InvalidParameterError(name, message, choices=list(self.choices))
        return self.choices[text]


class _Text(msgspec.Struct, frozen=True):
    """Reads a text that keeps a rule."""

    pattern: re.Pattern[str] | None
    max_length: int | None
    rule: str

    def __call__(self, name: str, text: str) -> str:
        """Return the text."""
        if self.max_length is not None and len(text) > self.max_length:
            message = f"at most {self.max_length} characters"
            raise InvalidParameterError(name, message, limit=self.max_length)
        if self.pattern is not None and not self.pattern.fullmatch(text):
            raise InvalidParameterError(name, self.rule)
        return text


def _read_time(name: str, text: str) -> datetime:
    """Return a time in UTC from RFC 3339 with a zone."""
    try:
        # A plus that was not escaped has become a space on its way.
        time = msgspec.convert(text.replace(" ", "+"), datetime)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise InvalidParameterError(name, "it must be a time such as 2026-01-31T12:00:00Z")


def _members(kind: type[Query]) -> list[_Member]:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)  # noqa: S101 - what a Struct is described by
    return [_member(field) for field in info.fields]


def _member(field: types.Field) -> _Member:
    kind = field.type
    if isinstance(kind, types.Metadata) and isinstance(
        kind.type, types.ListType | types.UnionType
    ):
        kind = kind.type
    is_list = isinstance(kind, types.ListType)
    return _Member(
        parameter=field.encode_name,
        attribute=field.name,
        is_required=field.required,
        is_list=is_list,
        read_text=_read_text(kind.item_type if isinstance(kind, types.ListType) else kind),
    )


def _read_text(kind: types.Type, rule: str | None = None) -> _ReadText:
    match kind:
        case types.Metadata(type=inner, extra=extra):
            return _read_text(inner, (extra or {}).get("rule"))
        case types.UnionType(types=(inner, types.NoneType())):
            # None is what a parameter is that did not come; no text stands for it.
            return _read_text(inner, rule)
        case types.IntType(ge=int(low), le=int(high)):
            return _Whole(low, high)
        case types.BoolType():
            return _Choice(_FLAGS)
        case types.EnumType(cls=names):
            return _Choice({one.value: one for one in names})
        case types.LiteralType(values=words):
            return _Choice({str(word): word for word in words})
        case types.DateTimeType():
            return _read_time
        case types.StrType(min_length=None, max_length=longest, pattern=pattern):
            return _Text(re.compile(pattern) if pattern else None, longest, _rule(rule, pattern))
        case _:
            message = f"no parameter can be of the type {kind}"
            raise TypeError(message)


def _rule(rule: str | None, pattern: str | None) -> str:
    return rule or f"it must match {pattern}"
