"""The API inside aiohttp applications of others: their users, their prefixes, their ends."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from cidx_jobs import (
    Identity,
    JobStatus,
    JobSystem,
    JobType,
    Settings,
    StartRefusedError,
    create_app,
    setup,
)
from cidx_jobs.testing import Gate, MemoryPersistence
from tests.fakes import WAIT_SECONDS
from tests.functional.web import eventually, quick
from tests.leftovers import nothing_left_behind, open_readers

Mount = Callable[[web.Application, JobSystem], str]
SUBMIT = {"job_type": "quick", "project_id": "p"}
SCOPES = {"alice": "write", "bob": "write", "rita": "read", "root": "admin"}


async def find_user(request: web.Request) -> Identity | None:
    """Tell who calls by the host's own cookie; nobody without it."""
    name = request.cookies.get("session", "")
    return Identity(user_id=name, scopes=frozenset({SCOPES[name]})) if name in SCOPES else None


def mount_by_setup(app: web.Application, jobs: JobSystem) -> str:
    """Add the routes to the host's own; give their prefix."""
    setup(app, jobs, prefix="/internal/v1", authenticate=find_user)
    return "/internal/v1"


def mount_as_subapp(app: web.Application, jobs: JobSystem) -> str:
    """Mount the application in the host's; give the routes' prefix."""
    app.add_subapp("/jobs", create_app(jobs, authenticate=find_user))
    return "/jobs/api"


def mount_two_deep(app: web.Application, jobs: JobSystem) -> str:
    """Mount the application in an application that is mounted; give the routes' prefix."""
    middle = web.Application()
    middle.add_subapp("/inner", create_app(jobs, authenticate=find_user))
    app.add_subapp("/outer", middle)
    return "/outer/inner/api"


@pytest.fixture(params=[mount_by_setup, mount_as_subapp, mount_two_deep])
def mount(request: pytest.FixtureRequest) -> Mount:
    """Give each way into a host."""
    way: Mount = request.param
    return way


def make_jobs(folder: Path, *job_types: JobType) -> JobSystem:
    """Build a system over a database; it is not open."""
    settings = Settings(data_dir=folder / "data", auth="none", shutdown_grace_seconds=0)
    return JobSystem(settings, [JobType("quick", quick), *job_types])


@asynccontextmanager
async def hosted(app: web.Application) -> AsyncIterator[str]:
    """Run a host as its author would, without any of our own serving; give its url."""
    runner = web.AppRunner(app, handle_signals=False)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def user(name: str) -> aiohttp.ClientSession:
    """Give a browser in which somebody is logged in to the host."""
    # A jar that takes cookies of addresses without a name, as the tests' server has.
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(cookies={"session": name}, cookie_jar=jar)


@pytest.mark.slow
async def test_a_host_that_comes_and_goes_twice_leaves_nothing_behind(
    tmp_path: Path, mount: Mount
) -> None:
    """No task, thread, descriptor or lock; the second life knows the job of the first."""
    jobs = make_jobs(tmp_path)
    links: list[str] = []
    found: list[tuple[int, str]] = []
    with nothing_left_behind():
        for _ in range(2):
            app = web.Application()
            prefix = mount(app, jobs)
            async with hosted(app) as url, user("alice") as alice:
                wait = {"Prefer": "wait=5"}
                made = await alice.post(f"{url}{prefix}/jobs", json=SUBMIT, headers=wait)
                links.append((await made.json())["links"]["self"])
                answers = [await alice.get(url + link) for link in links]
                found = [(answer.status, (await answer.json())["status"]) for answer in answers]
        async with jobs:
            is_free = jobs.is_open

    assert found == [(200, JobStatus.COMPLETED)] * 2
    assert is_free


async def fail_to_start(app: web.Application, jobs: JobSystem) -> None:
    """Run a host whose own last step of the start fails, after ours."""
    was_open: list[bool] = []

    async def fail(_: web.Application) -> None:
        was_open.append(jobs.is_open)
        message = "the host cannot start"
        raise LookupError(message)

    app.on_startup.append(fail)
    with pytest.raises(LookupError):
        async with hosted(app):
            pass
    assert was_open == [True]


async def test_a_host_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """What was opened for it is closed again, though a later step of the host failed."""
    jobs = make_jobs(tmp_path)
    app = web.Application()
    setup(app, jobs)

    with nothing_left_behind():
        await fail_to_start(app, jobs)

    assert not jobs.is_open


async def test_a_host_that_opens_the_system_itself_closes_it(tmp_path: Path) -> None:
    """The way for a mounted application: aiohttp ends the host's own contexts in any case."""
    jobs = make_jobs(tmp_path)
    app = web.Application()

    async def run_jobs(_: web.Application) -> AsyncIterator[None]:
        async with jobs:
            yield

    app.cleanup_ctx.append(run_jobs)
    mount_as_subapp(app, jobs)

    with nothing_left_behind():
        await fail_to_start(app, jobs)

    assert not jobs.is_open


def test_a_start_that_failed_leaves_nothing_behind_its_loop(tmp_path: Path, mount: Mount) -> None:
    """The host's cleanup forgets mounted applications then; the end of the loop does not."""
    jobs = make_jobs(tmp_path)
    app = web.Application()
    mount(app, jobs)

    with nothing_left_behind():
        asyncio.run(fail_to_start(app, jobs))

    assert not jobs.is_open


async def test_a_directory_that_is_owned_stops_the_host(tmp_path: Path, mount: Mount) -> None:
    """The host's start fails with our error, and leaves nothing behind."""
    app = web.Application()
    mount(app, make_jobs(tmp_path))

    async def try_to_start() -> None:
        with nothing_left_behind(), pytest.raises(StartRefusedError):
            async with hosted(app):
                pass

    async with make_jobs(tmp_path) as owner:
        await open_readers(owner)
        await asyncio.to_thread(asyncio.run, try_to_start())


HOST_THAT_FAILS = """
import sys
from aiohttp import web
from cidx_jobs import JobSystem, Settings, create_app, setup

async def fail(app):
    raise SystemExit("the host cannot start")

app, jobs = web.Application(), JobSystem(Settings(data_dir=sys.argv[1], auth="none"))
if sys.argv[2] == "setup":
    setup(app, jobs)
else:
    app.add_subapp("/jobs", create_app(jobs))
app.on_startup.append(fail)
web.run_app(app, port=0, print=None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["setup", "subapp"])
async def test_a_program_whose_start_fails_ends(tmp_path: Path, way: str) -> None:
    """Also under `web.run_app`, which cleans up nothing: no thread keeps the process alive."""
    command = [sys.executable, "-c", HOST_THAT_FAILS, str(tmp_path / "data"), way]

    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
    )

    assert (ended.returncode, "the host cannot start" in ended.stderr) == (1, True)
    async with make_jobs(tmp_path) as jobs:
        assert jobs.is_open


async def test_the_hosts_users_are_ours(tmp_path: Path, mount: Mount) -> None:
    """Each sees their own jobs, scopes hold, an admin sees all, nobody is a 401."""
    app = web.Application()
    prefix = mount(app, make_jobs(tmp_path))
    seen: dict[str, tuple[int, int]] = {}
    async with hosted(app) as url:
        here = url + prefix
        async with user("alice") as alice:
            made = await alice.post(f"{here}/jobs", json=SUBMIT)
            job = await made.json()
        for name in [*SCOPES, "nobody"]:
            async with user(name) as caller:
                read = await caller.get(url + job["links"]["self"])
                submitted = await caller.post(f"{here}/jobs", json=SUBMIT)
                seen[name] = (read.status, submitted.status)

    assert (made.status, job["user_id"]) == (202, "alice")
    assert seen == {
        "alice": (200, 202),
        "bob": (404, 202),
        "rita": (404, 403),
        "root": (200, 202),
        "nobody": (401, 401),
    }


def links_in(document: Any) -> set[str]:
    """Collect whatever looks like a path from the root, at any depth."""
    match document:
        case dict():
            return set().union(*map(links_in, document.values()))
        case list():
            return set().union(*map(links_in, document))
        case str() if document.startswith("/"):
            return {document}
        case _:
            return set()


async def test_every_link_leads_where_it_says(tmp_path: Path, mount: Mount) -> None:
    """In documents, lists, streams and headers: all below the prefix, and all are answered."""
    app = web.Application()
    prefix = mount(app, make_jobs(tmp_path))
    async with hosted(app) as url, user("alice") as alice:
        made = [await alice.post(f"{url}{prefix}/jobs", json=SUBMIT) for _ in range(2)]
        first = await made[0].json()
        listed = await alice.get(f"{url}{prefix}/jobs?limit=1")
        stream = await alice.get(
            url + first["links"]["events"], headers={"Accept": "text/event-stream"}
        )
        streamed = await stream.text()
        gone = await alice.get(f"{url}{prefix}/nothing")
        links = links_in(first) | links_in(await listed.json())
        links.add(made[0].headers["Location"])
        links.add(URL(listed.links["next"]["url"]).raw_path_qs)
        answers = {link: (await alice.get(url + link)).status for link in links}
        instance = (await gone.json())["instance"]

    assert len(answers) >= 4
    assert set(answers.values()) == {200} | ({405} & set(answers.values()))
    assert all(link.startswith(f"{prefix}/") for link in links)
    assert f'"self":"{prefix}/jobs/{first["job_id"]}"' in streamed.replace(" ", "")
    assert instance == f"{prefix}/nothing"


async def test_one_system_stands_under_two_prefixes(tmp_path: Path) -> None:
    """Each shows its own links, and either may be asked for the other's job."""
    jobs = JobSystem(
        Settings(data_dir=tmp_path, auth="none"),
        [JobType("quick", quick)],
        persistence=MemoryPersistence(),
    )
    app = web.Application()
    setup(app, jobs, prefix="/a", authenticate=find_user)
    setup(app, jobs, prefix="/b", authenticate=find_user)
    async with hosted(app) as url, user("alice") as alice:
        made = await (await alice.post(f"{url}/a/jobs", json=SUBMIT)).json()
        read = await (await alice.get(f"{url}/b/jobs/{made['job_id']}")).json()

    assert made["links"]["self"] == f"/a/jobs/{made['job_id']}"
    assert read["links"]["self"] == f"/b/jobs/{made['job_id']}"
    assert not jobs.is_open


async def test_two_systems_stand_in_one_host(tmp_path: Path) -> None:
    """Neither knows the other's jobs, and both end with the host."""
    systems = {"/a": make_jobs(tmp_path / "a"), "/b": make_jobs(tmp_path / "b")}
    app = web.Application()
    for prefix, jobs in systems.items():
        setup(app, jobs, prefix=prefix, authenticate=find_user)
    with nothing_left_behind():
        async with hosted(app) as url, user("alice") as alice:
            made = await (await alice.post(f"{url}/a/jobs", json=SUBMIT)).json()
            there = await alice.get(f"{url}/a/jobs/{made['job_id']}")
            elsewhere = await alice.get(f"{url}/b/jobs/{made['job_id']}")

    assert (there.status, elsewhere.status) == (200, 404)
    assert not any(jobs.is_open for jobs in systems.values())


@pytest.mark.slow
async def test_a_waiting_reader_does_not_delay_the_hosts_end(tmp_path: Path, mount: Mount) -> None:
    """A long-poll is answered at once when the host stops, and the job waits for its return."""
    gate = Gate()
    jobs = make_jobs(tmp_path, gate.job_type)
    app = web.Application()
    prefix = mount(app, jobs)
    async with user("alice") as alice:
        async with hosted(app) as url:
            body = {"job_type": "gated", "project_id": "p"}
            job = await (await alice.post(f"{url}{prefix}/jobs", json=body)).json()
            await gate.arrived()
            poll = asyncio.create_task(alice.get(f"{url}{job['links']['self']}?wait=50"))
            assert jobs._engine is not None
            notifier = jobs._engine.board.notifier
            await eventually(lambda: notifier.waiter_count == 1)
            began = time.monotonic()
        took = time.monotonic() - began
        answer = await asyncio.wait_for(poll, WAIT_SECONDS)

    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert took < 3
    async with make_jobs(tmp_path, gate.job_type) as again:
        assert (await again.get(job["job_id"])).attempt <= 1
