"""Connections that do not behave: half sent, too slow, no HTTP at all."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from cidx_jobs.settings import Settings
from cidx_jobs.web import connections as protocol
from cidx_jobs.web import server
from cidx_jobs.web.app import create_app
from cidx_jobs.web.http import body as requests
from cidx_jobs.web.server import KEEPALIVE_SECONDS, listening
from tests.fakes import WAIT_SECONDS
from tests.functional.web import SECURITY_HEADERS, House

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(
    house: House, count: int = 1, most: int = 1_000, keepalive_seconds: float = 10.0
) -> AsyncIterator[list[Connection]]:
    """Serve as the program does, and open connections to it."""
    app = create_app(house.jobs)
    place = listening(
        app,
        host="127.0.0.1",
        port=0,
        max_connections=most,
        keepalive_seconds=keepalive_seconds,
    )
    async with place as url:
        port = int(url.rpartition(":")[2])
        made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        try:
            yield made
        finally:
            for _, writer in made:
                writer.close()


def head(house: House, length: int, more: str = "") -> bytes:
    """Give the head of a submit whose body has so many bytes."""
    return (
        "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {house.tokens['alice']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


def get(house: House, path: str) -> bytes:
    """Give a request that leaves the connection open."""
    token = house.tokens["alice"]
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def is_served(house: House, connection: Connection) -> bool:
    """Tell whether the connection is answered, and stays open."""
    connection[1].write(get(house, "/api/queue"))
    async with asyncio.timeout(WAIT_SECONDS):
        begin = await connection[0].readuntil(b"\r\n\r\n")
        length = int(begin.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        await connection[0].readexactly(length)
    return begin.startswith(b"HTTP/1.1 200") and b"Connection: close" not in begin


async def answer_of(connection: Connection) -> tuple[int, dict[str, str], bytes]:
    """Read an answer to the end of its connection: status, headers, body."""
    async with asyncio.timeout(WAIT_SECONDS):
        text = await connection[0].read()
    begin, _, body = text.partition(b"\r\n\r\n")
    first, *lines = begin.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


async def test_half_a_header_is_waited_for_only_so_long(house: House) -> None:
    """A01: closed within the keep-alive time, while others are served."""
    async with connected(house, 50, keepalive_seconds=0.1) as connections:
        for _, writer in connections:
            writer.write(b"GET /api/jobs HTTP/1.1\r\nHost: loc")

        other = await house.ask("GET", "/api/jobs")
        async with asyncio.timeout(WAIT_SECONDS):
            ends = [await reader.read() for reader, _ in connections]

    assert other.status == 200
    assert ends == [b""] * 50


async def test_an_idle_connection_is_kept_for_as_long_as_was_said(house: House) -> None:
    """It is used again before the time is over, and closed after it."""
    async with connected(house, keepalive_seconds=0.4) as (connection,):
        assert await is_served(house, connection)
        await asyncio.sleep(0.2)
        assert await is_served(house, connection)

        async with asyncio.timeout(WAIT_SECONDS):
            rest = await connection[0].read()

    assert rest == b""


def test_balancers_find_their_idle_connections_open() -> None:
    """They use one again for a minute; a POST on a closed one would be a 502 to somebody."""
    assert Settings().keepalive_seconds == KEEPALIVE_SECONDS == 75


async def test_a_slow_body_is_waited_for_only_so_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A02: 408 as a problem, and the connection is closed."""
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.05)
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.05)
    async with connected(house, 20) as connections:
        for _, writer in connections:
            writer.write(head(house, 1_000) + b"{")

        answers = [await answer_of(connection) for connection in connections]

    assert {status for status, _, _ in answers} == {408}
    assert json.loads(answers[0][2])["code"] == "request_timeout"
    assert answers[0][1]["Connection"] == "close"


async def test_a_body_that_breaks_off_is_no_failure(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has gone: nothing is stored, nothing is logged as ours."""
    async with connected(house) as ((_, writer),):
        writer.write(head(house, 1_000) + b'{"job_type":')
        await writer.drain()
        writer.close()
        await writer.wait_closed()

        other = await house.ask("GET", "/api/jobs")

    assert (await other.json())["total"] == 0
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_large_body_is_refused_before_it_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413 by its length alone."""
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.05)
    async with connected(house) as (connection,):
        connection[1].write(head(house, 2_000_000_000))

        async with asyncio.timeout(WAIT_SECONDS):
            status = await connection[0].readline()

    assert status.startswith(b"HTTP/1.1 413")


async def test_a_body_in_pieces_is_bounded_too(house: House) -> None:
    """413 also where no length was named."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    headers = {"Content-Type": "application/json"}
    answer = await house.ask("POST", "/api/jobs", data=pieces(), headers=headers)

    assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nbroken header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_problem_too(
    house: House, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 with the shields of every answer, the connection closed, no traceback in the log."""
    async with connected(house) as (connection,):
        connection[1].write(data)

        status, headers, body = await answer_of(connection)

    assert (status, json.loads(body)["code"]) == (400, "bad_request")
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"] == json.loads(body)["request_id"]
    assert SECURITY_HEADERS.items() <= headers.items()
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("target", [b"OPTIONS *", b"CONNECT a:1", b"GET http://example.org"])
async def test_what_names_no_path_gets_a_problem_too(house: House, target: bytes) -> None:
    """404 with the shields of every answer, and not in the words of the library below."""
    async with connected(house) as (connection,):
        connection[1].write(target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        status, headers, body = await answer_of(connection)

    assert (status, json.loads(body)["code"]) == (404, "not_found")
    assert headers["Content-Type"] == "application/problem+json"
    assert SECURITY_HEADERS.items() <= headers.items()


async def test_a_body_in_broken_pieces_is_malformed(house: House) -> None:
    """400, not 500."""
    begin = head(house, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with connected(house) as (connection,):
        connection[1].write(begin + b"zz\r\n{}\r\n0\r\n\r\n")

        status, _, body = await answer_of(connection)

    assert (status, json.loads(body)["status"]) == (400, 400)


async def test_an_encoded_body_is_not_unpacked(house: House) -> None:
    """H19: refused by its name, in no time (aiohttp alone would unpack it first)."""
    async with connected(house) as (connection,):
        connection[1].write(
            head(house, 3, "Content-Encoding: gzip\r\nConnection: close\r\n") + b"\x1f\x8b\x08"
        )

        status, _, body = await answer_of(connection)

    assert (status, json.loads(body)["code"]) == (415, "unsupported_media_type")


async def test_requests_in_a_row_are_answered_in_a_row(house: House) -> None:
    """Pipelined: a refused one does not take the next with it."""
    token = house.tokens["alice"]
    get = f"GET /livez HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    last = get + "Connection: close\r\n\r\n"
    async with connected(house) as (connection,):
        connection[1].write(head(house, 2) + b"[]" + last.encode())

        async with asyncio.timeout(WAIT_SECONDS):
            text = (await connection[0].read()).decode()

    assert [text.count(f"HTTP/1.1 {status}") for status in (422, 200)] == [1, 1]


async def test_a_connection_too_many_is_told_so_and_the_others_go_on(house: House) -> None:
    """503 with a time to come back, and the connection is closed; a free place is taken again."""
    async with connected(house, 4, most=3) as (*served, extra):
        before = [await is_served(house, one) for one in served]
        extra[1].write(get(house, "/api/queue"))

        status, headers, body = await answer_of(extra)

        assert (status, json.loads(body)["code"]) == (503, "too_many_connections")
        assert (headers["Connection"], headers["Retry-After"]) == ("close", "5")
        assert SECURITY_HEADERS.items() <= headers.items()
        assert before + [await is_served(house, one) for one in served] == [True] * 6
        served[0][1].close()
        port = served[1][1].get_extra_info("peername")[1]
        async with asyncio.timeout(WAIT_SECONDS):
            while not await is_taken(house, port):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)


async def is_taken(house: House, port: int) -> bool:
    """Open a connection, and tell whether it is served like any other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await is_served(house, (reader, writer))
    finally:
        writer.close()


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 200), ("/docs", 503)])
async def test_a_full_server_still_tells_how_it_is(house: House, path: str, status: int) -> None:
    """Else it would be restarted for being busy; each such answer closes its connection."""
    async with connected(house, 2, most=1) as (_, extra):
        extra[1].write(get(house, path))

        found, headers, _ = await answer_of(extra)

    assert (found, headers["Connection"]) == (status, "close")


async def test_of_far_too_many_connections_the_oldest_go_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word; the newest may ask, though none of the others does, and all served go on."""
    monkeypatch.setattr(protocol, "EXTRA_CONNECTIONS", 2)
    async with connected(house, 9, most=3) as connections:
        served, far, last = connections[:3], connections[3:7], connections[8]

        async with asyncio.timeout(protocol.EXTRA_SECONDS / 2):
            ends = [await end_of(reader) for reader, _ in far]
            last[1].write(get(house, "/livez"))
            found, _, _ = await answer_of(last)

        assert ends == [b""] * 4
        assert found == 200
        assert [await is_served(house, one) for one in served] == [True] * 3


async def test_a_connection_too_many_has_little_time_to_ask(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing would keep others from being told."""
    monkeypatch.setattr(protocol, "EXTRA_SECONDS", 0.1)
    async with connected(house, 2, most=1) as (_, extra), asyncio.timeout(WAIT_SECONDS):
        assert await end_of(extra[0]) == b""


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Read to the end; a connection that is reset has none."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "name",
    ["Origin", "Idempotency-Key", "Authorization", "Content-Type", "Last-Event-ID", "origin"],
)
async def test_a_header_that_says_two_things_is_refused(house: House, name: str) -> None:
    """Also when both are equal: whatever stands in front may have read the other one."""
    async with connected(house) as (connection,):
        twice = f"{name}: http://localhost\r\n" * 2
        connection[1].write(head(house, 2, f"{twice}Connection: close\r\n") + b"{}")
        status, _, body = await answer_of(connection)

    assert (status, json.loads(body)["code"]) == (400, "bad_request")


async def test_lists_of_values_may_come_in_several_headers(house: House) -> None:
    """As HTTP has it (RFC 9110, 5.3)."""
    async with connected(house) as (connection,):
        lines = "Accept: text/html\r\nAccept: application/json\r\nConnection: close\r\n"
        connection[1].write(get(house, "/api/queue")[:-2] + lines.encode() + b"\r\n")
        status, _, _ = await answer_of(connection)

    assert status == 200


@pytest.mark.parametrize("upgrade", [b"Upgrade: h2c\r\nConnection: Upgrade\r\n"])
async def test_what_follows_an_upgrade_is_not_left_waiting(house: House, upgrade: bytes) -> None:
    """It is answered as any request, and the connection ends, as it could read no further one."""
    async with connected(house) as (connection,):
        asked = get(house, "/api/queue")
        connection[1].write(asked[:-2] + upgrade + b"\r\n" + asked)
        status, headers, _ = await answer_of(connection)

    assert (status, headers["Connection"]) == (200, "close")


async def large_answer(house: House) -> bytes:
    """Store a job whose document has 60 KB; return the request for it."""
    job = await house.submit(hold=True, options={"text": "x" * 60_000})
    return get(house, f"/api/jobs/{job['job_id']}")


async def test_who_does_not_read_is_dropped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for a client that takes nothing is given up with its connection."""
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.2)
    large = await large_answer(house)
    async with connected(house, 2) as (greedy, other):
        # More than the system takes in for a client.
        greedy[1].write(large * 400)
        cast("asyncio.Transport", greedy[1].transport).pause_reading()
        await asyncio.sleep(1.0)
        assert await is_served(house, other)
        cast("asyncio.Transport", greedy[1].transport).resume_reading()
        async with asyncio.timeout(WAIT_SECONDS):
            taken = await end_of(greedy[0])

    assert taken.count(b"HTTP/1.1 200") < 400


async def test_who_reads_slowly_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it goes on, it gets all there is."""
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 1.0)
    ask = await large_answer(house)
    async with connected(house) as (slow,):
        slow[1].write(ask * 200 + ask[:-2] + b"Connection: close\r\n\r\n")
        text = b""
        async with asyncio.timeout(WAIT_SECONDS):
            while piece := await slow[0].read(256 * 1024):
                text += piece
                await asyncio.sleep(0.05)

    assert text.count(b"HTTP/1.1 200") == 201


async def test_much_that_nobody_reads_is_given_up_from_the_oldest_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded at once, and not only once the time is over."""
    monkeypatch.setattr(protocol, "MAX_UNSENT_BYTES", 1_000)
    large = await large_answer(house)
    async with connected(house, 2) as (greedy, other):
        cast("asyncio.Transport", greedy[1].transport).pause_reading()
        greedy[1].write(large * 400)
        await asyncio.sleep(0.5)
        cast("asyncio.Transport", greedy[1].transport).resume_reading()
        async with asyncio.timeout(WAIT_SECONDS):
            taken = await end_of(greedy[0])
        assert await is_served(house, other)

    assert taken.count(b"HTTP/1.1 200") < 400


@pytest.mark.parametrize(
    ("ask", "begin", "stays"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200", False),
        (b"GET /api/queue HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 401", False),
        (None, b"HTTP/1.1 200", True),
    ],
    ids=["health", "stranger", "known"],
)
async def test_strangers_cannot_take_all_places(
    house: House, ask: bytes | None, begin: bytes, *, stays: bool
) -> None:
    """Whoever is known gets one that is kept, however many connections say nothing."""
    async with connected(house, 7, most=8) as (*_, last):
        last[1].write(ask or get(house, "/api/queue"))
        async with asyncio.timeout(WAIT_SECONDS):
            head = await last[0].readuntil(b"\r\n\r\n")

        assert head.startswith(begin)
        assert (b"Connection: close" not in head) is stays


async def test_strangers_that_say_nothing_make_way_for_the_next(house: House) -> None:
    """Who shows who they are at once is served, though others wait before them."""
    async with connected(house, 20, most=8) as connections:
        *_, last = connections
        served = [await is_served(house, last) for _ in range(3)]

    assert served == [True] * 3


async def test_one_address_has_half_of_the_places() -> None:
    """Others find some left; this machine, where a proxy may stand, has all of them."""
    made = protocol.ProblemServer(server.serve, max_connections=8)
    for _ in range(4):
        made.enter("192.0.2.1")
        made.enter("loopback")

    assert made.is_closed_to("192.0.2.1")
    assert not made.is_closed_to("192.0.2.2")
    assert not made.is_closed_to("loopback")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("127.0.0.9", 1), "loopback"),
        (("::1", 1, 0, 0), "loopback"),
        (("::ffff:127.0.0.1", 1, 0, 0), "loopback"),
        ("", "loopback"),
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1, 0, 0), "192.0.2.1"),
        (("2001:db8::5:6", 1, 0, 0), "2001:db8::/64"),
        (("fe80::1%eth0", 1, 0, 3), "fe80::/64"),
    ],
)
def test_a_network_of_ipv6_is_one_address(peer: Any, address: str) -> None:
    """Whoever has one has 2^64 others."""

    class Peer(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return peer if name == "peername" else default

    assert protocol._address_of(Peer(), lambda _: False) == address
