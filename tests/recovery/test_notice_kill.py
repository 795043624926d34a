"""A server that is killed while it tells of an end tells it again after its next start."""

import asyncio
from pathlib import Path

import pytest

from cidx_jobs.client import JobsClient
from cidx_jobs.wire.jobs import JobDocument
from tests.receiver import receiving
from tests.stories.test_sync_monitoring import PATIENCE_SECONDS, House
from tests.sync_kit import Repository

# It starts two server processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with one file."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.py": "needle = 1\n"})
    return repository


async def until_told(client: JobsClient, job_id: str) -> JobDocument:
    """Wait until a try was answered, and return the job."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (job := await client.get_job(job_id)).deliveries:  # noqa: ASYNC110 - it is no event
            await asyncio.sleep(0.02)
    return job


async def test_a_notice_survives_a_kill(tmp_path: Path, repository: Repository) -> None:
    """Kill -9 while the receiver has it in hand: it comes again, with the same id."""
    house = House(tmp_path / "data", repository)
    async with receiving() as receiver:
        settings = {"CIDX_JOBS_WEBHOOK_ALLOWED_HOSTS": receiver.host}
        receiver.go_on.clear()
        await house.start(**settings)
        async with JobsClient(await house.url()) as client:
            secret = (await client.create_notify_secret()).secret
            job = await client.submit(
                "repository_sync",
                "code",
                options={"repository_url": repository.url},
                notify=receiver.url,
            )
            await receiver.until(1)
            await house.kill()
        receiver.go_on.set()

        async with house.serving(**settings) as client:
            ended = await until_told(client, job.job_id)

    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert second.is_signed(secret)
    assert second.document["type"] == "job.completed"
    assert [one.status for one in ended.deliveries] == [204]
