"""What the outside knows: which requests were answered how, and what jobs wrote down themselves.

Kept by the harness, in a process that nobody kills, so that it can say what the server must know.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs


@attrs.define
class Submitted:
    """One submit, under its idempotency key."""

    key: str
    body: Mapping[str, Any]
    job_id: str | None = None
    """None while no answer has said it: the outcome is unknown."""


@attrs.define
class Ledger:
    """Everything that was acknowledged, and whatever contradicts it."""

    submitted: dict[str, Submitted] = attrs.field(factory=dict)
    unknown: dict[str, Submitted] = attrs.field(factory=dict)
    """Those of them that no answer has acknowledged yet."""
    known: list[str] = attrs.field(factory=list)
    """The ids of all acknowledged jobs, in the order of their first answers."""
    versions: dict[str, int] = attrs.field(factory=dict)
    """The newest version of each job that an answer has shown."""
    stopped_waiting: dict[str, float] = attrs.field(factory=dict)
    """Jobs whose cancel was answered with 200, and when: they will never start."""
    told_to_stop: set[str] = attrs.field(factory=set)
    """Jobs whose cancel was answered with 202: they end as cancelled."""
    deaths: dict[str, float] = attrs.field(factory=dict)
    """When each life of the server was surely over."""
    faults: list[str] = attrs.field(factory=list)

    def blame(self, text: str) -> None:
        """Note a broken promise."""
        self.faults.append(text)

    def note_attempt(self, one: Submitted) -> None:
        """Note, before it is sent for the first time, what is submitted."""
        self.submitted[one.key] = self.unknown[one.key] = one

    def note_submit(self, one: Submitted, job_id: str) -> None:
        """Note that the submit was acknowledged with this job; a second answer says the same."""
        if one.job_id is not None and one.job_id != job_id:
            self.blame(f"key {one.key} gave two jobs: {one.job_id} and {job_id}")
        if one.job_id is None:
            self.known.append(job_id)
            self.unknown.pop(one.key, None)
        one.job_id = job_id

    def note_version(self, job_id: str, version: int, at_least: int) -> None:
        """Note what an answer showed; *at_least* was known before the request was sent."""
        if version < at_least:
            self.blame(f"job {job_id} went back from version {at_least} to {version}")
        self.versions[job_id] = max(version, self.versions.get(job_id, 0))

    def note_cancel(self, job_id: str, status: int) -> None:
        """Note how a cancel was answered."""
        if status == 200:
            self.stopped_waiting[job_id] = time.monotonic()
        elif status == 202:
            self.told_to_stop.add(job_id)


@attrs.frozen
class Run:
    """One run of a job, as the job itself wrote it down."""

    job_id: str
    user_id: str
    attempt: int
    number: int
    life: str
    """Of the server that ran it."""
    begin: float
    end: float | None
    """None where it never came to its end."""
    went_on_at: int
    """What the checkpoint said at its begin."""
    saved: int
    """What its last checkpoint said that was surely stored."""


def append_note(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line to what many processes write down, so that lines never mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def read_notes(path: Path) -> Sequence[dict[str, Any]]:
    """Give all that jobs have written down, in the order in which they did."""
    content = path.read_text("utf-8") if path.exists() else ""
    # What is just being written has no end yet.
    return [json.loads(text) for text in content.splitlines(keepends=True) if text[-1] == "\n"]


def read_runs(path: Path) -> Sequence[Run]:
    """Give all runs that were written down, in the order of their begins."""
    lines: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in read_notes(path):
        lines[line["job_id"], line["run"]].append(line)
    runs = []
    for (job_id, number), notes in lines.items():
        begins = [note for note in notes if note["what"] == "begin"]
        ends = [note["time"] for note in notes if note["what"] == "end"]
        runs += [
            Run(
                job_id=job_id,
                user_id=begin["user_id"],
                attempt=begin["attempt"],
                number=number,
                life=begin["life"],
                begin=begin["time"],
                end=ends[0] if ends else None,
                went_on_at=begin.get("at", 0),
                saved=max((note["at"] for note in notes if note["what"] == "saved"), default=0),
            )
            for begin in begins
        ]
    return sorted(runs, key=lambda run: run.begin)
