"""Commands on many jobs, and on those of others: chosen, listed, changed."""

import contextlib
import io
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cidx_jobs.cli.main import run
from cidx_jobs.settings.quantities import read_duration, show_size
from tests.functional.test_cli_server import (
    Done,
    Server,
    clean_environment,
    run_here,
    start_server,
    stop_server,
)

pytestmark = pytest.mark.slow


class People:
    """A server, and commands of its users."""

    def __init__(self, server: Server) -> None:
        """Give each of them a token."""
        self.server = server
        self._tokens: dict[str, str] = {}

    def __call__(self, user: str, *arguments: str, stdin: str = "") -> Done:
        """Run a command of a user's."""
        env = {**clean_environment(), "CIDX_JOBS_SERVER": self.server.url}
        with mock.patch("sys.stdin", io.StringIO(stdin)):
            return run_here(arguments, {**env, "CIDX_JOBS_TOKEN": self.token(user)})

    def submit(self, user: str, *more: str) -> str:
        """Submit a held job, and return its id."""
        wanted = ("submit", "steps", "-p", "p", "--hold", *more, "--json")
        job_id: str = self(user, *wanted).json["job_id"]
        return job_id

    def token(self, user: str) -> str:
        """Return the user's token, which is made at once."""
        if user not in self._tokens:
            scope = {"root": "admin", "carol": "audit"}.get(user, "write")
            self._tokens[user] = self._ask({"user_id": user, "scope": scope})["token"]
        return self._tokens[user]

    def _ask(self, body: Any) -> Any:
        admin = (self.server.data_dir / "admin.token").read_text("utf-8").strip()
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.server.url}/api/admin/tokens",
            method="POST",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {admin}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
            return json.load(answer)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Start a server with tokens for all tests here."""
    server = start_server(
        tmp_path_factory.mktemp("people"),
        CIDX_JOBS_AUTH="tokens",
        CIDX_JOBS_HANDLERS="tests.cli_job_types:JOB_TYPES",
        CIDX_JOBS_SHUTDOWN_GRACE_SECONDS="0",
    )
    yield People(server)
    assert stop_server(server) == 0


def test_a_job_is_named_by_its_end(people: People) -> None:
    """As a list shows it, for every command; an end that several have is none."""
    one, two = people.submit("anna"), people.submit("anna")
    listed = people("anna", "list").out

    shown = people("anna", "status", one[-12:], "--json").json["job_id"]
    ranked = people("anna", "priority", one[-6:], "9", "--json").json
    none = people("anna", "status", "0123456789ab")

    assert all(job_id[-12:] in listed for job_id in (one, two))
    assert shown == one
    assert (ranked["job_id"], ranked["priority"]) == (one, 9)
    assert none.code == 7


def test_a_single_digit_names_the_only_job(people: People) -> None:
    """However short an end or a beginning is: what counts is that no other job has it."""
    only = people.submit("solo")

    by_end = people("solo", "status", only[-1:], "--json")
    by_beginning = people("solo", "status", only[:1], "--json")
    people.submit("solo")
    of_several = people("solo", "status", only[:3])

    assert by_end.json["job_id"] == by_beginning.json["job_id"] == only
    assert of_several.code == 64


def test_a_held_job_is_started(people: People) -> None:
    """It is not created any more; one that runs or is done cannot be."""
    job_id = people.submit("bert", "-o", "count=1")

    started = people("bert", "start", job_id, "--json")
    ended = people("bert", "wait", job_id)
    again = people("bert", "start", job_id)

    assert started.json["status"] != "created"
    assert (ended.code, again.code) == (0, 8)


def test_all_that_are_held_are_started(people: People) -> None:
    """Several by name, or all; not one whose start time is yet to come, unless it is named."""
    ids = [people.submit("hank", "-o", "count=1") for _ in range(3)]
    later = people.submit("hank", "--start-at", "2099-01-01T00:00:00Z")

    two = people("hank", "start", *ids[:2], "--json")
    unasked = people("hank", "start", "--all")
    rest = people("hank", "start", "--all", "--yes", "--json")
    none = people("hank", "start", "--all", "--yes")
    nothing = people("hank", "start")
    both = people("hank", "start", later, "--all")

    assert (two.code, unasked.code, rest.code, none.code) == (0, 64, 0, 0)
    assert {job["job_id"] for job in two.json["jobs"]} == set(ids[:2])
    assert rest.json["job_id"] == ids[2]
    assert people("hank", "status", later, "--json").json["status"] == "created"
    assert (nothing.code, both.code) == (64, 64)
    people("hank", "cancel", later)


def test_all_that_are_held_go_in_the_order_in_which_they_came(people: People) -> None:
    """So of two requests for one project the newer one is the last that runs."""
    ids = [people.submit("hugo", "-o", "count=1") for _ in range(3)]

    started = people("hugo", "start", "--all", "--yes", "--json")

    assert [job["job_id"] for job in started.json["jobs"]] == ids


def test_all_that_filters_choose_are_cancelled_and_queued_again(people: People) -> None:
    """It says first how many they are, and does nothing where nobody can be asked."""
    ids = [people.submit("cleo", "-l", "batch=7") for _ in range(3)]
    other = people.submit("cleo")

    unasked = people("cleo", "cancel", "--label", "batch=7")
    cancelled = people("cleo", "cancel", "--label", "batch=7", "--since", "1h", "--yes", "--json")
    retried = people("cleo", "retry", "--status", "cancelled", "--label", "batch=7", "--yes")
    none = people("cleo", "cancel", "--project", "nothing", "--yes", "--json")
    nothing = people("cleo", "cancel")
    both = people("cleo", "cancel", other, "--status", "queued")

    assert (unasked.code, cancelled.code, retried.code) == (64, 0, 0)
    assert "3 jobs" in unasked.err
    assert {job["job_id"] for job in cancelled.json["jobs"]} == set(ids)
    assert all(job_id in retried.out for job_id in ids)
    assert people("cleo", "status", other, "--json").json["status"] == "created"
    assert (none.code, nothing.code, both.code) == (0, 64, 64)
    assert "0 jobs" in none.err
    assert none.json == {"jobs": [], "errors": []}


def test_a_list_has_as_many_as_are_wanted(people: People) -> None:
    """Beyond a page of the server, or all there are; what is left out is told."""
    for _ in range(3):
        people.submit("dora")
    with mock.patch("cidx_jobs.cli.actions.jobs.JOBS_A_PAGE", 2):
        three = people("dora", "list", "--limit", "3", "--json").json
        everything = people("dora", "list", "--all", "--json").json
        two = people("dora", "list", "--limit", "2")
    old = people("dora", "list", "--since", "2030-01-01T00:00:00Z", "--json").json

    assert len(three["jobs"]) == len(everything["jobs"]) == 3
    assert "2 of 3" in two.err
    assert old["jobs"] == []


def test_who_sees_everybody_sees_whose_each_is(people: People) -> None:
    """Administrators and auditors have a column for it, and may name a user."""
    job_id = people.submit("emil")

    heads = {
        user: people(user, "list").out.splitlines()[0].split()
        for user in ("emil", "carol", "root")
    }
    of_emil = people("carol", "list", "--user", "emil", "--json").json["jobs"]
    refused = people("emil", "list", "--user", "root")

    assert "USER" not in heads["emil"]
    assert "USER" in heads["carol"]
    assert "USER" in heads["root"]
    assert [job["job_id"] for job in of_emil] == [job_id]
    assert refused.code == 2


def test_an_administrator_submits_for_a_user(people: People) -> None:
    """The job is the user's; nobody else may."""
    done = people("root", "submit", "steps", "-p", "p", "--hold", "--user", "finn", "--json")
    refused = people("emil", "submit", "steps", "-p", "p", "--user", "finn")

    assert done.json["user_id"] == "finn"
    assert people("finn", "status", "@latest", "--json").json["job_id"] == done.json["job_id"]
    assert refused.code == 1


def test_several_projects_are_synced(people: People) -> None:
    """Each has its end told, and the largest code counts; --detach waits for none."""
    url = "https://nowhere.example/a.git"
    for project in ("a", "b"):
        people("gus", "sync", project, "--url", url, "--detach")

    detached = people("gus", "sync", "a", "b", "--detach", "--json")
    none = people("gus", "sync")
    both = people("gus", "sync", "a", "--all")
    one_url = people("gus", "sync", "a", "b", "--url", url)
    for job in detached.json["jobs"]:
        people("gus", "cancel", job["job_id"])

    assert detached.code == 0
    assert {job["project_id"] for job in detached.json["jobs"]} == {"a", "b"}
    assert (none.code, both.code, one_url.code) == (64, 64, 64)


def test_times_are_local_or_in_utc(people: People) -> None:
    """Both say which they are."""
    job_id = people.submit("hans")

    utc = people("hans", "events", job_id, "--utc").out

    assert "Z" in utc.splitlines()[1].split()[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_what_the_server_knows(people: People, shell: str) -> None:
    """Ids, schedules, projects and types by asking it; nothing where there is none."""
    people("ida", "sync", "atlas", "--url", "https://nowhere.example/a.git", "--detach")
    people("ida", "cancel", "@latest")
    people("ida", "schedule", "add", "nightly", "-p", "atlas", "--cron", "@daily")
    job_id = people.submit("ida")

    def complete(*words: str, server: str = people.server.url) -> str:
        env = {
            **clean_environment(),
            "CIDX_JOBS_SERVER": server,
            "CIDX_JOBS_TOKEN": people.token("ida"),
            "_CIDX_JOBS_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(("cidx-jobs", *words)),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
        }
        # The scripts of shells write bytes.
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        with (
            mock.patch.dict(os.environ, env, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.suppress(SystemExit),
        ):
            run(())
        out.seek(0)
        return out.read()

    assert job_id in complete("status", job_id[:4])
    assert "nightly" in complete("schedule", "show", "nig")
    assert "nightly" in complete("schedule", "remove", "nig")
    assert "atlas" in complete("hook", "create", "at")
    assert "atlas" in complete("schedule", "add", "x", "--project", "at")
    assert "repository_sync" in complete("schedule", "add", "x", "--type", "rep")
    assert "steps" in complete("submit", "st")
    assert complete("schedule", "show", "nig", server="http://127.0.0.1:1").strip() == ""


def test_a_project_is_removed_only_when_that_is_said(people: People, tmp_path: Path) -> None:
    """Where nobody can be asked, --yes says it; what went is told."""
    people("jan", "sync", "p", "--url", "https://nowhere.example/a.git", "--detach")
    people("jan", "cancel", "@latest")

    unasked = people("jan", "project", "remove", "p")
    missing = people("jan", "project", "remove", "none")
    everybody = people("carol", "project", "list", "--all")
    removed = people("root", "project", "remove", "p", "--user", "jan", "--yes")
    left = people("jan", "project", "list", "--json").json["projects"]

    assert (unasked.code, missing.code, removed.code) == (64, 7, 0)
    assert "jan" in everybody.out
    assert "BYTES" in everybody.out
    assert "https://nowhere.example/a.git" in removed.out
    assert left == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5_400), ("7d", 604_800), ("1h30m", 5_400)],
)
def test_a_duration_is_written_as_people_do(text: str, seconds: float) -> None:
    """A number is of seconds; units may be put together."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1x", "1 h", "h1", "1e3", "nan", "²s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Also what Python would take for a number."""
    with pytest.raises(ValueError, match="such as 90s"):
        read_duration(text)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (4_200_000, "4.2 MB"), (7 * 10**12, "7.0 TB")],
)
def test_a_size_has_few_digits(count: int, shown: str) -> None:
    """In the unit that fits."""
    assert show_size(count) == shown


def test_all_tokens_of_a_user_are_revoked(people: People) -> None:
    """Their next request is refused; a token and a user at once are a wrong command line."""
    before = people("kim", "list")
    here = ("--data-dir", str(people.server.data_dir))

    revoked = people("root", "token", "revoke", "--user", "kim", *here)
    after = people("kim", "list")
    neither = people("root", "token", "revoke", *here)

    assert (before.code, revoked.code, after.code, neither.code) == (0, 0, 2, 64)


def test_status_without_an_id_is_of_the_newest(people: People) -> None:
    """The caller's own."""
    people.submit("lea")
    newest = people.submit("lea")

    assert people("lea", "status", "--json").json["job_id"] == newest
