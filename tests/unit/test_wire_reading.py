"""Bodies are read strictly: what two parsers could take differently is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.foreign import MAX_DEPTH, plain_options
from cidx_jobs.wire.encode import fingerprint
from cidx_jobs.wire.request_bodies import CancelBody, SyncBody, make_submit
from cidx_jobs.wire.strict_json import MalformedBodyError, fit, read_object


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="half a brace"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b"[" * 30_000, id="30,000 levels"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, id="33 levels"),
        pytest.param(b'"[' * 30_000, id="30,000 brackets in and out of strings"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="-Infinity"),
        pytest.param(b'{"a": 1e999}', id="no double"),
        pytest.param(b'{"a": 9223372036854775808}', id="19 digits"),
        pytest.param(b'{"a": -' + b"9" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"\\udc00": 1}', id="half a surrogate pair in a name"),
        pytest.param(b'{"a": ["\\u0000"]}', id="NUL"),
        pytest.param(b'{"a": "\x00"}', id="raw NUL"),
        pytest.param(b'{"a": 1, "a": 2}', id="doubled member"),
        pytest.param(b'{"b": {"a": 1, "\\u0061": 2}}', id="doubled member, escaped, inside"),
        pytest.param(b'{"a": "\xff\xfe"}', id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), id="encoded surrogate"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_malformed(body: bytes) -> None:
    """Such a body is refused before anything looks at its members."""
    with pytest.raises(MalformedBodyError):
        read_object(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true"])
def test_a_body_is_an_object(body: bytes) -> None:
    """Another JSON value can be read, but is wrong."""
    with pytest.raises(ValidationError) as caught:
        read_object(body)

    assert [fault.pointer for fault in caught.value.faults] == [""]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"{}", {}),
        (b'{"a": 9223372036854775807, "b": -1.5e3}', {"a": 2**63 - 1, "b": -1500.0}),
        (b'{"a": -9223372036854775808}', {"a": -(2**63)}),
        (b'{"a": "\\ud83d\\ude00 \\u00e9"}', {"a": "😀 é"}),
        (b'{"a": "' + b"[" * 100 + b'"}', {"a": "[" * 100}),
        (b'{"a": "\\"[", "b": [' + b"[]," * 40 + b"[]]}", {"a": '"[', "b": [[]] * 41}),
    ],
)
def test_what_is_sound_comes_through(body: bytes, value: dict[str, Any]) -> None:
    """Whole numbers of 64 bits, real pairs, brackets in strings and wide arrays are fine."""
    assert read_object(body) == value


def test_the_deepest_body_that_is_allowed_is_read() -> None:
    """32 levels are not one too many."""
    inner = MAX_DEPTH - 1

    assert read_object(b'{"a":' + b"[" * inner + b"]" * inner + b"}")


def test_every_fault_is_named_by_its_pointer() -> None:
    """Unknown, missing and wrong members come together, names escaped as RFC 6901 says."""
    members = {
        "is_admin": True,
        "a/b~c": 1,
        "priority": True,
        "hold": 1,
        "labels": {"a": 1, "b/c": 2},
    }

    with pytest.raises(ValidationError) as caught:
        fit(SyncBody, members)

    assert [fault.pointer for fault in caught.value.faults] == [
        "/a~1b~0c",
        "/is_admin",
        "/project_id",
        "/priority",
        "/hold",
        "/labels/a",
        "/labels/b~1c",
    ]


@pytest.mark.parametrize("member", ["priority", "max_attempts", "timeout_seconds"])
@pytest.mark.parametrize("value", [True, "1", [1], 1.5])
def test_a_number_is_a_number(member: str, value: Any) -> None:
    """Booleans and text are no numbers; a part of a second is a duration, but no priority."""
    if member == "timeout_seconds" and value == 1.5:
        assert fit(SyncBody, {"project_id": "p", member: value}).timeout_seconds == 1.5
        return

    with pytest.raises(ValidationError) as caught:
        fit(SyncBody, {"project_id": "p", member: value})

    assert [fault.pointer for fault in caught.value.faults] == [f"/{member}"]


def test_a_body_without_members_takes_its_defaults() -> None:
    """No body and ``{}`` ask for the same."""
    assert fit(CancelBody, read_object(b"")) == fit(CancelBody, read_object(b"{}"))


def test_the_repository_may_stand_at_the_top_of_a_sync() -> None:
    """It becomes the option; the same url at both places is one."""
    url = "https://example.com/a.git"
    top = fit(SyncBody, {"project_id": "p", "repository_url": url, "options": {"branch": "x"}})
    both = fit(SyncBody, {"project_id": "p", "repository_url": url, "options": dict(top.options)})

    request = make_submit(top, "alice", None)

    assert request.options == {"branch": "x", "repository_url": url}
    assert request.job_type == "repository_sync"
    assert make_submit(both, "alice", None) == request


def test_two_repositories_in_one_sync_are_a_fault() -> None:
    """Neither of the two is guessed to be the right one."""
    body = fit(
        SyncBody,
        {"project_id": "p", "repository_url": "a", "options": {"repository_url": "b"}},
    )

    with pytest.raises(ValidationError) as caught:
        make_submit(body, "alice", None)

    assert caught.value.faults[0].pointer == "/repository_url"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_start_time_is_kept_in_utc(text: str, time: datetime) -> None:
    """Any zone may be sent."""
    body = fit(SyncBody, {"project_id": "p", "start_at": text})

    request = make_submit(body, "alice", None)

    assert (request.start_at, request.start_at and request.start_at.tzinfo) == (time, UTC)


def test_a_start_time_that_utc_has_not_is_a_fault() -> None:
    """The first hours of year 1 east of Greenwich are before all time."""
    body = fit(SyncBody, {"project_id": "p", "start_at": "0001-01-01T00:00:00+14:00"})

    with pytest.raises(ValidationError):
        make_submit(body, "alice", None)


def test_the_fingerprint_is_that_of_the_request() -> None:
    """The order of members does not count; method, path and values do."""
    first = fingerprint("POST", "/api/jobs", {"a": 1, "b": {"c": 1, "d": 2}})

    assert first == fingerprint("POST", "/api/jobs", {"b": {"d": 2, "c": 1}, "a": 1})
    assert first != fingerprint("POST", "/api/sync", {"a": 1, "b": {"c": 1, "d": 2}})
    assert first != fingerprint("PUT", "/api/jobs", {"a": 1, "b": {"c": 1, "d": 2}})
    assert first != fingerprint("POST", "/api/jobs", {"a": 1, "b": {"c": 1, "d": 3}})


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        "a\x00",
        "\ud800",
        {"a\x00": 1},
        [[2**63]],
        float("nan"),
        [{"a": float("-inf")}],
        json.loads("[" * 31 + "]" * 31),
    ],
    ids=lambda value: str(value)[:20],
)
def test_both_doors_refuse_the_same(value: Any) -> None:
    """What no body may hold is no option of an embedding program's submit either."""
    body = json.dumps({"options": {"v": value}}).encode()

    with pytest.raises(MalformedBodyError):
        read_object(body)
    with pytest.raises(ValidationError, match="/options"):
        plain_options({"v": value})


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), "\x7f\u2028", json.loads("[" * 30 + "]" * 30), None, 1e300, ""]
)
def test_both_doors_take_the_same(value: Any) -> None:
    """And it comes out as it went in."""
    body = json.dumps({"options": {"v": value}}).encode()

    assert read_object(body)["options"] == plain_options({"v": value}) == {"v": value}
