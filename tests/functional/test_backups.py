"""Backups of a running server: on request, by the clock, and restored beside the original."""

import asyncio
import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from cidx_jobs import JobSystem, Settings
from cidx_jobs.engine.upkeep.backups import OVERDUE
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups import copy
from cidx_jobs.store.sqlite.restore import restore
from cidx_jobs.web.app import create_app
from tests.fakes import WAIT_SECONDS, Gate, logged
from tests.functional.web import AioClient, House

Client = TestClient[Any, Any]

# Each writes a database to the disk, and copies it.
pytestmark = pytest.mark.slow


async def ask(client: Client, method: str, path: str) -> tuple[int, Any]:
    """Return status and document of an answer."""
    async with client.request(method, path) as answer:
        return answer.status, await answer.json()


def digest_and_size(file: str) -> tuple[str, int]:
    """Return the SHA-256 of a file, and its size."""
    content = Path(file).read_bytes()
    return hashlib.sha256(content).hexdigest(), len(content)


async def test_a_backup_is_made_on_request_and_listed(
    aiohttp_client: AioClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says where it is and what is in it; the log and the admin log have it."""
    caplog.set_level(logging.INFO, "cidx_jobs")
    async with JobSystem.open(Settings(data_dir=tmp_path / "data", auth="none")) as jobs:
        client = await aiohttp_client(create_app(jobs))
        await jobs.submit("alice", "p", options={"repository_url": "https://example.com/a/b"})

        status, made = await ask(client, "POST", "/api/admin/backup")
        _, listed = await ask(client, "GET", "/api/admin/backups")
        _, log = await ask(client, "GET", "/api/admin/log")
        _, stats = await ask(client, "GET", "/api/admin/stats")

    assert status == 200
    assert (made["sha256"], made["bytes"]) == digest_and_size(made["file"])
    assert 0 < made["seq"] <= stats["last_seq"]
    assert made["database_id"] == stats["database_id"]
    assert made["kind"] == "manual"
    assert stats["last_backup_at"] == made["created_at"]
    assert listed == {"backups": [made]}
    assert (log["entries"][0]["action"], log["entries"][0]["target"]) == (
        "backup_made",
        made["file"],
    )
    assert "backup_made" in logged(caplog)


async def test_without_room_the_answer_says_so(
    aiohttp_client: AioClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """507, and no file is left."""
    monkeypatch.setattr(copy, "_ROOM_BYTES", 2**62)
    async with JobSystem.open(Settings(data_dir=tmp_path / "data", auth="none")) as jobs:
        client = await aiohttp_client(create_app(jobs))

        status, problem = await ask(client, "POST", "/api/admin/backup")

    assert (status, problem["code"]) == (507, "disk_full")
    assert list((tmp_path / "data" / "backups").iterdir()) == []


async def test_backups_are_for_administrators(house: House) -> None:
    """A store in memory has none, and says so."""
    refused = await house.ask("POST", "/api/admin/backup")
    unread = await house.ask("GET", "/api/admin/backups")
    failed = await house.ask("POST", "/api/admin/backup", user="root")

    assert (refused.status, unread.status) == (403, 403)
    assert failed.status == 503
    assert (await failed.json())["code"] == "backup_failed"


async def test_backups_are_made_by_the_clock_and_the_newest_stay(tmp_path: Path) -> None:
    """As many as are to be kept, also over a restart."""
    settings = Settings(
        data_dir=tmp_path / "data", auth="none", backup_interval_seconds=0.05, backup_keep=2
    )
    async with asyncio.timeout(WAIT_SECONDS), JobSystem.open(settings) as jobs:
        first = await _next_backup(jobs)
        second = await _next_backup(jobs)
        third = await _next_backup(jobs)
        kept = [one.file for one in await jobs.backups.list()]

    assert len({first, second, third}) == 3
    assert len(kept) <= 2
    assert first not in kept


async def _next_backup(jobs: JobSystem) -> str:
    before = jobs.backups.newest
    while jobs.backups.newest == before:  # noqa: ASYNC110 - nobody is told of a backup
        await asyncio.sleep(0.01)
    return (await jobs.backups.list())[0].file


async def test_a_backup_that_is_overdue_is_warned_of(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """The server is ready all the same."""
    settings = Settings(data_dir=tmp_path / "data", auth="none", backup_interval_seconds=0.02)
    data = tmp_path / "data"
    data.mkdir()
    (data / "backups").write_text("in the way")
    seen: list[Any] = [{"warnings": []}]
    async with asyncio.timeout(WAIT_SECONDS), JobSystem.open(settings) as jobs:
        client = await aiohttp_client(create_app(jobs))
        while OVERDUE not in seen[-1]["warnings"]:
            status, document = await ask(client, "GET", "/readyz")
            seen.append({"code": status, **document})

    assert (seen[-1]["code"], seen[-1]["status"]) == (200, "ready")


async def test_a_backup_of_running_jobs_goes_on_beside_the_original(
    tmp_path: Path,
) -> None:
    """Restored elsewhere it is another database, which completes its own copy of the job."""
    original, target = tmp_path / "data", tmp_path / "restored"
    gate, other = Gate(), Gate()
    async with JobSystem.open(Settings(data_dir=original), [gate.job_type]) as jobs:
        job = await jobs.submit("alice", "p", job_type="gated")
        await gate.arrived(1)
        made = await jobs.backups.make()
        await asyncio.to_thread(
            restore, Path(made.file), DataDirectory(target), replace=False, now=datetime.now(UTC)
        )
        async with JobSystem.open(Settings(data_dir=target), [other.job_type]) as copies:
            ids = jobs.identity.uuid, copies.identity.uuid
            interrupted = copies.recovery.interrupted
            other.open()
            ended = await copies.wait(job.job_id, timeout=WAIT_SECONDS)
        still = await jobs.get(job.job_id)
        gate.open()

    assert ids[0] == made.database_id != ids[1]
    assert interrupted == 1
    assert ended.status == "completed"
    assert still.status == "running"
