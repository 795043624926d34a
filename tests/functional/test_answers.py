"""An answer is the same, whether it goes out ready made or by way of aiohttp."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app
from cidx_jobs.web.http.answer import ReadyResponse, answer_bytes
from cidx_jobs.web.server import listening
from tests.fakes import WAIT_SECONDS
from tests.functional.web import AioClient, House


async def raw(url: str, head: str) -> tuple[list[str], bytes]:
    """Give the head's lines and the body of one answer, read to the end of the connection."""
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((head + "\r\nHost: localhost\r\nX-Request-Id: r1\r\n\r\n").encode())
    async with asyncio.timeout(WAIT_SECONDS):
        begin = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line for line in begin.splitlines() if line.startswith("Content-Length")]
        body = await reader.readexactly(int(length[0].split(": ")[1])) if length else b""
    writer.close()
    return begin.strip().splitlines(), body


async def note(_: web.Request, response: web.StreamResponse) -> None:
    """Be a signal of the host's, which changes each answer."""
    response.headers["X-Host"] = "was here"


async def test_both_ways_say_the_same(tmp_path: Path) -> None:
    """Status line, headers and body, but for what the host adds, and the second."""
    answers = []
    for is_alone in (True, False):
        settings = Settings(data_dir=tmp_path, auth="none")
        app = create_app(JobSystem(settings, persistence=MemoryPersistence()))
        if not is_alone:
            app.on_response_prepare.append(note)
        async with listening(app, host="127.0.0.1", port=0) as url:
            lines, body = await raw(url, "GET /api/job-types HTTP/1.1")
        answers.append((lines[0], {line for line in lines[1:] if "Date" not in line}, body))

    ready, usual = answers
    assert ready[0] == usual[0] == "HTTP/1.1 200 OK"
    assert usual[1] - ready[1] == {"X-Host: was here"}
    assert ready[1] - usual[1] == set()
    assert ready[2] == usual[2]


@pytest.mark.parametrize(
    ("head", "connection"),
    [
        ("GET /livez HTTP/1.1", None),
        ("GET /livez HTTP/1.1\r\nConnection: close", "close"),
        ("GET /livez HTTP/1.0", None),
        ("GET /livez HTTP/1.0\r\nConnection: keep-alive", "keep-alive"),
        ("HEAD /livez HTTP/1.1", None),
    ],
)
async def test_the_connection_stays_as_long_as_the_client_wants(
    house: House, head: str, connection: str | None
) -> None:
    """Each version of HTTP in its own way, and HEAD without a body."""
    is_head = head.startswith("HEAD")
    async with listening(create_app(house.jobs), host="127.0.0.1", port=0) as url:
        lines, body = (await head_of(url, head), b"") if is_head else await raw(url, head)

    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert lines[0].endswith(" 200 OK")
    assert headers.get("Connection") == connection
    assert int(headers["Content-Length"]) == (len(body) or len(b'{"status":"alive"}'))


async def head_of(url: str, head: str) -> list[str]:
    """Give the head's lines of an answer without a body."""
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((head + "\r\nHost: localhost\r\nConnection: close\r\n\r\n").encode())
    async with asyncio.timeout(WAIT_SECONDS):
        text = (await reader.read()).decode()
    writer.close()
    lines, _, body = text.partition("\r\n\r\n")
    assert not body
    return [line for line in lines.splitlines() if not line.startswith("Connection")]


async def test_a_hosts_middleware_sees_an_answer_like_any_other(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """It may read and change the headers."""
    seen: list[str] = []

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        seen.append(response.headers["Content-Type"])
        response.headers["X-Host"] = "was here"
        return response

    jobs = JobSystem(Settings(data_dir=tmp_path, auth="none"), persistence=MemoryPersistence())
    app = web.Application(middlewares=[watch])
    app.add_subapp("/jobs", create_app(jobs))
    client = await aiohttp_client(app)

    answer = await client.get("/jobs/livez")
    await client.close()

    assert seen == ["application/json; charset=utf-8"]
    assert answer.headers["X-Host"] == "was here"


async def test_no_header_can_bring_in_another(aiohttp_client: AioClient) -> None:
    """The end of a line in a value is refused, as aiohttp refuses it."""

    async def answer(request: web.Request) -> web.Response:
        with pytest.raises(ValueError, match="end of a line"):
            answer_bytes(request, b"{}", "r1", headers={"Location": "/x\r\nSet-Cookie: a"})
        return answer_bytes(request, b"{}", "r1")

    app = web.Application()
    app.router.add_get("/", answer)
    client = await aiohttp_client(app)

    assert (await client.get("/")).status == 200


async def test_a_ready_answer_tells_of_itself(aiohttp_client: AioClient) -> None:
    """What access logs and aiohttp itself ask of it."""
    answers = []

    async def answer(request: web.Request) -> web.Response:
        made = answer_bytes(request, b'{"a":1}', "r1", status=202)
        answers.append((made, made.prepared))
        return made

    app = web.Application()
    app.router.add_get("/", answer)
    client = await aiohttp_client(app)
    answered = await client.get("/")

    ((made, was_prepared),) = answers
    assert isinstance(made, ReadyResponse)
    assert (answered.status, await answered.json()) == (202, {"a": 1})
    assert (was_prepared, made.prepared, made.keep_alive, made.body_length) == (
        False,
        True,
        True,
        7,
    )


async def test_an_application_that_is_over_is_let_go(tmp_path: Path) -> None:
    """Nothing that answered for it keeps it, and with it the jobs of its system."""
    app = create_app(
        JobSystem(Settings(data_dir=tmp_path, auth="none"), persistence=MemoryPersistence())
    )
    over = weakref.ref(app)
    async with listening(app, host="127.0.0.1", port=0) as url:
        await raw(url, "GET /api/job-types HTTP/1.1")

    del app
    # What the loop still has to call for the closed connection has a hold on it, too.
    async with asyncio.timeout(WAIT_SECONDS):
        while over() is not None:
            await asyncio.sleep(0)
            gc.collect()
