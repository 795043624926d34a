"""The client against canned answers: what it sends, repeats, and makes of errors."""

import asyncio
import contextlib
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cidx_jobs.client import (
    AuthenticationError,
    ConflictError,
    JobsClient,
    JobsClientError,
    NetworkConnectionError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    RequestRefusedError,
    ServerBusyError,
    ServerError,
    UnexpectedAnswerError,
)
from cidx_jobs.client.backoff import Backoff
from cidx_jobs.client.event_follower import EventReader
from cidx_jobs.client.transport import Answer, Call, Transport
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.web.routes.table import API_ROUTES, SERVER_ROUTES
from tests.canned_server import JOB_ID, CannedServer, answer_with, cut

MakeServer = Callable[..., Awaitable[TestServer]]


@pytest.fixture
def canned() -> CannedServer:
    """Give a server that behaves."""
    return CannedServer()


@pytest.fixture
async def url(canned: CannedServer, aiohttp_server: MakeServer) -> str:
    """Give where it listens."""
    server = await aiohttp_server(canned.make_app())
    return str(server.make_url("")).rstrip("/")


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as short as the back-off ever does, so that no test waits."""
    monkeypatch.setattr(
        "cidx_jobs.client.transport.Backoff", lambda: Backoff(fraction=lambda: 0.0)
    )


async def test_a_job_comes_as_a_document(url: str) -> None:
    """The answer is a typed document: times are times, the status is a status."""
    async with JobsClient(url) as client:
        job = await client.get_job(JOB_ID)

    assert job.status is JobStatus.RUNNING
    assert job.created_at.year == 2030
    assert job.links.own == f"/api/jobs/{JOB_ID}"


async def test_members_that_are_new_are_ignored(canned: CannedServer, url: str) -> None:
    """A newer server may add members."""
    canned.job["colour"] = "green"

    async with JobsClient(url) as client:
        job = await client.get_job(JOB_ID)

    assert job.job_id == JOB_ID


async def test_the_token_is_sent_as_bearer(canned: CannedServer, url: str) -> None:
    """Each request carries the token."""
    async with JobsClient(url, "cidxj_secret") as client:
        await client.get_job(JOB_ID)

    assert canned.requests[0].headers["Authorization"] == "Bearer cidxj_secret"


@pytest.mark.parametrize(
    "fault",
    [cut, answer_with(503, "stopping"), answer_with(502, "gateway")],
    ids=["cut", "503", "502"],
)
async def test_a_submit_is_repeated_with_its_key(
    canned: CannedServer, url: str, fault: Any
) -> None:
    """After an unknown outcome the submit goes out again, with the same key and body."""
    canned.faults = [fault]

    async with JobsClient(url) as client:
        job = await client.submit("reindex", "project", options={"a": 1})

    keys = [request.headers["Idempotency-Key"] for request in canned.requests]
    assert job.job_id == JOB_ID
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert canned.bodies[0] == canned.bodies[-1]
    assert canned.bodies[0]["options"] == {"a": 1}


async def test_two_submits_have_two_keys(canned: CannedServer, url: str) -> None:
    """The key is made for one call."""
    async with JobsClient(url) as client:
        await client.submit("reindex", "project")
        await client.submit("reindex", "project")

    first, second = (request.headers["Idempotency-Key"] for request in canned.requests)
    assert first != second


async def test_a_sync_leaves_out_what_was_not_said(canned: CannedServer, url: str) -> None:
    """Options that are None are not sent: those of the last sync hold."""
    async with JobsClient(url) as client:
        await client.sync("project", branch="dev")

    assert canned.bodies[0]["options"] == {"branch": "dev"}


async def test_a_retry_of_a_job_is_never_repeated(canned: CannedServer, url: str) -> None:
    """What would do something a second time is sent once."""
    canned.faults = [cut, cut, cut]

    async with JobsClient(url) as client:
        with pytest.raises(NetworkConnectionError):
            await client.retry_job(JOB_ID)

    assert len(canned.requests) == 1


async def test_a_long_pause_is_left_to_the_caller(canned: CannedServer, url: str) -> None:
    """A Retry-After beyond ten seconds is not slept in a request; the error carries it."""

    async def drain(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503, headers={"Retry-After": "30"})

    canned.faults = [drain]

    async with JobsClient(url) as client:
        with pytest.raises(ServerBusyError) as caught:
            await client.get_job(JOB_ID)

    assert caught.value.retry_after_seconds == 30
    assert len(canned.requests) == 1


async def test_repeats_come_to_an_end(canned: CannedServer, url: str) -> None:
    """After as many repeats as were allowed the last error comes out."""
    canned.faults = [answer_with(503, "stopping")] * 9

    async with JobsClient(url, retries=2) as client:
        with pytest.raises(ServerBusyError):
            await client.get_job(JOB_ID)

    assert len(canned.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefusedError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, NotFoundError),
        (412, PreconditionFailedError),
        (422, RequestRefusedError),
        (429, ServerBusyError),
        (500, ServerError),
        (503, ServerBusyError),
        (507, ServerBusyError),
    ],
)
async def test_each_problem_is_an_error_of_its_own(
    canned: CannedServer, url: str, status: int, kind: type[JobsClientError]
) -> None:
    """The error has the class of its status, and code, members and request id of the answer."""
    canned.faults = [answer_with(status, "some_code", limit=7)]

    async with JobsClient(url, retries=0) as client:
        with pytest.raises(kind) as caught:
            await client.get_job(JOB_ID)

    assert type(caught.value) is kind
    assert caught.value.code == "some_code"
    assert caught.value.status == status
    assert caught.value.members["limit"] == 7
    assert caught.value.request_id == "r-1"
    assert caught.value.message == "canned some_code"


async def test_wrong_members_are_named(canned: CannedServer, url: str) -> None:
    """The faults of a refused document come out with their pointers."""
    fault = {"pointer": "/options/branch", "message": "it begins with a dash"}
    canned.faults = [answer_with(422, "validation_failed", errors=[fault])]

    async with JobsClient(url) as client:
        with pytest.raises(RequestRefusedError) as caught:
            await client.sync("project", branch="-x")

    assert caught.value.errors == (fault,)


async def test_an_expired_token_is_replaced_once(canned: CannedServer, url: str) -> None:
    """A 401 asks for a new token and sends the request again with it."""
    canned.faults = [answer_with(401, "authentication_required")]

    async def refresh() -> str:
        return "new"

    async with JobsClient(url, "old", refresh_token=refresh) as client:
        await client.get_job(JOB_ID)

    sent = [request.headers["Authorization"] for request in canned.requests]
    assert sent == ["Bearer old", "Bearer new"]


async def test_a_fresh_token_that_is_refused_is_an_error(canned: CannedServer, url: str) -> None:
    """There is no second refresh."""
    canned.faults = [answer_with(401, "authentication_required")] * 2

    async def refresh() -> str:
        return "new"

    async with JobsClient(url, "old", refresh_token=refresh) as client:
        with pytest.raises(AuthenticationError):
            await client.get_job(JOB_ID)


async def test_what_is_not_our_api_is_said_to_be_so(canned: CannedServer, url: str) -> None:
    """An answer that is no document of ours is an error of its own, not a decoding error."""

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    canned.faults = [page]

    async with JobsClient(url) as client:
        with pytest.raises(UnexpectedAnswerError):
            await client.get_job(JOB_ID)


async def test_a_redirect_is_not_followed(canned: CannedServer, url: str) -> None:
    """The token goes to the server that was named, and to no other."""

    async def away(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"})

    canned.faults = [away]

    async with JobsClient(url, "secret") as client:
        with pytest.raises(UnexpectedAnswerError):
            await client.get_job(JOB_ID)

    assert len(canned.requests) == 1


async def test_a_server_that_is_not_there_is_a_network_error(unused_tcp_port: int) -> None:
    """A refused connection names the address."""
    async with JobsClient(f"http://127.0.0.1:{unused_tcp_port}", retries=0) as client:
        with pytest.raises(NetworkConnectionError, match=str(unused_tcp_port)):
            await client.get_job(JOB_ID)


async def test_an_answer_that_does_not_come_is_a_network_error(
    canned: CannedServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request has its own time-out."""
    monkeypatch.setattr("cidx_jobs.client.transport.ANSWER_SECONDS", 0.05)
    stuck = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await stuck.wait()
        return web.Response()

    canned.faults = [hang]

    async with JobsClient(url, retries=0) as client:
        with pytest.raises(NetworkConnectionError, match="no answer"):
            await client.get_job(JOB_ID)
    stuck.set()


@pytest.mark.parametrize("address", ["", "localhost:8095", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """A wrong address is told at once, not at the first request."""
    with pytest.raises(ValueError, match="no address"):
        JobsClient(address)


async def test_a_client_that_is_not_open_says_so() -> None:
    """Using it outside of its block is a programmer's error."""
    with pytest.raises(RuntimeError, match="async with"):
        await JobsClient("http://localhost").get_job(JOB_ID)


async def test_a_unix_socket_is_an_address(
    canned: CannedServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``unix:`` and a path reaches a server that listens there."""
    path = tmp_path_factory.mktemp("s") / "s"
    runner = web.AppRunner(canned.make_app())
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        async with JobsClient(f"unix:{path}") as client:
            job = await client.get_job(JOB_ID)
    finally:
        await runner.cleanup()

    assert job.job_id == JOB_ID


def test_the_backoff_grows_to_its_cap() -> None:
    """The bound doubles from half a second to ten."""
    backoff = Backoff(fraction=lambda: 1.0)

    waits = [backoff.next_seconds() for _ in range(7)]

    assert waits == [0.5, 1, 2, 4, 8, 10, 10]


def test_the_backoff_is_jittered_over_its_whole_range() -> None:
    """Full jitter: from nothing to the bound."""
    assert Backoff(fraction=lambda: 0.0).next_seconds() == 0
    assert Backoff(fraction=lambda: 0.5).next_seconds() == 0.25


def test_the_backoff_keeps_to_what_the_server_asks() -> None:
    """A wait is never shorter than Retry-After, and not the same for all."""
    backoff = Backoff(fraction=lambda: 1.0)

    assert backoff.next_seconds(30) == 30.5


def test_the_backoff_begins_anew_after_a_success() -> None:
    """A success ends the row of failures."""
    backoff = Backoff(fraction=lambda: 1.0)
    backoff.next_seconds()
    backoff.reset()

    assert backoff.next_seconds() == 0.5


class Recorder(Transport):
    """A transport that sends nothing, and remembers what it should have sent."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__("http://localhost", None)
        self.calls: list[tuple[str, str]] = []

    async def ask(self, call: Call) -> Answer:
        """Remember the call; an answer there is none."""
        self.calls.append((call.method, call.path.partition("?")[0]))
        message = "nothing is sent"
        raise NetworkConnectionError(message)

    def stream(self, call: Call) -> Any:
        """Remember the call; a stream there is none."""
        self.calls.append((call.method, call.path))


# What the command line of CIDX asks on paths of its own, a person's log-in by password, and what a
# code host sends.
OF_OTHER_CLIENTS = re.compile(
    r"/health|/auth/.*|/api/(repos|repositories)(/.*)?|/api/admin/(jobs|maintenance)(/.*)?"
    r"|/hooks/.*"
)


async def test_the_client_has_a_method_for_each_route() -> None:
    """Each method, called with the least that it takes, asks a route; together they ask all."""
    transport = Recorder()
    client = JobsClient("http://localhost")
    client._transport = transport
    for name, method in inspect.getmembers(client, inspect.ismethod):
        parameters = inspect.signature(method).parameters.values()
        needed = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        arguments = ["1" for one in needed if one.default is one.empty]
        if not name.startswith("_"):
            with contextlib.suppress(NetworkConnectionError):
                await (method(*arguments) or asyncio.sleep(0))

    asked = {(method, re.sub(r"/1(?=/|$)", "/{}", path)) for method, path in transport.calls}
    routes = [(route.method, f"/api{route.path}") for route in API_ROUTES]
    routes += [(route.method, route.path) for route in SERVER_ROUTES]
    routes = [each for each in routes if not OF_OTHER_CLIENTS.fullmatch(each[1])]
    assert {(method, re.sub(r"{\w+}", "{}", path)) for method, path in routes} <= asked


async def test_an_answer_is_taken_in_only_so_far(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers could send for ever, and fill the memory of who asks."""
    monkeypatch.setattr("cidx_jobs.client.transport.MAX_ANSWER_BYTES", 100)

    async with JobsClient(url) as client:
        with pytest.raises(UnexpectedAnswerError, match="more than 100 bytes"):
            await client.get_job(JOB_ID)


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stream sends is kept until its event is whole."""
    monkeypatch.setattr("cidx_jobs.client.event_follower.MAX_EVENT_BYTES", 100)
    reader = EventReader()

    whole = list(reader.feed(b"event: a\ndata: 1\n\nevent: b"))
    with pytest.raises(UnexpectedAnswerError, match="more than 100 bytes"):
        list(reader.feed(b"x" * 200))

    assert [event.name for event in whole] == ["a"]
