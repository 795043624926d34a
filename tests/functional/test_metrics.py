"""Metrics: what a server counts, who may read it, and what dashboard and alerts ask for."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain

from cidx_jobs import JobSystem, Settings
from cidx_jobs.model import late_imports
from cidx_jobs.runtime.meters import MAX_VALUES, OTHER, Meters, Values
from cidx_jobs.web.app import create_app
from cidx_jobs.web.routes.server import metrics
from tests.functional.web import AioClient, House, open_house

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMES = {
    "cidx_jobs_jobs",
    "cidx_jobs_job_run_seconds",
    "cidx_jobs_job_wait_seconds",
    "cidx_jobs_phase_seconds",
    "cidx_jobs_job_ends",
    "cidx_jobs_queue_oldest_seconds",
    "cidx_jobs_slots_in_use",
    "cidx_jobs_slots_limit",
    "cidx_jobs_host_up",
    "cidx_jobs_commit_seconds",
    "cidx_jobs_commit_batch_jobs",
    "cidx_jobs_loop_lag_seconds",
    "cidx_jobs_database_bytes",
    "cidx_jobs_wal_bytes",
    "cidx_jobs_disk_free_bytes",
    "cidx_jobs_waiters",
    "cidx_jobs_http_requests",
    "cidx_jobs_http_request_seconds",
    "cidx_jobs_backup_failures",
    "cidx_jobs_log_lines_dropped",
}


async def scrape(house: House, user: str | None = "root", accept: str = "*/*") -> str:
    """Return the text of the metrics."""
    answer = await house.ask("GET", "/metrics", user=user, headers={"Accept": accept})
    text = await answer.text()
    assert answer.status == 200, text
    return text


def values_of(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a series by the values of its labels, in the order of their names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in read_plain(text)
        for sample in family.samples
        if sample.name == name
    }


async def test_what_happens_is_counted(house: House) -> None:
    """Jobs, ends, runs, waits, slots, commits and requests; no user is named."""
    await house.submit_ended("quick")
    await house.submit_ended("broken")
    await house.submit_running()
    await house.ask("GET", "/api/nothing")
    await house.ask("PROPFIND", "/api/jobs")

    text = await scrape(house)

    assert values_of(text, "cidx_jobs_jobs") == {
        ("gated", "running"): 1,
        ("quick", "completed"): 1,
        ("broken", "failed"): 1,
    }
    assert values_of(text, "cidx_jobs_job_ends_total") == {
        ("", "quick", "completed"): 1,
        ("HANDLER_ERROR", "broken", "failed"): 1,
    }
    assert values_of(text, "cidx_jobs_job_run_seconds_count") == {(): 2}
    assert values_of(text, "cidx_jobs_job_wait_seconds_count") == {(): 3}
    assert values_of(text, "cidx_jobs_slots_in_use")[("jobs",)] == 1
    assert values_of(text, "cidx_jobs_slots_limit")[("jobs",)] == 50
    requests = values_of(text, "cidx_jobs_http_requests_total")
    assert requests[("POST", "/api/jobs", "202")] == 3
    assert requests[("GET", "unmatched", "404")] == 1
    assert ("other", "unmatched", "405") in requests
    assert "alice" not in text


async def test_all_names_are_there_in_both_forms(house: House) -> None:
    """A parser of each form reads them; without a backup there is no age of one."""
    plain = await scrape(house)
    opened = await scrape(house, accept="application/openmetrics-text; version=1.0.0")

    for text, read in ((plain, read_plain), (opened, read_open_metrics)):
        names = {family.name for family in read(text)}
        assert names >= NAMES
        assert "cidx_jobs_backup_age_seconds" not in names
        assert "process_resident_memory_bytes" in names
    assert values_of(plain, "cidx_jobs_info")
    assert opened.endswith("# EOF\n")


async def test_a_phase_and_a_retry_are_counted(house: House) -> None:
    """A run whose job goes on is no end of a job; a host that is down is told."""
    await house.submit("alice", project_id="gone", job_type="gated")
    meters = house.jobs.meters
    meters.count_phase("git_sync", 2.0)
    meters.count_end("gated", "retried", "NET-001")

    text = await scrape(house)

    assert values_of(text, "cidx_jobs_phase_seconds_sum") == {("git_sync",): 2.0}
    assert values_of(text, "cidx_jobs_job_ends_total") == {("NET-001", "gated", "retried"): 1}


async def test_metrics_are_for_administrators_and_auditors(
    house: House, aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Others are refused; the setting opens them to everybody."""
    refused = [await house.ask("GET", "/metrics", user=user) for user in (None, "alice", "rita")]
    body = {"user_id": "ada", "scope": "audit"}
    made = await house.ask("POST", "/api/admin/tokens", user="root", json=body)
    house.tokens["ada"] = (await made.json())["token"]

    assert [one.status for one in refused] == [401, 403, 403]
    assert "cidx_jobs_jobs" in await scrape(house, "ada")
    async with open_house(aiohttp_client, tmp_path / "open", metrics_open=True) as opened:
        assert "cidx_jobs_jobs" in await scrape(opened, None)


async def test_without_the_extra_the_route_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """501, with the name of the extra."""
    monkeypatch.setattr(late_imports, "find_spec", lambda _: None)

    answer = await house.ask("GET", "/metrics", user="root")

    assert answer.status == 501
    assert (await answer.json())["code"] == "extra_missing"


@pytest.mark.slow
async def test_a_database_has_commits_and_backups(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """Commits are timed, with how many changes share one; the newest backup has its age."""
    settings = Settings(data_dir=tmp_path / "data", auth="none")
    async with JobSystem.open(settings) as jobs:
        client = await aiohttp_client(create_app(jobs))
        await jobs.submit("alice", "p", options={"repository_url": "https://localhost.test/a/b"})
        await jobs.backups.make()
        answer = await client.get("/metrics")
        text = await answer.text()

    assert values_of(text, "cidx_jobs_commit_seconds_count")[()] > 0
    assert values_of(text, "cidx_jobs_commit_batch_jobs_sum")[()] > 0
    assert values_of(text, "cidx_jobs_backup_age_seconds")[()] >= 0
    assert values_of(text, "cidx_jobs_database_bytes")[()] > 0


def test_labels_that_others_choose_have_a_bound() -> None:
    """The first hundred are shown, and one word stands for all the rest."""
    values = Values()
    meters = Meters()

    shown = [values.bounded(f"p{number}") for number in range(MAX_VALUES + 5)]
    for number in range(MAX_VALUES + 5):
        meters.count_phase(f"p{number}", 1.0)

    assert shown[MAX_VALUES - 1 :] == [f"p{MAX_VALUES - 1}", *[OTHER] * 5]
    assert values.bounded("p0") == "p0"
    assert len(meters.phases) == MAX_VALUES + 1
    assert sum(meters.phases[OTHER].counts) == 5


def test_many_hosts_are_one_beyond_the_bound() -> None:
    """It is up if all of them are."""
    hosts = {f"h{number:03}": True for number in range(MAX_VALUES)} | {"x": True, "y": False}

    shown = metrics.bounded_hosts(hosts)

    assert len(shown) == MAX_VALUES + 1
    assert shown[OTHER] is False
    assert metrics.bounded_hosts({"h": True}) == {"h": True}


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
async def test_what_is_asked_for_is_there(house: House, name: str) -> None:
    """Each series that the dashboard and the alerts name is one that a server has."""
    text = (DEPLOY / name).read_text("utf-8")
    asked = set(re.findall(r"(?:cidx_jobs|process)_[a-z_]+", text))
    meters = house.jobs.meters
    meters.count_phase("git_sync", 1.0)
    await house.submit_ended("quick")

    families = [*read_plain(await scrape(house))]

    samples = {sample.name for family in families for sample in family.samples}
    # Those that stand only where there is such a thing.
    rare = {"cidx_jobs_backup_age_seconds", "cidx_jobs_host_up"}
    assert asked
    assert asked - samples <= rare


def test_the_dashboard_is_one() -> None:
    """Each panel has its place, its title and what it asks."""
    board = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))

    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]

    assert len(set(places)) == len(places)
    assert all(one["title"] and one["targets"][0]["expr"] for one in board["panels"])


def test_the_alerts_are_rules() -> None:
    """`promtool` takes them, where it is there."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool")

    done = subprocess.run(
        [promtool, "check", "rules", str(DEPLOY / "alerts.yml")], capture_output=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
