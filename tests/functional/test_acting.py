"""Acting for others: administrators for any user, auditors with their eyes alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.web.routes.table import API_ROUTES
from tests.functional.web import REPOSITORY, AioClient, House, open_house, problem_of


@pytest.fixture
async def house(aiohttp_client: AioClient, tmp_path: Path) -> AsyncIterator[House]:
    """Open a server where alice and bob have a project of one name."""
    async with open_house(aiohttp_client, tmp_path) as house:
        for user in ("alice", "bob"):
            project = Project(
                user_id=UserId(user), project_id=ProjectId("p"), repository_url=REPOSITORY
            )
            await house.jobs.persistence.projects.save_project(project)
        yield house


async def projects_of(house: House, user: str, **query: str) -> list[tuple[str, str]]:
    """Return the projects that a user is shown."""
    answer = await house.ask("GET", "/api/projects", user=user, params=query)
    listed = (await answer.json())["projects"]
    return [(one["user_id"], one["project_id"]) for one in listed]


async def test_a_submit_for_a_user_is_theirs(house: House) -> None:
    """The user sees it as their own, its log names who asked, and so does the admin log."""
    job = await house.submit("root", user_id="alice", hold=True)

    own = await house.ask("GET", f"/api/jobs/{job['job_id']}")
    events = await (await house.ask("GET", f"/api/jobs/{job['job_id']}/events")).json()
    log = await (await house.ask("GET", "/api/admin/log", user="root")).json()

    assert (own.status, job["user_id"]) == (200, "alice")
    assert events["events"][0]["actor"] == "root"
    entry = log["entries"][0]
    assert (entry["action"], entry["actor"]) == ("job_submitted", "root")
    assert entry["target"] == f"{job['job_id']} of alice"


async def test_a_sync_for_a_user_is_of_their_project(house: House) -> None:
    """Its URL is that of the user's own project."""
    body = {"project_id": "p", "user_id": "alice", "hold": True}

    answer = await house.ask("POST", "/api/sync", user="root", json=body)

    job = await answer.json()
    assert answer.status == 202
    assert (job["user_id"], job["options"]["repository_url"]) == ("alice", REPOSITORY)


@pytest.mark.parametrize("user", ["alice", "bob", "rita", "audrey"])
@pytest.mark.parametrize("path", ["/api/jobs", "/api/sync"])
async def test_nobody_else_submits_for_a_user(house: House, user: str, path: str) -> None:
    """Not even for themselves by name: for all but administrators there is no such member."""
    body: dict[str, Any] = {"project_id": "p", "user_id": "alice", "hold": True}
    body |= {"job_type": "gated"} if path == "/api/jobs" else {}

    answer = await house.ask("POST", path, user=user, json=body)

    assert answer.status == (422 if user in {"alice", "bob"} else 403)
    assert list(await house.jobs.list(user_id="alice")) == []


async def test_a_name_that_nobody_can_have_is_a_fault(house: House) -> None:
    """The member is named."""
    body = {"job_type": "gated", "project_id": "p", "user_id": "a\nb"}

    answer = await house.ask("POST", "/api/jobs", user="root", json=body)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["errors"][0]["pointer"]) == (422, "/user_id")


async def test_a_parameter_that_names_nobody_is_a_fault_of_the_query(house: House) -> None:
    """For each route that takes one: 400, before anything is looked for or done."""
    named = [
        route
        for route in API_ROUTES
        if any(field.name == "user_id" for field in msgspec.structs.fields(route.query))
    ]
    values = {"project_id": "p", "name": "s", "q": "text", "token_id": "t"}
    assert len(named) > 10

    for route in named:
        url = f"/api{route.path.format(**values)}?user_id=a%0Ab"
        url += "&q=text" if "search" in url else ""
        answer = await house.ask(route.method, url, user="root", json=route.body and {})

        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (400, "invalid_parameter"), route.key
        assert problem["parameter"] == "user_id"


async def test_the_projects_of_others_are_listed_for_those_who_may_see_them(house: House) -> None:
    """One user's, or everybody's; without a name one's own."""
    everybody = [("alice", "p"), ("bob", "p")]

    for user in ("root", "audrey"):
        assert await projects_of(house, user) == []
        assert await projects_of(house, user, user_id="bob") == [("bob", "p")]
        assert await projects_of(house, user, user_id="*") == everybody
    assert await projects_of(house, "alice") == [("alice", "p")]


@pytest.mark.parametrize(
    ("method", "path", "root", "audrey"),
    [
        ("GET", "/api/projects", 200, 200),
        ("GET", "/api/projects/p", 200, 200),
        ("GET", "/api/projects/p/skipped", 200, 200),
        ("GET", "/api/projects/p/search?q=text", 409, 403),
        ("DELETE", "/api/projects/p", 204, 403),
    ],
)
async def test_a_project_of_another_is_named_with_its_user(
    house: House, method: str, path: str, root: int, audrey: int
) -> None:
    """An administrator reaches it, an auditor reads what is no code, all others are refused."""
    mark = "&" if "?" in path else "?"
    url = f"{path}{mark}user_id=alice"

    statuses = {
        user: (await house.ask(method, url, user=user)).status
        for user in ("rita", "bob", "alice", "audrey", "root")
    }

    assert statuses == {"rita": 403, "bob": 403, "alice": 403, "audrey": audrey, "root": root}
    if method == "DELETE":
        assert await projects_of(house, "root", user_id="*") == [("bob", "p")]
