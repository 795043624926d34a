"""Errors are problem documents, whatever is asked, and no input is a 500 (api.md 1.7)."""

import gzip
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from cidx_jobs.model import errors
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.web import errors as of_http
from cidx_jobs.web.http.problems import PROBLEMS, make_problem
from cidx_jobs.web.routes.table import list_routes
from tests.functional.web import NO_JOB, SECURITY_HEADERS, AioClient, House, open_house, problem_of

JSON = {"Content-Type": "application/json"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
ROUTES = list_routes("/api", is_own=True)
PATHS = sorted({path for path, _ in ROUTES})
ROW_TABLE = Path(__file__).parents[1] / "data" / "bad_inputs.jsonl"
ROWS = [json.loads(line) for line in ROW_TABLE.read_text(encoding="utf-8").splitlines()]
HTTP_ROWS = [row for row in ROWS if row["group"] == "H"]

# Errors that no request meets: they end a start, or a run.
NEVER_ANSWERED = {
    "settings",
    "other_loop",
    "store_error",
    "stale_run",
    "stale_schedule",
    "start_refused",
    "already_owned",
    "not_owned",
    "owner_gone",
    "schema_too_new",
    "database_damaged",
    "HANDLER_ERROR",
    "job_cancelled",
    "job_failed",
    "result_removed",
}


def concrete(path: str) -> str:
    """Return a path with ids that name nothing."""
    return re.sub(r"\{(\w+)\}", lambda hit: NO_JOB if hit[1] == "job_id" else "none", path)


def methods_of(path: str) -> set[str]:
    """Return the methods that a path has."""
    found = {route.method for own, route in ROUTES if own == path}
    return found | ({"HEAD"} if "GET" in found else set())


@pytest.mark.parametrize("path", PATHS)
async def test_a_method_that_a_path_has_not_is_told_those_it_has(house: House, path: str) -> None:
    """405 with `Allow`, on every route."""
    for method in set(METHODS) - methods_of(path):
        answer = await house.ask(method, concrete(path))

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == methods_of(path)


async def test_a_method_that_a_path_has_not_is_told_so_beside_line_ends(house: House) -> None:
    """405 as a problem, whatever an id holds."""
    url = house.client.make_url("/").join(URL("/api/jobs/a%0D%0Ab", encoded=True))

    answer = await house.client.session.request("PUT", url)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/jobs/",
        "/api/nothing",
        "/api/jobs/x/y/z",
        "/API/jobs",
        "/api//jobs",
        "/%00",
        "/api/jobs%2F",
        "/api/../etc/passwd",
        "/caf%C3%A9/%FF",
        "/api/no%0Athing",
        "/%0D%0A",
        "/" + "x" * 5_000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_path_that_is_none_is_not_found(house: House, method: str, path: str) -> None:
    """404 as a problem, with the path as it was asked for."""
    url = house.client.make_url("/").join(URL(path, encoded=True))

    answer = await house.client.session.request(method, url)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (404, "not_found")


BODIES: dict[str, dict[str, Any]] = {
    "none": {},
    "empty object": {"json": {}},
    "array": {"json": [1]},
    "no json": {"data": b"\xff\x00{", "headers": JSON},
    "form": {"data": {"a": "b"}},
    "text": {"data": "{}", "headers": {"Content-Type": "text/plain"}},
    "unknown members": {"json": {"a\x01": {"b": ["\u202e"]}}},
    "large": {"data": b"x" * 70_000, "headers": JSON},
}


@pytest.mark.parametrize("path", PATHS)
async def test_every_route_answers_every_body(house: House, path: str) -> None:
    """With what it should or with a problem, never with a 500, and safely either way."""
    for method, body in itertools.product(methods_of(path) - {"HEAD"}, BODIES.values()):
        answer = await house.ask(method, concrete(path), user="root", **body)

        text = await answer.text()
        # A store in memory has no backups, and says so.
        assert answer.status < 500 or "backup_failed" in text, text
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
        if answer.status >= 400:
            problem_of(answer, await answer.json())


# What clients of others send, and what a code host signs, may hold anything.
TAKES_ANY_MEMBER = {
    "/hooks/{hook_id}",
    "/auth/login",
    "/auth/refresh",
    "/api/admin/jobs/cleanup",
    "/api/admin/maintenance/enter",
    "/api/admin/maintenance/exit",
    "/api/repos/sync",
    "/api/repos/{alias}/sync",
    "/api/repositories/{alias}/sync",
}


async def test_every_route_that_changes_something_reads_its_body_strictly(house: House) -> None:
    """Also where it has no members: an unknown one is 422 with its pointer, no JSON is 400."""
    changing = [(path, route.method) for path, route in ROUTES if route.method != "GET"]
    for path, method in changing:
        if path in TAKES_ANY_MEMBER:
            continue
        url = concrete(path) + (
            "?user_id=none" if (path, method) == ("/api/admin/tokens", "DELETE") else ""
        )

        wrong = await house.ask(method, url, user="root", json={"no_such_member": 1})
        unread = await house.ask(method, url, user="root", data=b"{", headers=JSON)

        faults = (await wrong.json())["errors"]
        assert (wrong.status, faults[0]["pointer"]) == (422, "/no_such_member"), path
        assert (unread.status, (await unread.json())["code"]) == (400, "malformed_body"), path


TAKES_ANY_PARAMETER = {"/api/admin/jobs/cleanup"}


@pytest.mark.parametrize("path", PATHS)
async def test_every_route_refuses_an_unknown_parameter(house: House, path: str) -> None:
    """400 with its name; but one route of others' clients lets it be (api.md 1.9)."""
    for method in methods_of(path) - {"HEAD"}:
        answer = await house.ask(method, f"{concrete(path)}?nonsense=1", user="root")

        if path in TAKES_ANY_PARAMETER:
            assert answer.status == 200
        elif "{" not in path or method != "GET":
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")


def body_of(text: str) -> bytes:
    """Return the bytes that a row of the table stands for."""
    if text.startswith("@HEX:"):
        return bytes.fromhex(text[5:])
    if text.startswith("@GZIP:"):
        return gzip.compress(b"0" * int(text[6:]))
    repeat = re.compile(r"@REP:(.):(\d+)")
    return repeat.sub(lambda hit: hit[1] * int(hit[2]), text).encode()


@pytest.mark.parametrize(
    "row", HTTP_ROWS, ids=[f"{r['id']} {r['input']['name']}" for r in HTTP_ROWS]
)
async def test_a_hostile_request_gets_what_it_must(house: House, row: dict[str, Any]) -> None:
    """Each row of the table: the status, a problem, and nothing stored."""
    case = row["input"]
    headers = {"Content-Type": case["content_type"]} | case["extra"]
    if case["auth"] is not None:
        headers["Authorization"] = case["auth"].replace("ALICE_TOKEN", house.tokens["alice"])
    url = f"{house.client.make_url('/')}".rstrip("/") + case["path"]

    answer = await house.client.session.request(
        case["method"],
        URL(url, encoded=True),
        headers=headers,
        data=io.BytesIO(body_of(case["body"])) if case["body"] else None,
    )

    assert answer.status in row["expect"]
    problem_of(answer, await answer.json())
    assert not await house.jobs.list()


async def test_the_owner_of_a_job_is_never_taken_from_its_body(house: House) -> None:
    """H14: not even the caller's own id may stand there."""
    answer = await house.ask(
        "POST", "/api/jobs", json={"job_type": "quick", "project_id": "p", "user_id": "alice"}
    )

    assert answer.status == 422


def error_classes(root: type[CidxJobsError] = CidxJobsError) -> set[type[CidxJobsError]]:
    """Return an error class and all below it."""
    return {root}.union(*(error_classes(below) for below in root.__subclasses__()))


@pytest.mark.parametrize(
    ("method", "path", "more", "members"),
    [
        ("GET", "/api/jobs?limit=0", {}, {"parameter": "limit", "minimum": 1, "maximum": 200}),
        ("GET", "/api/jobs?order=x", {}, {"choices": ["-created_at", "created_at"]}),
        ("GET", "/api/jobs?status=x", {}, {"choices": [*JobStatus, "pending"]}),
        ("GET", "/api/projects/p/search?q=abc&path=" + "x" * 5_000, {}, {"limit": 1_000}),
        ("GET", "/api/admin/stats", {}, {"scope": "admin"}),
        ("POST", "/api/jobs", {"data": "text"}, {"received": "text/plain"}),
        ("POST", "/api/jobs", {"data": b"[1e999]", "headers": JSON}, {"number": "1e999"}),
    ],
)
async def test_what_a_detail_names_is_a_member(
    house: House, method: str, path: str, more: dict[str, Any], members: dict[str, Any]
) -> None:
    """Programs need not take a text apart."""
    answer = await house.ask(method, path, **more)

    problem = problem_of(answer, await answer.json())
    assert members.items() <= problem.items()


def test_every_code_has_its_status() -> None:
    """One table, complete: what is not in it is a 500 that says nothing."""
    # The client has errors of its own; whether they are loaded depends on the tests before.
    ours = {
        one
        for one in error_classes()
        if one.__module__.startswith("cidx_jobs.")
        and not one.__module__.startswith("cidx_jobs.client.")
    }

    codes = {one.code for one in ours}

    assert codes - NEVER_ANSWERED <= PROBLEMS.keys()
    assert PROBLEMS.keys() <= codes
    assert {errors.__name__, of_http.__name__} <= {one.__module__ for one in ours}


def test_an_error_that_is_not_for_callers_says_nothing() -> None:
    """Its text stays in the log."""
    answer = make_problem(errors.OwnerLostError("secret"), "/x", "r1")
    hidden = make_problem(errors.StaleRunError(JobId("j"), 7), "/x", "r1")

    assert (answer.status, hidden.status) == (503, 500)
    assert isinstance(hidden.body, bytes)
    assert b"run 7" not in hidden.body
    assert json.loads(hidden.body)["code"] == "internal_error"


async def test_a_failure_of_ours_is_a_500_with_an_id_that_finds_it(
    aiohttp_client: AioClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer holds the id; the log holds the id and what happened."""

    async def fail(_: object) -> None:
        message = "planted secret"
        raise ZeroDivisionError(message)

    async with open_house(aiohttp_client, tmp_path) as house:
        house.jobs.persistence.projects.list_projects = fail  # type: ignore[assignment,method-assign] # planted
        answer = await house.ask("GET", "/api/projects")

    problem = problem_of(answer, await answer.json())
    log = caplog.text
    assert (answer.status, problem["code"]) == (500, "internal_error")
    assert "planted secret" not in json.dumps(problem)
    assert problem["request_id"] in log
    assert "planted secret" in log


async def test_a_failure_while_the_server_stops_is_no_fault(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """503: the parts go away one after the other."""

    async def fail(_: object) -> None:
        message = "closed"
        raise RuntimeError(message)

    async with open_house(aiohttp_client, tmp_path) as house:
        house.jobs.persistence.projects.list_projects = fail  # type: ignore[assignment,method-assign] # planted
        await house.jobs.begin_stop()

        answer = await house.ask("GET", "/api/projects")

    assert (answer.status, (await answer.json())["code"]) == (503, "stopping")


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("abc-123", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<script>", False)],
)
async def test_a_request_id_is_answered(house: House, given: str, is_kept: bool) -> None:
    """The caller's own if it is harmless, else one of ours; each time another."""
    first = await house.ask("GET", "/api/jobs", headers={"X-Request-Id": given})
    second = await house.ask("GET", "/api/jobs", headers={"X-Request-Id": given})

    ids = [answer.headers["X-Request-Id"] for answer in (first, second)]
    assert (ids == [given, given]) is is_kept
    assert is_kept or len(set(ids)) == 2


async def test_a_client_that_asks_first_may_send_its_body(house: House) -> None:
    """``Expect: 100-continue`` is answered; an expectation that is not known is ignored."""
    body = {"job_type": "quick", "project_id": "p"}
    continued = await house.ask("POST", "/api/jobs", json=body, expect100=True)
    unknown = await house.ask("POST", "/api/jobs", json=body, headers={"Expect": "a-pony"})

    assert (continued.status, unknown.status) == (202, 202)
