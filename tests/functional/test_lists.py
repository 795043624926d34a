"""Lists of jobs and of the transition log: filters, pages, totals (api.md 1.6)."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from cidx_jobs.model.job.job import JobStatus
from tests.functional.web import House, problem_of


async def list_jobs(house: House, query: str = "", user: str = "alice") -> dict[str, Any]:
    """Give one page."""
    answer = await house.ask("GET", f"/api/jobs?{query}", user=user)
    assert answer.status == 200, await answer.text()
    page: dict[str, Any] = await answer.json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    """Give the ids of a page's jobs."""
    return [job["job_id"] for job in page["jobs"]]


async def fill(house: House, count: int, **members: Any) -> list[str]:
    """Submit held jobs; give their ids, oldest first."""
    jobs = [await house.submit(hold=True, **members) for _ in range(count)]
    return [job["job_id"] for job in jobs]


async def test_a_list_is_of_the_callers_jobs_newest_first(house: House) -> None:
    """Each with the names that the CIDX client reads; others' are not in it."""
    mine = await fill(house, 3)
    await house.submit("bob", hold=True)

    page = await list_jobs(house)

    assert ids(page) == mine[::-1]
    assert {name: page[name] for name in page if name != "jobs"} == {
        "total": 3,
        "total_is_exact": True,
        "limit": 50,
        "offset": 0,
        "next_cursor": None,
    }
    job = page["jobs"][0]
    assert (job["operation_type"], job["username"]) == (job["job_type"], "alice")
    assert job["completed_at"] is None
    assert job["queue"]["blocked_by"] == ["held"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("status=created", {"held"}),
        ("status=running", {"running"}),
        ("status=created,running", {"held", "running"}),
        ("status=created&status=running", {"held", "running"}),
        ("status=pending", {"held"}),
        ("status=completed,failed,cancelled", {"done", "broken"}),
        ("job_type=quick", {"done"}),
        ("project_id=p", {"running", "done", "broken"}),
        ("project_id=q", {"held"}),
        ("label=origin:ci", {"held"}),
        ("label=origin:ci&label=team:a:b", {"held"}),
        ("label=origin:ci&label=team:x", set()),
        ("label=origin:", set()),
        ("label=or%22gin:ci", set()),
        ("job_type=gated&status=running", {"running"}),
        ("created_after=2000-01-01T00:00:00Z", {"held", "running", "done", "broken"}),
        ("created_after=2999-01-01T00:00:00%2B02:00", set()),
        ("created_before=2000-01-01T00:00:00+00:00", set()),
    ],
)
async def test_a_filter_holds(house: House, query: str, wanted: set[str]) -> None:
    """Several filters hold together; a list of statuses means any of them."""
    labels = {"origin": "ci", "team": "a:b"}
    names = {
        (await house.submit(hold=True, project_id="q", labels=labels))["job_id"]: "held",
        (await house.submit_ended()).job_id: "done",
        (await house.submit_ended("broken")).job_id: "broken",
        (await house.submit_running())["job_id"]: "running",
    }

    page = await list_jobs(house, query)

    assert {names[job_id] for job_id in ids(page)} == wanted
    assert page["total"] == len(wanted)


async def test_times_part_the_jobs_where_they_say(house: House) -> None:
    """`created_after` and `created_before` see microseconds, in any zone."""
    first, second = await fill(house, 2)
    created = (await house.jobs.get(second)).created_at

    before = await list_jobs(house, f"created_before={quote(created.isoformat())}")
    after = await list_jobs(
        house, f"created_after={quote((created - timedelta(microseconds=1)).isoformat())}"
    )

    assert ids(before) == [first]
    assert ids(after) == [second]


@pytest.mark.parametrize("order", ["-created_at", "created_at"])
async def test_cursors_lead_through_all_pages(house: House, order: str) -> None:
    """Each job once, in order, also when new ones come meanwhile; the link says the same."""
    mine = await fill(house, 7)
    seen: list[str] = []
    path = f"/api/jobs?limit=3&order={order}&status=created"

    for _ in range(10):
        answer = await house.ask("GET", path)
        page = await answer.json()
        seen += ids(page)
        if page["next_cursor"] is None:
            assert "Link" not in answer.headers
            break
        link = answer.headers["Link"]
        assert link.endswith('>; rel="next"')
        path = link[1 : link.index(">")]
        assert page["next_cursor"] in path
        if order == "-created_at":
            await fill(house, 1)

    assert seen == (mine[::-1] if order == "-created_at" else mine)


async def test_offsets_skip(house: House) -> None:
    """The older way to page."""
    mine = (await fill(house, 5))[::-1]

    page = await list_jobs(house, "limit=2&offset=2")

    assert ids(page) == mine[2:4]
    assert (page["offset"], page["limit"], page["total"]) == (2, 2, 5)
    assert page["next_cursor"] is not None
    assert ids(await list_jobs(house, "offset=99")) == []


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=-1", "invalid_parameter", "limit"),
        ("limit=201", "invalid_parameter", "limit"),
        ("limit=1e9", "invalid_parameter", "limit"),
        ("limit=%D9%A3", "invalid_parameter", "limit"),
        ("limit=" + "9" * 5_000, "invalid_parameter", "limit"),
        ("limit=1&limit=2", "invalid_parameter", "limit"),
        ("offset=-1", "invalid_parameter", "offset"),
        ("offset=9999999999999999999", "invalid_parameter", "offset"),
        ("status=queued'%20OR%20'1'='1", "invalid_parameter", "status"),
        ("status=", "invalid_parameter", "status"),
        ("status=QUEUED", "invalid_parameter", "status"),
        ("job_type=a%00b", "invalid_parameter", "job_type"),
        ("job_type=%2F", "invalid_parameter", "job_type"),
        ("project_id=..%2F..", "invalid_parameter", "project_id"),
        ("label=x", "invalid_parameter", "label"),
        ("label=:x", "invalid_parameter", "label"),
        ("label=a:%00", "invalid_parameter", "label"),
        ("created_after=yesterday", "invalid_parameter", "created_after"),
        ("created_after=2026-01-01", "invalid_parameter", "created_after"),
        ("created_after=2026-01-01T00:00:00", "invalid_parameter", "created_after"),
        ("created_before=0001-01-01T00:00:00%2B14:00", "invalid_parameter", "created_before"),
        ("order=priority", "invalid_parameter", "order"),
        ("cursor=abc", "invalid_cursor", "cursor"),
        ("cursor=", "invalid_cursor", "cursor"),
        ("cursor=c1-00000000", "invalid_cursor", "cursor"),
        ("cursor=cffffffffffffffff-00000000", "invalid_cursor", "cursor"),
        ("cursor=c1-00000000&offset=1", "invalid_parameter", "offset"),
        ("nonsense=1", "invalid_parameter", "nonsense"),
        ("caf%C3%A9=1", "invalid_parameter", "caf?"),
    ],
)
async def test_a_fault_in_the_query_is_named(
    house: House, query: str, code: str, parameter: str
) -> None:
    """400 with the parameter."""
    answer = await house.ask("GET", f"/api/jobs?{query}")

    problem = await answer.json()
    assert (answer.status, problem["code"], problem["parameter"]) == (400, code, parameter)


async def test_a_cursor_is_for_its_own_list(house: House) -> None:
    """Not for other filters, another order, another user, or the log."""
    await fill(house, 3)
    cursor = (await list_jobs(house, "limit=1"))["next_cursor"]

    for user, path in [
        ("alice", f"/api/jobs?cursor={cursor}&status=created"),
        ("alice", f"/api/jobs?cursor={cursor}&order=created_at"),
        ("bob", f"/api/jobs?cursor={cursor}"),
        ("alice", f"/api/events?cursor={cursor}"),
    ]:
        answer = await house.ask("GET", path, user=user)
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_cursor")


async def test_an_admin_lists_everybody_or_one(house: House) -> None:
    """Without `user_id` it is all users' jobs."""
    mine = await fill(house, 1)
    bobs = (await house.submit("bob", hold=True))["job_id"]

    everybody = await list_jobs(house, user="root")
    one = await list_jobs(house, "user_id=bob", user="root")

    assert set(ids(everybody)) == {*mine, bobs}
    assert ids(one) == [bobs]


async def test_everybody_may_ask_for_their_own(house: House) -> None:
    """With `@me` an admin, too, lists their own jobs and nobody else's."""
    mine = await fill(house, 1)
    roots = (await house.submit("root", hold=True))["job_id"]

    assert ids(await list_jobs(house, "user_id=@me", user="root")) == [roots]
    assert ids(await list_jobs(house, "user_id=@me")) == mine


@pytest.mark.parametrize("whose", ["alice", "bob", "nobody"])
async def test_naming_a_user_is_for_admins(house: House, whose: str) -> None:
    """403, whoever is named."""
    answer = await house.ask("GET", f"/api/jobs?user_id={whose}")

    assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")


async def test_the_log_of_a_job_is_its_story_oldest_first(house: House) -> None:
    """The first row comes from nowhere; pages are led through by cursors."""
    job = await house.submit_ended()
    path = f"/api/jobs/{job.job_id}/events"
    rows: list[dict[str, Any]] = []
    query = "limit=1"

    for _ in range(10):
        page = await (await house.ask("GET", f"{path}?{query}")).json()
        rows += page["events"]
        if page["next_cursor"] is None:
            break
        query = f"limit=1&cursor={page['next_cursor']}"

    assert [(row["from"], row["to"]) for row in rows] == [
        (None, "created"),
        ("created", "queued"),
        ("queued", "running"),
        ("running", "completed"),
    ]
    assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows})
    assert {row["job_id"] for row in rows} == {job.job_id}
    names = ["seq", "job_id", "version", "event", "from", "to", "at", "attempt", "reason"]
    assert list(rows[0]) == [*names, "actor"]


async def test_the_whole_log_is_of_the_jobs_one_may_see(house: House) -> None:
    """Everybody's for an admin, else the caller's own."""
    mine, bobs = await house.submit(hold=True), await house.submit("bob", hold=True)

    answers = {
        user: await (await house.ask("GET", "/api/events", user=user)).json()
        for user in ("alice", "bob", "root", "rita")
    }

    seen = {user: {row["job_id"] for row in page["events"]} for user, page in answers.items()}
    assert seen == {
        "alice": {mine["job_id"]},
        "bob": {bobs["job_id"]},
        "root": {mine["job_id"], bobs["job_id"]},
        "rita": set(),
    }


async def test_a_page_of_the_log_that_was_deleted_is_gone(house: House) -> None:
    """410 with where the log begins now."""
    await house.submit_ended()
    await house.submit(hold=True)
    page = await (await house.ask("GET", "/api/events?limit=1")).json()
    now = house.jobs.clock.now() + timedelta(seconds=1)
    await house.jobs.persistence.jobs.delete_expired_jobs(
        now, frozenset({JobStatus.COMPLETED}), 10
    )

    answer = await house.ask("GET", f"/api/events?limit=1&cursor={page['next_cursor']}")

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"]) == (410, "history_expired")
    assert problem["oldest_seq"] > 1


async def test_a_jobs_own_log_is_whole_whatever_is_deleted_beside_it(house: House) -> None:
    """The next page comes, though rows of other jobs between the two are gone."""
    job = await house.submit(hold=True)
    await house.submit_ended()
    path = f"/api/jobs/{job['job_id']}/events?limit=1"
    await house.ask("PATCH", f"/api/jobs/{job['job_id']}", json={"priority": 1})
    page = await (await house.ask("GET", path)).json()
    now = house.jobs.clock.now() + timedelta(seconds=1)
    await house.jobs.persistence.jobs.delete_expired_jobs(
        now, frozenset({JobStatus.COMPLETED}), 10
    )

    answer = await house.ask("GET", f"{path}&cursor={page['next_cursor']}")

    assert [row["version"] for row in (await answer.json())["events"]] == [2]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("text/html, application/*;q=0.5", 200),
        ("text/html", 406),
        ("image/png, text/plain", 406),
        ("application/json;q=0, */*;q=0.0", 406),
    ],
)
@pytest.mark.parametrize("everything", [True, False])
async def test_the_log_comes_in_the_forms_it_has(
    house: House, accept: str, status: int, everything: bool
) -> None:
    """406 names them, where none will do."""
    job = await house.submit(hold=True)
    path = "/api/events" if everything else f"/api/jobs/{job['job_id']}/events"

    answer = await house.ask("GET", path, headers={"Accept": accept})

    assert answer.status == status
    if status == 406:
        problem = problem_of(answer, await answer.json())
        assert problem["available"] == ["application/json", "text/event-stream"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*;q=0.1", "application/json"),
        ("text/event-stream;q=0, application/json", "application/json"),
        ("text/event-stream;q=0.5, application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("TEXT/*", "text/event-stream"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("*/*, text/event-stream; charset=utf-8", "text/event-stream"),
        ("application/json; q=0.1, text/event-stream", "text/event-stream"),
    ],
)
async def test_the_log_comes_in_the_form_that_is_liked_best(
    house: House, accept: str, kind: str
) -> None:
    """As RFC 9110 weighs them; a stream only where it is named or nothing else will do."""
    job = await house.submit_ended()

    answer = await house.ask("GET", f"/api/jobs/{job.job_id}/events", headers={"Accept": accept})

    assert (answer.status, answer.content_type) == (200, kind)


async def test_the_queue_shows_the_callers_waiting_jobs_in_order(house: House) -> None:
    """With limits, slots in use, and how many are queued in all."""
    running = [await house.submit_running(project_id=f"r{number}") for number in range(10)]
    waiting = [(await house.submit(project_id=f"w{number}"))["job_id"] for number in range(3)]
    held = (await house.submit(hold=True))["job_id"]
    await house.submit_running("bob")

    overview = await (await house.ask("GET", "/api/queue")).json()

    assert [job["job_id"] for job in overview["jobs"]] == [*waiting, held]
    assert [job["queue"]["position"] for job in overview["jobs"]] == [1, 2, 3, None]
    assert [job["queue"]["blocked_by"] for job in overview["jobs"][:3]] == [["user_limit"]] * 3
    assert overview["queued"] == 3
    assert (overview["running"]["user"], overview["running"]["total"]) == (len(running), 11)
    assert overview["limits"]["max_running_per_user"] == 10


async def test_job_types_come_with_the_schema_of_their_options(house: House) -> None:
    """By name; a type without a schema takes any object."""
    page = await (await house.ask("GET", "/api/job-types")).json()

    types = {one["name"]: one for one in page["job_types"]}
    assert list(types) == ["broken", "gated", "quick", "repository_sync"]
    assert types["quick"]["options_schema"] == {"type": "object"}
    assert "repository_url" in str(types["repository_sync"]["options_schema"])
    assert types["repository_sync"]["exclusive"] is True
    assert types["quick"]["timeout_seconds"] == 3600


async def test_lists_of_two_at_once_do_not_mix(house: House) -> None:
    """Each gets their own."""
    await fill(house, 3)
    await house.submit("bob", hold=True)

    pages = await asyncio.gather(*(list_jobs(house, user=user) for user in ["alice", "bob"] * 5))

    assert [page["total"] for page in pages] == [3, 1] * 5


async def test_a_list_leaves_out_what_is_long(house: House) -> None:
    """A row is short however long the job is; what it lacks it names, and the job has it all."""
    large = {"text": "x" * 20_000}
    job = await house.submit(hold=True, options=large)
    await house.submit(hold=True, options={"text": "short"})

    rows = (await (await house.ask("GET", "/api/jobs")).json())["jobs"]
    whole = await (await house.ask("GET", f"/api/jobs/{job['job_id']}")).json()

    assert [row["omitted"] for row in rows] == [[], ["options"]]
    assert [row["options"] for row in rows] == [{"text": "short"}, None]
    assert all("attempts" not in row for row in rows)
    assert whole["options"] == large


@pytest.mark.parametrize("query", ["offset=9223372036854775807", "offset=9223372036854775806"])
async def test_the_largest_numbers_are_taken(house: House, query: str) -> None:
    """64 bits, as everywhere; one more is a wrong parameter."""
    await house.submit(hold=True)

    taken = await house.ask("GET", f"/api/jobs?{query}&status=created,queued,failed")
    refused = await house.ask("GET", "/api/jobs?offset=9223372036854775808")

    assert (taken.status, (await taken.json())["jobs"]) == (200, [])
    assert (refused.status, (await refused.json())["code"]) == (400, "invalid_parameter")
