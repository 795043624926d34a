"""A client beside a server of another version: it sends and reads what both know."""

import json
from typing import Any

import pytest

from cidx_jobs.wire.admin.findings import DoctorDocument
from cidx_jobs.wire.encode import decode, encode
from cidx_jobs.wire.events import EventListDocument
from cidx_jobs.wire.projects import ChangeProjectBody, ProjectListDocument
from cidx_jobs.wire.request_bodies import RetryBody, SubmitBody, SyncBody
from cidx_jobs.wire.server import JobTypeListDocument, StatsDocument

SLOTS = {
    "running": 0, "max_running_total": 50, "max_running_per_user": 10, "users": {},
    "resources": {"git": {"used": 0, "limit": 5, "waiting": 0}},
}  # fmt: skip
# What version 0.1.0 answered in November 2026.
OLDER = [
    (
        StatsDocument,
        {
            "by_status": {"completed": 1}, "by_type": {"repository_sync": 1},
            "by_user": {"local": 1}, "wait_seconds": {"p50": 0.1, "p95": 0.1},
            "run_seconds": {"p50": 0.1, "p95": 0.1}, "sample": 1, "slots": SLOTS,
            "pauses": {"everything": False, "users": [], "job_types": [], "draining": False},
            "waiters": 0, "database_bytes": 114688, "wal_bytes": 762232, "last_seq": 11,
            "recovery": {
                "unfinished": 0, "interrupted": 0, "cancelled": 0, "poisoned": 0,
                "killed_processes": 0, "swept_files": 0,
            },
        },
    ),
    (DoctorDocument, {"ok": True, "findings": []}),
    (
        ProjectListDocument,
        {
            "projects": [
                {
                    "project_id": "attrs", "user_id": "local", "repository_url": "/r/attrs",
                    "branch": None, "default_branch": "main", "last_commit": "610b9069a2",
                    "last_synced_at": "2026-11-22T13:15:55.528423Z",
                    "last_job_id": "01a231bf-5ec2-7001-ba12-9a7f87345073", "files_indexed": 1,
                    "repository_bytes": 1676, "index_bytes": 45056,
                },
            ]
        },
    ),
    (
        EventListDocument,
        {
            "events": [
                {
                    "seq": 1, "job_id": "01a231bf-5ec2-7001-ba12-9a7f87345073", "version": 1,
                    "event": "submit", "from": None, "to": "created",
                    "at": "2026-11-22T13:15:54.946952Z", "attempt": 0, "reason": None,
                },
            ],
            "next_cursor": None,
        },
    ),
    (
        JobTypeListDocument,
        {
            "job_types": [
                {
                    "name": "repository_sync", "exclusive": True, "max_attempts": 3,
                    "timeout_seconds": 3600, "on_interrupt": "resume", "resources": [],
                    "options_schema": {},
                },
            ]
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "answer"), OLDER, ids=[kind.__name__ for kind, _ in OLDER])
def test_what_an_older_server_answers_is_read(kind: type[Any], answer: dict[str, Any]) -> None:
    """What has come since is at what it is where nothing is known."""
    of_tomorrow = {**answer, "member_of_tomorrow": 1}

    read = decode(json.dumps(answer).encode(), kind)

    assert answer.keys() <= json.loads(encode(read)).keys()
    assert decode(json.dumps(of_tomorrow).encode(), kind) == read


def test_only_what_is_asked_for_is_sent() -> None:
    """An older server refuses members that it does not know, and knows what is asked of it."""
    sync = SyncBody(project_id="p", options={"branch": "main"}, labels={}, limits={})

    assert json.loads(encode(sync)) == {"project_id": "p", "options": {"branch": "main"}}
    assert json.loads(encode(SubmitBody(project_id="p", job_type="t", hold=True))) == {
        "project_id": "p",
        "job_type": "t",
        "hold": True,
    }
    assert json.loads(encode(RetryBody())) == {}


def test_a_null_that_means_something_is_sent() -> None:
    """A project that is to be asked for news no more."""
    assert json.loads(encode(ChangeProjectBody(sync_every_seconds=None))) == {
        "sync_every_seconds": None
    }
