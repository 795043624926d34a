"""What code hosts send: each host's headers and body, read as one kind of event.

GitHub: docs.github.com/webhooks. Gitea and Forgejo: docs.gitea.com and forgejo.org, "Webhooks".
GitLab: docs.gitlab.com, "Webhook events". Bitbucket: support.atlassian.com, "Event payloads" for
the cloud and "Event payload" for the data center. Of a body only what is needed is looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qs

import msgspec

from cidx_jobs.engine.webhooks.signatures import STANDARD, Headers
from cidx_jobs.model.foreign import printable
from cidx_jobs.wire.strict_json import MalformedBodyError

B = TypeVar("B", bound=msgspec.Struct)

PUSH = "push"
PING = "ping"

_EVENT_KEY = "X-Event-Key"
_HOOK_OF_CLOUD = "X-Hook-UUID"
_FORM = "application/x-www-form-urlencoded"
_BRANCH = "refs/heads/"
_TAG = "refs/tags/"
_MAX_KIND_CHARACTERS = 64
_MAX_FIELDS = 100


class RefKind(StrEnum):
    """What a push moves."""

    BRANCH = "branch"
    TAG = "tag"
    OTHER = "other"


class RefChange(msgspec.Struct, frozen=True):
    """One branch or tag that a push made, moved or deleted."""

    kind: RefKind
    name: str
    is_deleted: bool = False


class HostEvent(msgspec.Struct, frozen=True):
    """What a host tells."""

    sender: str
    """``github``, ``gitea``, ``forgejo``, ``gitlab``, ``bitbucket``, ``bitbucket_data_center`` or
    ``generic``."""
    kind: str
    """``push``, ``ping``, or the host's own word for another event."""
    changes: Sequence[RefChange] = ()
    """Of a push."""


_GITLAB_PUSHES = {"Push Hook": PUSH, "Tag Push Hook": "tag_push"}
"""What pushes are called in the header, and in the body."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of sender: how it is known, and where it says what."""

    name: str
    event: str | None
    """The header that names the event, by which the sender is known."""
    deliveries: tuple[str, ...]
    """The headers with an id that a repeat of the delivery has, too."""
    read: Callable[[str, bytes], tuple[str, Sequence[RefChange]]]
    """Returns kind and changes for the event's name and the JSON text."""
    signs_payload: bool = False
    """Of a form it signs what is in it, and not the form."""


class _Anything(msgspec.Struct, frozen=True, kw_only=True):
    """An object that nothing is wanted of."""


class _GitPush(msgspec.Struct, frozen=True, kw_only=True):
    ref: str
    after: str | None = None
    deleted: bool = False


class _GitLabEvent(msgspec.Struct, frozen=True, kw_only=True):
    object_kind: str | None = None
    event_name: str | None = None


class _CloudRef(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    name: str


class _CloudChange(msgspec.Struct, frozen=True, kw_only=True):
    new: _CloudRef | None = None
    old: _CloudRef | None = None


class _CloudChanges(msgspec.Struct, frozen=True, kw_only=True):
    changes: list[_CloudChange]


class _CloudPush(msgspec.Struct, frozen=True, kw_only=True):
    push: _CloudChanges


class _CenterRef(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _CenterChange(msgspec.Struct, frozen=True, kw_only=True):
    ref: _CenterRef
    type: str


class _CenterPush(msgspec.Struct, frozen=True, kw_only=True):
    changes: list[_CenterChange]


def find_host(headers: Headers) -> Host:
    """Return the kind of sender that the headers are of."""
    # Gitea and Forgejo send the headers of GitHub and of each other besides their own.
    for host in (_FORGEJO, _GITEA, _GITLAB, _GITHUB, _BITBUCKET):
        if host.event in headers:
            return _DATA_CENTER if host is _BITBUCKET and _is_data_center(headers) else host
    return _GENERIC


def find_delivery_id(host: Host, headers: Headers) -> str | None:
    """Return what the host calls this delivery; None where it says nothing."""
    # The one id that is signed goes before all others.
    names = ("webhook-id",) if STANDARD in headers else host.deliveries
    return next((headers[name] for name in names if headers.get(name)), None)


def unpack(headers: Headers, body: bytes) -> bytes:
    """Return the JSON text of a body: the body, or what a form has as its ``payload``.

    Raises:
        MalformedBodyError: it is a form without one.
    """
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != _FORM:
        return body
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        return fields[b"payload"][0]
    except (ValueError, KeyError) as error:
        message = "the body is a form without a payload"
        raise MalformedBodyError(message) from error


def read_event(host: Host, headers: Headers, payload: bytes) -> HostEvent:
    """Return what the delivery tells.

    Raises:
        MalformedBodyError: the payload is no JSON object, or a push without what a push has.
    """
    named = "" if host.event is None else headers.get(host.event, "")
    kind, changes = host.read(named, payload)
    return HostEvent(host.name, printable(kind)[:_MAX_KIND_CHARACTERS] or "unnamed", changes)


def _read_like_github(named: str, payload: bytes) -> tuple[str, Sequence[RefChange]]:
    if named != PUSH:
        _decode(payload, _Anything)
        return named, ()
    return PUSH, (_change_of(_decode(payload, _GitPush)),)


def _read_gitlab(named: str, payload: bytes) -> tuple[str, Sequence[RefChange]]:
    event = _decode(payload, _GitLabEvent)
    # A system hook says in the body alone which event it is; a short body, in the header alone.
    kind = event.object_kind or event.event_name or _GITLAB_PUSHES.get(named, named)
    if kind not in _GITLAB_PUSHES.values():
        return kind, ()
    return PUSH, (_change_of(_decode(payload, _GitPush)),)


def _read_bitbucket(named: str, payload: bytes) -> tuple[str, Sequence[RefChange]]:
    if named != "repo:push":
        _decode(payload, _Anything)
        return named, ()
    changes = _decode(payload, _CloudPush).push.changes
    return PUSH, tuple(_change_in_cloud(change) for change in changes)


def _read_data_center(named: str, payload: bytes) -> tuple[str, Sequence[RefChange]]:
    if named != "repo:refs_changed":
        _decode(payload, _Anything)
        return (PING if named == "diagnostics:ping" else named), ()
    return PUSH, tuple(
        _ref_change(change.ref.id, is_deleted=change.type == "DELETE")
        for change in _decode(payload, _CenterPush).changes
    )


def _read_generic(_: str, payload: bytes) -> tuple[str, Sequence[RefChange]]:
    return PUSH, (_change_of(_decode(payload, _GitPush)),)


def _change_of(push: _GitPush) -> RefChange:
    # Whoever does not say that it is deleted names a commit of nothing but zeros.
    is_gone = push.after is not None and push.after != "" and not push.after.strip("0")
    return _ref_change(push.ref, is_deleted=push.deleted or is_gone)


def _ref_change(ref: str, *, is_deleted: bool) -> RefChange:
    for kind, beginning in ((RefKind.BRANCH, _BRANCH), (RefKind.TAG, _TAG)):
        if ref.startswith(beginning):
            return RefChange(kind, ref.removeprefix(beginning), is_deleted)
    return RefChange(RefKind.OTHER, ref, is_deleted)


def _change_in_cloud(change: _CloudChange) -> RefChange:
    ref = change.new or change.old
    if ref is None:
        return RefChange(RefKind.OTHER, "")
    kinds: Mapping[str, RefKind] = {"branch": RefKind.BRANCH, "tag": RefKind.TAG}
    return RefChange(kinds.get(ref.type, RefKind.OTHER), ref.name, change.new is None)


def _decode(payload: bytes, kind: type[B]) -> B:
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        message = f"the body is no event as its sender documents it: {error}"
        raise MalformedBodyError(message) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = "the body is not JSON"
        raise MalformedBodyError(message) from error


def _is_data_center(headers: Headers) -> bool:
    return _HOOK_OF_CLOUD not in headers and headers[_EVENT_KEY] != "repo:push"


_FORGEJO = Host(
    name="forgejo",
    event="X-Forgejo-Event",
    deliveries=("X-Forgejo-Delivery", "X-Gitea-Delivery"),
    read=_read_like_github,
    signs_payload=True,
)
_GITEA = Host(
    name="gitea",
    event="X-Gitea-Event",
    deliveries=("X-Gitea-Delivery",),
    read=_read_like_github,
    signs_payload=True,
)
_GITLAB = Host(
    name="gitlab",
    event="X-Gitlab-Event",
    deliveries=("Idempotency-Key", "X-Gitlab-Event-UUID"),
    read=_read_gitlab,
)
_GITHUB = Host(
    name="github",
    event="X-GitHub-Event",
    deliveries=("X-GitHub-Delivery",),
    read=_read_like_github,
)
_BITBUCKET = Host(
    name="bitbucket",
    event=_EVENT_KEY,
    deliveries=("X-Request-UUID",),
    read=_read_bitbucket,
)
_DATA_CENTER = Host(
    name="bitbucket_data_center",
    event=_EVENT_KEY,
    deliveries=("X-Request-Id",),
    read=_read_data_center,
)
_GENERIC = Host(
    name="generic",
    event=None,
    deliveries=("Idempotency-Key",),
    read=_read_generic,
)
