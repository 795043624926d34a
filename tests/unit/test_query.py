"""Queries: a class of typed members parses, checks and describes what a route takes."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec import Meta

from cidx_jobs.model.errors import InvalidParameterError
from cidx_jobs.web.http.query import NoQuery, Query, QueryReader
from cidx_jobs.web.openapi.schemas import describe_query


class Colour(StrEnum):
    """Some choices."""

    RED = "red"
    BLUE = "blue"


Name = Annotated[str, Meta(pattern="^[a-z]+$", extra={"rule": "it is no name"})]
Tag = Annotated[str, Meta(pattern="^[^:]+:.*$")]


class SampleQuery(Query, frozen=True, kw_only=True):
    """One member of each kind."""

    needed: Annotated[str, Meta(description="Has to be there.", examples=["x"])]
    count: Annotated[int, Meta(description="A number.", ge=1, le=200)] = 50
    name: Annotated[Name | None, Meta(description="A name.")] = None
    colour: Annotated[Colour | None, Meta(description="A choice.")] = None
    order: Annotated[Literal["-at", "at"], Meta(description="A word.")] = "-at"
    deep: Annotated[bool, Meta(description="A flag.")] = False
    since: Annotated[datetime | None, Meta(description="A time.")] = None
    tag: Annotated[list[Tag], Meta(description="Some.")] = msgspec.field(default_factory=list)


def read(query: str, kind: type[Query] = SampleQuery) -> Any:
    """Return what a query says."""
    return QueryReader(kind).read(make_mocked_request("GET", f"/{query}"))


def test_every_kind_of_member_is_read() -> None:
    """Each by its type; what did not come has its default."""
    asked = read(
        "?needed=a%20b&count=007&name=abc&colour=blue&order=at&deep=true"
        "&since=2026-01-31T13:00:00%2B01:00&tag=a:b&tag=c:"
    )

    assert asked == SampleQuery(
        needed="a b",
        count=7,
        name="abc",
        colour=Colour.BLUE,
        order="at",
        deep=True,
        since=datetime(2026, 1, 31, 12, tzinfo=UTC),
        tag=["a:b", "c:"],
    )
    assert read("?needed=") == SampleQuery(needed="")


@pytest.mark.parametrize(
    ("query", "parameter", "text"),
    [
        ("", "needed", "it is required"),
        ("?needed=x&other=1", "other", "there is no such parameter"),
        ("?needed=x&needed=y", "needed", "it came more than once"),
        ("?needed=%00", "needed", "it holds what is no text"),
        ("?needed=x&count=0", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&count=201", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&count=-1", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&count=%D9%A7", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&count=7.0", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&count=", "count", "it must be a whole number from 1 to 200"),
        ("?needed=x&name=ab%0A", "name", "it is no name"),
        ("?needed=x&tag=ab", "tag", "it must match ^[^:]+:.*$"),
        ("?needed=x&colour=RED", "colour", "it must be one of red, blue"),
        ("?needed=x&order=up", "order", "it must be one of -at, at"),
        ("?needed=x&deep=1", "deep", "it must be one of true, false"),
        ("?needed=x&since=2026-01-31T12:00:00", "since", "it must be a time such as"),
        ("?needed=x&since=now", "since", "it must be a time such as"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(query: str, parameter: str, text: str) -> None:
    """The parameter and the reason, with what the reason names as members."""
    with pytest.raises(InvalidParameterError) as caught:
        read(query)

    assert caught.value.members["parameter"] == parameter
    assert text in caught.value.message


def test_a_route_without_parameters_takes_none() -> None:
    """Strict, also where nothing is read."""
    with pytest.raises(InvalidParameterError):
        read("?a=1", NoQuery)

    assert read("", NoQuery) == NoQuery()


def test_a_member_that_no_text_can_be_is_refused_at_once() -> None:
    """When the route is made, not when the first request comes."""

    class Wrong(Query, frozen=True, kw_only=True):
        inner: dict[str, str]

    class Unbounded(Query, frozen=True, kw_only=True):
        number: int

    for kind in (Wrong, Unbounded):
        with pytest.raises(TypeError, match="no parameter can be"):
            QueryReader(kind)


def test_the_same_class_describes_the_parameters() -> None:
    """Names, words, ranges, choices, defaults, examples."""
    described = {one["name"]: one for one in describe_query(SampleQuery)}

    assert list(described) == [field.name for field in msgspec.structs.fields(SampleQuery)]
    assert described["needed"] == {
        "name": "needed",
        "in": "query",
        "required": True,
        "description": "Has to be there.",
        "schema": {"type": "string"},
        "example": "x",
    }
    assert described["count"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 200,
        "default": 50,
    }
    assert described["name"]["schema"] == {"type": "string", "pattern": "^[a-z]+$"}
    assert described["colour"]["schema"] == {"type": "string", "enum": ["blue", "red"]}
    assert described["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert described["tag"]["schema"] == {
        "type": "array",
        "items": {"type": "string", "pattern": "^[^:]+:.*$"},
    }
