"""Deliveries as code hosts send them: headers and body of each, signed the way each signs.

The bodies are made up; their members are those that each host documents, the ones that nobody
here looks at among them.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
COMMIT = "7c1a3f5e9b2d4c6a8e0f1b3d5c7a9e1f2b4d6c8a"
OLDER = "0d2c4b6a8e1f3d5b7c9a0e2f4d6b8c1a3e5f7d9b"
NO_COMMIT = "0" * 40


@attrs.frozen
class Delivery:
    """What goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


def digest(secret: str, body: bytes) -> str:
    """Return the HMAC by SHA-256 with the secret's text, in hexadecimal digits."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def as_json(value: Any) -> bytes:
    """Return the value as a host writes it."""
    return json.dumps(value).encode()


def git_body(ref: str, *, deleted: bool = False) -> dict[str, Any]:
    """Return what GitHub, Gitea and Forgejo have in common."""
    after = NO_COMMIT if deleted else COMMIT
    return {
        "ref": ref,
        "before": OLDER,
        "after": after,
        "commits": []
        if deleted
        else [{"id": COMMIT, "message": "Say it better", "added": [], "modified": ["say.py"]}],
        "head_commit": None if deleted else {"id": COMMIT, "message": "Say it better"},
        "repository": {"id": 71, "full_name": "team/code", "default_branch": "main"},
        "sender": {"login": "ada"},
    }


def github(
    ref: str = "refs/heads/main",
    *,
    event: str = "push",
    delivery: str = "b3f0d2a4-1111-4a61-9f0e-000000000001",
    secret: str = SECRET,
    deleted: bool = False,
    as_form: bool = False,
) -> Delivery:
    """Return what GitHub sends: a digest of the body as it is, form or not."""
    value = git_body(ref, deleted=deleted) | {
        "created": False,
        "deleted": deleted,
        "forced": False,
        "base_ref": None,
        "compare": "https://github.example/team/code/compare/a...b",
        "pusher": {"name": "ada", "email": "ada@example.org"},
    }
    if event == "ping":
        value = {"zen": "Keep it simple.", "hook_id": 4711, "hook": {"type": "Repository"}}
    body = as_json(value)
    content_type = "application/json"
    if as_form:
        body = urlencode({"payload": body.decode()}).encode()
        content_type = "application/x-www-form-urlencoded"
    headers = {
        "Content-Type": content_type,
        "User-Agent": "GitHub-Hookshot/1a2b3c4",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "4711",
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + digest(secret, body),
    }
    return Delivery(headers, body)


def gitea(
    ref: str = "refs/heads/main",
    *,
    event: str = "push",
    delivery: str = "b3f0d2a4-2222-4a61-9f0e-000000000001",
    secret: str = SECRET,
    deleted: bool = False,
    as_form: bool = False,
    own: str = "Gitea",
) -> Delivery:
    """Return what Gitea sends: GitHub's headers too; of a form it signs what is in it."""
    value = git_body(ref, deleted=deleted) | {
        "compare_url": "https://gitea.example/team/code/compare/a...b",
        "total_commits": 1,
        "pusher": {"id": 3, "login": "ada", "username": "ada"},
    }
    text = as_json(value)
    mark = digest(secret, text)
    headers = {"Content-Type": "application/json"}
    body = text
    if as_form:
        body = urlencode({"payload": text.decode()}).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for name in {own, "Gitea", "GitHub", "Gogs"}:
        headers |= {f"X-{name}-Delivery": delivery, f"X-{name}-Event": event}
    headers |= {
        "X-Gitea-Event-Type": event,
        f"X-{own}-Signature": mark,
        "X-Gitea-Signature": mark,
        "X-Gogs-Signature": mark,
        "X-Hub-Signature-256": f"sha256={mark}",
    }
    return Delivery(headers, body)


def forgejo(ref: str = "refs/heads/main", **more: Any) -> Delivery:
    """Return what Forgejo sends: what Gitea does, and headers by its own name."""
    return gitea(ref, own="Forgejo", **more)


def gitlab(
    ref: str = "refs/heads/main",
    *,
    event: str = "Push Hook",
    kind: str = "push",
    delivery: str = "b3f0d2a4-3333-4a61-9f0e-000000000001",
    secret: str = SECRET,
    deleted: bool = False,
) -> Delivery:
    """Return what GitLab sends: the secret itself is the proof."""
    value: dict[str, Any] = {
        "object_kind": kind,
        "event_name": kind,
        "before": OLDER,
        "after": NO_COMMIT if deleted else COMMIT,
        "ref": ref,
        "checkout_sha": None if deleted else COMMIT,
        "user_id": 4,
        "user_username": "ada",
        "project_id": 15,
        "project": {"id": 15, "path_with_namespace": "team/code", "default_branch": "main"},
        "commits": [],
        "total_commits_count": 0,
    }
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitLab/18.2.0",
        "Idempotency-Key": delivery,
        "X-Gitlab-Event": event,
        "X-Gitlab-Event-UUID": "c4b1e8f2-0000-4000-8000-00000000000a",
        "X-Gitlab-Instance": "https://gitlab.example",
        "X-Gitlab-Token": secret,
    }
    return Delivery(headers, as_json(value))


def bitbucket(
    ref: str = "refs/heads/main",
    *,
    event: str = "repo:push",
    delivery: str = "b3f0d2a4-4444-4a61-9f0e-000000000001",
    secret: str = SECRET,
    deleted: bool = False,
) -> Delivery:
    """Return what Bitbucket Cloud sends: changes with what was and what is."""
    _, kind, name = ref.split("/", 2)
    here = {
        "type": "tag" if kind == "tags" else "branch",
        "name": name,
        "target": {"type": "commit", "hash": COMMIT},
    }
    change = {
        "new": None if deleted else here,
        "old": here,
        "created": False,
        "closed": deleted,
        "forced": False,
        "truncated": False,
    }
    value = {
        "actor": {"type": "user", "nickname": "ada"},
        "repository": {"type": "repository", "full_name": "team/code"},
        "push": {"changes": [change]},
    }
    body = as_json(value)
    headers = {
        "Content-Type": "application/json",
        "X-Event-Key": event,
        "X-Hook-UUID": "d1e2f3a4-0000-4000-8000-00000000000b",
        "X-Request-UUID": delivery,
        "X-Attempt-Number": "1",
        "X-Hub-Signature": "sha256=" + digest(secret, body),
    }
    return Delivery(headers, body)


def data_center(
    ref: str = "refs/heads/main",
    *,
    event: str = "repo:refs_changed",
    delivery: str = "b3f0d2a4-5555-4a61-9f0e-000000000001",
    secret: str = SECRET,
    deleted: bool = False,
) -> Delivery:
    """Return what Bitbucket Data Center sends: changes of refs."""
    _, kind, name = ref.split("/", 2)
    change = {
        "ref": {"id": ref, "displayId": name, "type": "TAG" if kind == "tags" else "BRANCH"},
        "refId": ref,
        "fromHash": OLDER,
        "toHash": NO_COMMIT if deleted else COMMIT,
        "type": "DELETE" if deleted else "UPDATE",
    }
    value: dict[str, Any] = {
        "eventKey": event,
        "date": "2026-01-31T12:00:00+0000",
        "actor": {"name": "ada", "id": 2},
        "repository": {"slug": "code", "project": {"key": "TEAM"}},
        "changes": [change],
    }
    if event == "diagnostics:ping":
        value = {"test": True}
    body = as_json(value)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-Event-Key": event,
        "X-Request-Id": delivery,
        "X-Hub-Signature": "sha256=" + digest(secret, body),
    }
    return Delivery(headers, body)


def standard(
    ref: str = "refs/heads/main",
    *,
    delivery: str = "msg_00000000000000000000000001",
    secret: str = SECRET,
    deleted: bool = False,
    timestamp: int | None = None,
    body: bytes | None = None,
) -> Delivery:
    """Return what any client sends that signs by Standard Webhooks."""
    value: dict[str, Any] = {"ref": ref} | ({"deleted": True} if deleted else {})
    text = as_json(value) if body is None else body
    at = str(int(time.time()) if timestamp is None else timestamp)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mark = hmac.new(key, f"{delivery}.{at}.".encode() + text, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": at,
        "webhook-signature": "v1," + base64.b64encode(mark).decode(),
    }
    return Delivery(headers, text)


Make = Callable[..., Delivery]

HOSTS: Mapping[str, Make] = {
    "github": github,
    "gitea": gitea,
    "forgejo": forgejo,
    "gitlab": gitlab,
    "bitbucket": bitbucket,
    "bitbucket_data_center": data_center,
    "generic": standard,
}
"""By the name that the list of deliveries has for each."""
