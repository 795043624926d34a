"""Push hooks over HTTP: what a code host sends, and what becomes of it (api.md 1.11)."""

import asyncio
import io
import json
import re
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from msgspec.structs import replace
from yarl import URL

from cidx_jobs.interfaces.access import Identity
from cidx_jobs.model import late_imports
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Pauses
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.web.app import create_app, setup
from cidx_jobs.web.http.call import LARGE_BODIES
from cidx_jobs.web.keys import API
from tests import pushes
from tests.functional.web import REPOSITORY, AioClient, House, eventually, open_house, problem_of
from tests.pushes import HOSTS, Delivery
from tests.stored import NOON

HOOK = "/api/projects/code/hook"
SYNCED = Project(
    user_id=UserId("alice"),
    project_id=ProjectId("code"),
    repository_url=REPOSITORY,
    default_branch="main",
    last_commit=pushes.OLDER,
    last_synced_at=NOON,
)


@attrs.frozen
class Hook:
    """A hook of alice's project, as her code host knows it."""

    house: House
    path: str
    secret: str

    async def send(self, delivery: Delivery, **more: str) -> aiohttp.ClientResponse:
        """Send a delivery, without a token."""
        headers = {**delivery.headers, **more}
        return await self.house.ask(
            "POST", self.path, user=None, data=io.BytesIO(delivery.body), headers=headers
        )

    async def deliveries(self) -> list[dict[str, Any]]:
        """Return what came, newest first."""
        answer = await self.house.ask("GET", HOOK)
        found: list[dict[str, Any]] = (await answer.json())["deliveries"]
        return found


async def make_hook(house: House, project: Project = SYNCED) -> Hook:
    """Store a project of alice's as it is after a sync, and make its hook; no job starts."""
    await house.jobs.persistence.projects.save_project(project)
    await house.jobs.manager.set_controls(pauses=Pauses(everything=True))
    answer = await house.ask("POST", HOOK)
    assert answer.status == 201, await answer.text()
    made = await answer.json()
    path = made["url"].removeprefix(str(house.client.make_url("")).rstrip("/"))
    return Hook(house, path, made["secret"])


@pytest.fixture
async def hook(house: House) -> Hook:
    """Give the hook of a project that was synced once."""
    return await make_hook(house)


async def test_a_hook_is_made_shown_and_removed(house: House, hook: Hook) -> None:
    """The secret is shown once; made again, the address stays; removed, it is unknown."""
    shown = await house.ask("GET", HOOK)
    again = await (await house.ask("POST", HOOK)).json()
    old = await hook.send(pushes.github(secret=hook.secret))
    new = await hook.send(pushes.github(secret=again["secret"]))
    removed = await house.ask("DELETE", HOOK)

    assert re.fullmatch(r"/hooks/[A-Za-z0-9_-]{24}", hook.path)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", hook.secret)
    document = await shown.json()
    assert document["deliveries"] == []
    assert hook.secret not in str(document)
    assert again["url"] == document["url"]
    assert (old.status, new.status, removed.status) == (401, 202, 204)
    for method, path in (("GET", HOOK), ("DELETE", HOOK), ("POST", hook.path)):
        answer = await house.ask(method, path, headers={"X-Gitlab-Token": again["secret"]})
        assert problem_of(answer, await answer.json())["code"] == "hook_not_found"
        assert answer.status == 404


async def test_a_hook_is_its_users_own(house: House, hook: Hook) -> None:
    """Nobody else sees or makes it but an admin, who says whose."""
    for method in ("GET", "POST", "DELETE"):
        other = await house.ask(method, HOOK, user="bob")
        named = await house.ask(method, f"{HOOK}?user_id=alice", user="bob")
        assert (other.status, (await other.json())["code"]) == (404, "project_not_found")
        assert named.status == 403
    reader = await house.ask("POST", HOOK, user="rita")
    looked = await house.ask("GET", f"{HOOK}?user_id=alice", user="audrey")
    touched = await house.ask("DELETE", f"{HOOK}?user_id=alice", user="audrey")

    admins = [
        await house.ask(method, f"{HOOK}?user_id=alice", user="root")
        for method in ("GET", "POST", "DELETE")
    ]

    log = await (await house.ask("GET", "/api/admin/log", user="root")).json()
    acts = [(one["action"], one["target"]) for one in log["entries"][:2]]
    assert acts == [("hook_removed", "code of alice"), ("hook_created", "code of alice")]
    assert (reader.status, looked.status, touched.status) == (403, 200, 403)
    assert [answer.status for answer in admins] == [200, 201, 204]
    assert (await house.ask("GET", HOOK, user="root")).status == 404


@pytest.mark.parametrize("name", HOSTS)
async def test_a_push_of_the_branch_submits_a_sync(hook: Hook, name: str) -> None:
    """Of each host; the job is the project's, and the list of deliveries names it."""
    answer = await hook.send(HOSTS[name](secret=hook.secret))

    document = await answer.json()
    job = await hook.house.jobs.get(document["job_id"])
    noted = (await hook.deliveries())[0]
    assert (answer.status, document["verdict"]) == (202, "submitted")
    assert (job.user_id, job.project_id, job.job_type) == ("alice", "code", "repository_sync")
    assert job.options["repository_url"] == REPOSITORY
    assert {**noted, "at": ""} == {
        "at": "",
        "sender": name,
        "kind": "push",
        "verdict": "submitted",
        "job_id": job.job_id,
    }


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({"ref": "refs/heads/other"}, "other_branch"),
        ({"ref": "refs/heads/main/more"}, "other_branch"),
        ({"ref": "refs/tags/main"}, "tag"),
        ({"ref": "refs/heads/main", "deleted": True}, "deleted"),
    ],
)
async def test_another_push_does_nothing_and_says_why(
    hook: Hook, name: str, members: Mapping[str, Any], verdict: str
) -> None:
    """Another branch, a tag, a branch that is gone: 200, and no job."""
    answer = await hook.send(HOSTS[name](secret=hook.secret, **members))

    document = await answer.json()
    assert (answer.status, document["verdict"], document["job_id"]) == (200, verdict, None)
    assert document["reason"]
    assert (await hook.house.jobs.list())[0:] == ()
    assert [one["verdict"] for one in await hook.deliveries()] == [verdict]


async def test_pings_and_other_events_are_answered(hook: Hook) -> None:
    """What a host sends to try the hook, and what somebody ticked too much."""
    secret = hook.secret
    sent = [
        pushes.github(event="ping", secret=secret),
        pushes.github(event="issues", secret=secret),
        pushes.data_center(event="diagnostics:ping", secret=secret),
        pushes.gitlab(event="Issue Hook", kind="issue", secret=secret),
    ]

    answers = [await hook.send(delivery) for delivery in sent]

    assert [answer.status for answer in answers] == [200] * 4
    noted = await hook.deliveries()
    assert [(one["kind"], one["verdict"]) for one in reversed(noted)] == [
        ("ping", "ping"),
        ("issues", "other_event"),
        ("ping", "ping"),
        ("issue", "other_event"),
    ]


@pytest.mark.parametrize(
    ("known", "pushed", "status"),
    [
        ({"branch": "dev"}, "refs/heads/dev", 202),
        ({"branch": "dev"}, "refs/heads/main", 200),
        ({"default_branch": None, "last_synced_at": None}, "refs/heads/any", 202),
        ({"default_branch": None, "last_synced_at": None, "branch": "dev"}, "refs/heads/any", 200),
    ],
)
async def test_the_branch_is_that_of_the_last_good_sync(
    house: House, known: Mapping[str, Any], pushed: str, status: int
) -> None:
    """Before the first one it is what was submitted; where nobody said one, it may be any."""
    hook = await make_hook(house, replace(SYNCED, **known))

    answer = await hook.send(pushes.github(pushed, secret=hook.secret))

    assert answer.status == status


async def test_a_form_is_taken_as_well(hook: Hook) -> None:
    """GitHub signs the form, Gitea what is in it."""
    first = await hook.send(pushes.github(secret=hook.secret, as_form=True))
    second = await hook.send(pushes.gitea(secret=hook.secret, as_form=True))

    assert (first.status, second.status) == (202, 202)


async def test_a_repeat_is_answered_with_the_same_job(hook: Hook) -> None:
    """The delivery's id is a key of the hook, and is looked at once the signature is right."""
    delivery = pushes.github(secret=hook.secret)
    first = await hook.send(delivery)
    job_id = (await first.json())["job_id"]
    await hook.house.jobs.cancel(job_id)

    again = await hook.send(delivery)
    forged = await hook.send(pushes.github(secret="another"))
    other = await hook.send(pushes.github("refs/heads/main", secret=hook.secret, delivery="new"))
    reused = await hook.send(
        pushes.standard(body=b'{"ref": "refs/heads/main"}', secret=hook.secret, delivery="new")
    )

    assert (again.status, (await again.json())["job_id"]) == (202, job_id)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert forged.status == 401
    assert (await other.json())["job_id"] != job_id
    assert (reused.status, (await reused.json())["code"]) == (422, "idempotency_key_reused")
    verdicts = [one["verdict"] for one in reversed(await hook.deliveries())]
    assert verdicts == [
        "submitted",
        "replayed",
        "signature_refused",
        "submitted",
        "idempotency_key_reused",
    ]


async def test_a_key_of_a_delivery_meets_no_key_of_a_request(house: House, hook: Hook) -> None:
    """Whatever the user's own requests are called."""
    first = await hook.send(pushes.github(secret=hook.secret, delivery="the-one"))

    body = {"project_id": "code"}
    own = await house.ask("POST", "/api/sync", json=body, headers={"Idempotency-Key": "the-one"})

    assert first.status == 202
    assert own.status == 200
    assert "Idempotency-Replayed" not in own.headers


async def test_what_nobody_signed_is_refused(hook: Hook) -> None:
    """Without a signature, with a wrong one, too old; the newest of them is noted."""
    unsigned = Delivery({"X-GitHub-Event": "push"}, b"{}")
    refused = [
        unsigned,
        pushes.github(secret="another"),
        pushes.standard(secret=hook.secret, timestamp=1_700_000_000),
        Delivery({**pushes.gitlab(secret=hook.secret).headers, "X-Gitea-Signature": "x"}, b"{}"),
    ]

    for delivery in refused:
        answer = await hook.send(delivery)
        problem = problem_of(answer, await answer.json())
        assert (answer.status, problem["code"]) == (401, "signature_refused")

    noted = await hook.deliveries()
    assert [(one["sender"], one["verdict"]) for one in noted] == [("github", "signature_refused")]


async def test_a_header_that_signs_comes_once(hook: Hook) -> None:
    """Of two, somebody on the way could see the other one."""
    url = hook.house.client.make_url(hook.path)
    headers = [("X-Gitlab-Token", hook.secret), ("X-Gitlab-Token", hook.secret)]

    answer = await hook.house.client.session.post(url, headers=headers, data=b"{}")

    assert answer.status == 400


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b"{}", b'{"ref": null}', b"[" * 70_000]
)
async def test_a_body_that_cannot_be_read_is_malformed(hook: Hook, body: bytes) -> None:
    """Only for those who signed it."""
    answer = await hook.send(pushes.standard(body=body, secret=hook.secret))

    assert problem_of(answer, await answer.json())["code"] == "malformed_body"
    assert answer.status == 400
    assert [one["verdict"] for one in await hook.deliveries()] == ["malformed_body"]


async def test_a_body_of_megabytes_is_taken(hook: Hook) -> None:
    """Up to 25 MiB, of any type; more is refused, and an encoded one is not unpacked."""
    commits = [{"id": pushes.COMMIT, "message": "x" * 1_000}] * 2_000
    body = pushes.as_json({"ref": "refs/heads/main", "commits": commits})
    signed = pushes.standard(body=body, secret=hook.secret)

    large = await hook.send(signed, **{"Content-Type": "text/plain"})
    huge = await hook.send(Delivery(signed.headers, b"x" * (25 * 1024 * 1024 + 1)))
    packed = await hook.send(signed, **{"Content-Encoding": "gzip"})

    assert large.status == 202
    assert (huge.status, (await huge.json())["code"]) == (413, "body_too_large")
    assert packed.status == 415


async def test_few_large_bodies_are_read_at_a_time(hook: Hook) -> None:
    """One more is told to come later; small ones, and what needs no body, go on."""
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await go_on.wait()
        yield b"}"

    client, path = hook.house.client, hook.path
    headers = {"X-Gitlab-Token": hook.secret}
    held = [
        asyncio.create_task(client.post(path, data=slowly(), headers=headers))
        for _ in range(LARGE_BODIES)
    ]
    places = client.app[API].large_bodies
    await eventually(lambda: places.free == 0)

    more = await hook.send(Delivery(headers, b"x" * 70_000))
    small = await hook.send(pushes.github(secret=hook.secret))
    go_on.set()
    ended = await asyncio.gather(*held)

    assert (more.status, more.headers["Retry-After"]) == (503, "5")
    assert small.status == 202
    assert {answer.status for answer in ended} == {400}
    assert places.free == LARGE_BODIES


async def test_where_no_job_is_taken_a_push_is_told_so(hook: Hook) -> None:
    """As any submit is; the list of deliveries has the code."""
    await hook.house.jobs.manager.set_controls(pauses=Pauses(draining=True))

    answer = await hook.send(pushes.github(secret=hook.secret))

    assert (answer.status, (await answer.json())["code"]) == (503, "draining")
    assert [one["verdict"] for one in await hook.deliveries()] == ["draining"]


async def test_a_removed_project_or_user_takes_its_hook_along(house: House, hook: Hook) -> None:
    """Nobody submits for who is gone."""
    await house.jobs.persistence.projects.save_project(
        replace(SYNCED, project_id=ProjectId("other"))
    )
    other = await (await house.ask("POST", "/api/projects/other/hook")).json()
    await house.ask("DELETE", "/api/projects/code")
    await house.jobs.accounts.add("alice", scope="write", password="correct horse")
    await house.jobs.remove_user("alice")

    gone = await hook.send(pushes.github(secret=hook.secret))
    path = "/hooks/" + other["url"].rpartition("/")[2]
    answer = await house.ask("POST", path, user=None, headers={"X-Gitlab-Token": other["secret"]})

    assert (gone.status, answer.status) == (404, 404)


async def test_a_secret_is_kept_encrypted_by_a_key_beside_it(
    house: House, hook: Hook, tmp_path: Path
) -> None:
    """Nobody reads it off the database; the key is its owner's alone."""
    (stored,) = await house.jobs.persistence.push_hooks.list_hooks()

    key = tmp_path / "secrets.key"
    assert hook.secret not in str(stored)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_without_the_key_secrets_are_made_anew(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """As after a restore: a delivery is refused, the doctor says why, a new secret mends it."""
    store = MemoryPersistence()
    async with open_house(aiohttp_client, tmp_path, [], store) as house:
        before = await make_hook(house)
    (tmp_path / "secrets.key").unlink()

    async with open_house(aiohttp_client, tmp_path, [], store) as house:
        hook = attrs.evolve(before, house=house)
        lost = await hook.send(pushes.github(secret=hook.secret))
        doctor = await (await house.ask("GET", "/api/admin/doctor", user="root")).json()
        again = await (await house.ask("POST", HOOK)).json()
        mended = await hook.send(pushes.github(secret=again["secret"]))
        after = await (await house.ask("GET", "/api/admin/doctor", user="root")).json()

    assert lost.status == 401
    assert doctor["ok"] is True
    assert "project code of alice cannot be read" in doctor["notes"][0]["message"]
    assert mended.status == 202
    assert [note for note in after["notes"] if note["kind"] == "secrets"] == []


async def test_the_address_of_a_hook_is_the_public_one(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """As the settings say how others reach the server, and not as a command on it does."""
    public = "https://jobs.example.com/queue"
    async with open_house(aiohttp_client, tmp_path, public_url=public) as house:
        await house.jobs.persistence.projects.save_project(SYNCED)

        made = await (await house.ask("POST", HOOK)).json()

    assert made["url"].startswith(f"{public}/hooks/")


@pytest.mark.parametrize(
    ("mount", "api", "path"),
    [("sub", "/jobs/api", "/jobs/hooks/"), ("setup", "/queue", "/queue/hooks/")],
)
async def test_a_hook_lies_below_where_the_api_is_mounted(
    aiohttp_client: AioClient, tmp_path: Path, mount: str, api: str, path: str
) -> None:
    """In another application nothing of ours stands at the root."""

    async def local(_: web.Request) -> Identity:
        return Identity("alice")

    jobs = JobSystem(Settings(data_dir=tmp_path), persistence=MemoryPersistence())
    app = web.Application()
    if mount == "sub":
        app.add_subapp("/jobs", create_app(jobs, authenticate=local))
    else:
        setup(app, jobs, "/queue", authenticate=local)
    async with jobs:
        await jobs.persistence.projects.save_project(SYNCED)
        await jobs.manager.set_controls(pauses=Pauses(everything=True))
        client = await aiohttp_client(app)

        made = await (await client.post(f"{api}/projects/code/hook")).json()
        at_hook = URL(made["url"]).path
        pushed = pushes.github(secret=made["secret"])
        answer = await client.post(at_hook, data=pushed.body, headers=pushed.headers)

        assert at_hook.startswith(path)
        assert answer.status == 202
        await client.close()


async def test_without_the_extra_there_are_no_hooks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """501 says what to install."""
    await house.jobs.persistence.projects.save_project(SYNCED)
    monkeypatch.setattr(late_imports, "find_spec", lambda _: None)

    answer = await house.ask("POST", HOOK)

    problem = problem_of(answer, await answer.json())
    assert (answer.status, problem["code"], problem["extra"]) == (501, "extra_missing", "accounts")


async def test_behind_a_proxy_a_server_without_log_in_takes_no_push(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """A hook needs a server that knows its callers."""
    async with open_house(aiohttp_client, tmp_path, auth="none") as house:
        project = replace(SYNCED, user_id=UserId("local"))
        hook = await make_hook(house, project)
        delivery = pushes.github(secret=hook.secret)

        direct = await hook.send(delivery)
        proxied = await hook.send(delivery, **{"X-Forwarded-For": "192.0.2.7"})

    assert (direct.status, proxied.status) == (202, 403)


async def test_a_push_is_joined_to_a_sync_that_waits(hook: Hook) -> None:
    """Two pushes, one sync that has both."""
    first = await hook.send(pushes.github(secret=hook.secret, delivery="1"))
    second = await hook.send(pushes.gitlab(secret=hook.secret, delivery="2"))

    documents = [json.loads(await answer.text()) for answer in (first, second)]
    assert [one["verdict"] for one in documents] == ["submitted", "joined"]
    assert documents[0]["job_id"] == documents[1]["job_id"]
    job = await hook.house.jobs.get(documents[0]["job_id"])
    assert job.status is JobStatus.QUEUED
