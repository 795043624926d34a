"""Rates by setting: who asks too often is told when to come again (api.md, section 3)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.web import AioClient, House, open_house, problem_of


@pytest.fixture
async def limited(aiohttp_client: AioClient, tmp_path: Path) -> AsyncIterator[House]:
    """Give a server that lets everybody ask three times at once, and then once in 100 s."""
    limits = {"rate_limit_per_second": 0.01, "rate_limit_burst": 3}
    async with open_house(aiohttp_client, tmp_path, **limits) as house:
        yield house


async def test_who_asks_too_often_is_refused(limited: House) -> None:
    """429 with the time to wait; others are not."""
    answers = [await limited.ask("GET", "/api/jobs") for _ in range(4)]
    other = await limited.ask("GET", "/api/jobs", user="bob")

    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers.get("RateLimit", "") for answer in answers] == [
        '"default";r=2;t=100',
        '"default";r=1;t=200',
        '"default";r=0;t=300',
        '"default";r=0;t=300',
    ]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=300'
    problem = problem_of(answers[3], await answers[3].json())
    assert problem["code"] == "rate_limited"
    assert 0 < int(answers[3].headers["Retry-After"]) <= 100
    assert other.status == 200


async def test_refusals_say_what_is_left(limited: House) -> None:
    """They are counted like any other answer."""
    missing = await limited.ask("GET", "/api/jobs/nope")
    stranger = await limited.ask("GET", "/api/jobs", headers={"Authorization": "Bearer nope"})

    assert (missing.status, missing.headers["RateLimit"]) == (404, '"default";r=2;t=100')
    assert (stranger.status, stranger.headers["RateLimit"]) == (401, '"default";r=2;t=100')
    assert stranger.headers["RateLimit-Policy"] == '"default";q=3;w=300'


async def test_who_is_unknown_is_counted_by_address(limited: House) -> None:
    """So that nobody can guess tokens for ever."""
    headers = {"Authorization": "Bearer nope"}

    statuses = [
        (await limited.ask("GET", "/api/jobs", user=None, headers=headers)).status
        for _ in range(4)
    ]

    assert statuses == [401, 401, 401, 429]
    assert (await limited.ask("GET", "/api/jobs")).status == 200


async def test_what_brings_nothing_new_is_free(limited: House) -> None:
    """A 304 is given back; whoever polls as they should is never refused for it."""
    job = await limited.submit(hold=True)
    path = f"/api/jobs/{job['job_id']}"
    headers = {"If-None-Match": (await limited.ask("GET", path)).headers["ETag"]}

    statuses = {(await limited.ask("GET", path, headers=headers)).status for _ in range(10)}

    assert statuses == {304}


@pytest.mark.slow
async def test_a_quiet_long_poll_is_free(limited: House) -> None:
    """It waited, and nothing happened; one that brings a change counts."""
    job = await limited.submit_running()
    path = f"/api/jobs/{job['job_id']}?wait=1"

    statuses = [(await limited.ask("GET", path)).status for _ in range(3)]
    reader = asyncio.create_task(limited.ask("GET", path))
    await limited.parked(1)
    limited.gate.open()
    changed = await reader
    last = [(await limited.ask("GET", path)).status for _ in range(2)]

    assert statuses == [200, 200, 200]
    assert (await changed.json())["done"] is True
    assert last == [200, 429]


async def test_health_is_never_limited(limited: House) -> None:
    """Whoever watches the server is not kept out."""
    statuses = {
        (await limited.ask("GET", path, user=None)).status
        for path in ("/livez", "/readyz")
        for _ in range(10)
    }

    assert statuses == {200}


async def test_without_the_setting_nothing_is_limited(house: House) -> None:
    """It is off by default."""
    answers = [await house.ask("GET", "/api/jobs") for _ in range(50)]

    assert {answer.status for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers
