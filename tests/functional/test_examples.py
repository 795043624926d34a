"""The examples, run as a reader of the documentation runs them."""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from cidx_jobs import JobStatus
from cidx_jobs.testing import MemoryPersistence, advance, open_for_tests, run_job
from tests.fakes import WAIT_SECONDS
from tests.functional.test_cli_server import start_server, stop_server
from tests.leftovers import nothing_left_behind
from tests.uvicorns import running_uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import an example by its name, as a program in its folder does."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(name)


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """Serve an aiohttp application; give its url."""
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_aiohttp_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job from its own route is read over the API, by its owner only."""
    example = load("aiohttp_app", monkeypatch)
    order = {"month": "2026-01", "pause_seconds": 0}
    alice, bob = {"X-User": "alice"}, {"X-User": "bob"}
    with nothing_left_behind():
        async with (
            running(example.make_app(tmp_path / "data")) as url,
            aiohttp.ClientSession(url) as http,
        ):
            nobody = await http.post("/reports", json=order)
            made = await http.post("/reports", json=order, headers=alice)
            path = f"/api/jobs/{(await made.json())['job_id']}"
            ended = await (await http.get(f"{path}?wait=5", headers=alice)).json()
            hidden = await http.get(path, headers=bob)

    assert (nobody.status, made.status, hidden.status) == (401, 202, 404)
    assert ended["result"] == {"title": "Report of 2026-01"}


async def test_the_fastapi_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uvicorn, as it is deployed: ordered, waited for, and gone with the application."""
    example = load("fastapi_app", monkeypatch)
    with nothing_left_behind():
        async with (
            running_uvicorn(example.make_app(tmp_path / "data")) as url,
            aiohttp.ClientSession(url) as http,
        ):
            made = await http.post("/thumbnails", params={"picture": "cat.png"})
            path = f"/thumbnails/{(await made.json())['job_id']}"
            ended = await (await http.get(path, params={"wait": 5})).json()
            missing = await http.get("/thumbnails/019a0000-0000-7000-8000-000000000000")

    assert (made.status, missing.status) == (202, 404)
    assert ended == {
        "status": "completed",
        "progress": 100,
        "result": {"picture": "cat.png", "sizes": [64, 128, 256]},
    }


@pytest.mark.parametrize("name", ["starlette_app", "quart_app"])
async def test_an_application_with_the_api_in_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job from its own route is read over the API below its mount, by its owner only."""
    example = load(name, monkeypatch)
    alice, bob = {"X-User": "alice"}, {"X-User": "bob"}
    with nothing_left_behind():
        async with (
            running_uvicorn(example.make_app(tmp_path / "data")) as url,
            aiohttp.ClientSession(url) as http,
        ):
            nobody = await http.post("/orders", params={"item": "tea"})
            made = await http.post("/orders", params={"item": "tea"}, headers=alice)
            path = (await made.json())["links"]["self"]
            ended = await (await http.get(f"{path}?wait=5", headers=alice)).json()
            hidden = await http.get(path, headers=bob)

    assert (nobody.status, made.status, hidden.status) == (400, 202, 404)
    assert ended["result"] == {"packed": "tea"}


def run_program(*arguments: str) -> str:
    """Run a program to its end, which must be good; give what it printed."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS * 6,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("CIDX_")},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_plain_program(tmp_path: Path) -> None:
    """Run twice: the second run finds nothing left to do."""
    command = [str(EXAMPLES / "plain_asyncio.py"), str(tmp_path / "data")]

    first, second = run_program(*command), run_program(*command)

    assert "12: completed {'factors': [2, 2, 3]}" in first
    assert len([line for line in first.splitlines() if ": completed" in line]) == 10
    assert ": completed" not in second


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Give a folder of texts: 50 files, each with one word of its own and one of all."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number:02}.txt").write_text(f"all own{number}\n", encoding="utf-8")
    return folder


async def test_the_job_type(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its phases, its result, and what it says of a folder without texts."""
    example = load("word_count", monkeypatch)
    async with open_for_tests(example.JOB_TYPES) as jobs:
        good = await run_job(jobs, "word_count", {"folder": str(texts), "most": 1})
        bad = await run_job(jobs, "word_count", {"folder": str(texts / "none")}, project_id="q")

    assert good.result == {"files": 50, "words": 100, "ranked": [["all", 50]]}
    assert [phase.name for phase in good.phases] == ["finding", "counting", "ranking"]
    assert (bad.status, bad.error and bad.error.code) == (JobStatus.FAILED, "NOTHING_TO_COUNT")


async def test_the_job_type_goes_on_from_its_checkpoint(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart it reads the files behind the checkpoint, and counts none twice."""
    example = load("word_count", monkeypatch)
    read: list[str] = []
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    words_of = example._words_of

    def stop_at_30(file: Path) -> list[str]:
        read.append(file.name)
        if len(read) == 30:
            loop.call_soon_threadsafe(reached.set)
        words: list[str] = words_of(file)
        return words

    monkeypatch.setattr(example, "_words_of", stop_at_30)
    store = MemoryPersistence()
    async with open_for_tests(example.JOB_TYPES, persistence=store) as jobs:
        job = await jobs.submit(
            "u", "p", job_type="word_count", options={"folder": str(texts), "most": 1}
        )
        await asyncio.wait_for(reached.wait(), WAIT_SECONDS)
    before = len(read)
    async with open_for_tests(example.JOB_TYPES, persistence=store) as jobs:
        await advance(jobs, 60)
        after = await jobs.get(job.job_id)

    assert after.result == {"files": 50, "words": 100, "ranked": [["all", 50]]}
    assert read[before] in {"20.txt", "40.txt"}


def test_the_job_type_is_served(tmp_path: Path, texts: Path) -> None:
    """The standalone server takes it from CIDX_JOBS_HANDLERS, and the command line submits it."""
    server = start_server(
        tmp_path,
        CIDX_JOBS_HANDLERS="word_count:JOB_TYPES",
        PYTHONPATH=f"{EXAMPLES}{os.pathsep}{EXAMPLES.parent}",
    )
    try:
        option = f"folder={texts}"
        done = server.cli("submit", "word_count", "-p", "texts", "-o", option, "--watch", "--json")
        wrong = server.cli("submit", "word_count", "-p", "texts", "-o", "folder=7")
    finally:
        code = stop_server(server)

    assert (done.code, done.json["result"]["files"]) == (0, 50)
    assert (wrong.code, "--option folder: " in wrong.err, code) == (1, True, 0)
