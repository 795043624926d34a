"""The recipes for OpenTelemetry and Sentry: what they send, as the page's own code sends it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.functional.test_cli_server import clean_environment
from tests.functional.test_serve import PATIENCE_SECONDS, server

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "traces-and-errors.md"
FILE = re.compile(r"^```(?:python|toml)\n(# ([\w.]+)\n.*?)^```$", re.MULTILINE | re.DOTALL)

KEPT = """
import asyncio, json
from sentry_sdk.transport import Transport

class Kept(Transport):
    def __init__(self, options=None):
        super().__init__(options)
        self.events = []
    def capture_envelope(self, envelope):
        if event := envelope.get_event():
            self.events.append(event)

kept = Kept()
OPTIONS = {
    "dsn": "http://key@127.0.0.1:9/1",
    "transport": kept,
    # They load whatever frameworks are installed here.
    "auto_enabling_integrations": False,
}
def tell():
    print(json.dumps(kept.events, default=str))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the files that the page shows."""
    for text, name in FILE.findall(PAGE.read_text("utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "kept.py").write_text(KEPT, encoding="utf-8")
    return tmp_path


def run(folder: Path, program: str) -> str:
    """Run a program in the folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**clean_environment(), "PYTHONPATH": os.fspath(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_spans(text: str) -> dict[str, dict[str, Any]]:
    """Return the spans that the exporter to the console has printed, by their names."""
    decoder, spans, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        span, at = decoder.raw_decode(text, at)
        spans.append(span)
    return {span["name"]: span for span in spans}


@pytest.mark.slow
def test_an_application_sends_its_runs_as_traces(folder: Path) -> None:
    """With what it does in a phase below that phase, linked to the request that asked for it."""
    printed = run(folder, "import asyncio, traced; asyncio.run(traced.main())")

    spans = read_spans(printed)
    assert spans.keys() == {"request", "run reindex", "wait", "reading", "open files"}
    run_span, request = spans["run reindex"], spans["request"]
    assert run_span["links"][0]["context"]["span_id"] == request["context"]["span_id"]
    assert spans["reading"]["parent_id"] == run_span["context"]["span_id"]
    assert spans["open files"]["parent_id"] == spans["reading"]["context"]["span_id"]
    assert run_span["resource"]["attributes"]["service.name"] == "indexer"


@pytest.mark.slow
def test_an_application_reports_what_its_handlers_raise(folder: Path) -> None:
    """Once, as the exception it is, with the job that it was; and no value of a variable."""
    printed = run(
        folder,
        "import asyncio, kept, reporting\n"
        "start = reporting.start_reporting\n"
        "reporting.start_reporting = lambda: start(**kept.OPTIONS)\n"
        "import reported; asyncio.run(reported.main()); kept.tell()\n",
    )

    (event,) = json.loads(printed)
    (error,) = event["exception"]["values"]
    assert error["type"] == "ZeroDivisionError"
    assert event["tags"] == {"job_type": "divide", "project_id": "sums"}
    assert event["user"] == {"id": "alice"}
    assert event["contexts"]["job"]["attempt"] == 1
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])


# What `handlers` names here: the page's module, whose events are kept, and a job that fails.
SERVED = """
import atexit, functools, json, sentry_sdk
from kept import OPTIONS, kept

sentry_sdk.init = functools.partial(sentry_sdk.init, **OPTIONS)
import telemetry
from cidx_jobs import Fatal, JobType

async def fail(context):
    raise Fatal(context.job.project_id, code="APP-1")

JOB_TYPES = [*telemetry.JOB_TYPES, JobType("fail", fail)]

@atexit.register
def write():
    with open("events.json", "w") as file:
        json.dump(kept.events, file, default=str)
"""


@pytest.mark.slow
async def test_a_standalone_server_reports_its_log_and_sends_traces(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The module that `handlers` names sets both up; equal failures are one group."""
    (folder / "served.py").write_text(
        SERVED.replace('"events.json"', repr(os.fspath(folder / "events.json"))), "utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", os.fspath(folder))

    async with server(folder / "data", handlers="served:JOB_TYPES", tracing="on") as running:
        for project in ("a", "b"):
            body = {"project_id": project, "job_type": "fail"}
            _, job = await running.ask("POST", "/api/jobs", json=body)
            await running.ask("GET", f"/api/jobs/{job['job_id']}?wait=20&until=done")
        running.process.terminate()
        await running.ended()

    spans = read_spans(capfd.readouterr().out)
    events = json.loads((folder / "events.json").read_text("utf-8"))
    failed = [event for event in events if event["logentry"]["formatted"] == "job_failed"]
    assert spans["run fail"]["attributes"]["cidx_jobs.status"] == "failed"
    assert [event["extra"]["project_id"] for event in failed] == ["a", "b"]
    assert len({tuple(event["fingerprint"]) for event in failed}) == 1
