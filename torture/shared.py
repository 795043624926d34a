"""Four processes share one data directory, and are killed at random, its owner and the others."""

import asyncio
import itertools
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import IO, Any

import attrs

from torture.ending import close_accounts
from torture.ledger import Ledger, Submitted, read_notes
from torture.load import Load
from torture.server import ROOT, Site

MEMBERS = 4
KILLS = 5
"""In one round."""
TAKEOVER_SECONDS = 2.0
"""How long after the death of its owner a directory may have none."""

_OWNERS = 0.6
_TWO_AT_ONCE = 0.2
_WORK_SECONDS = 0.8
_OPEN_SECONDS = 30.0
_FINISH_SECONDS = 90.0
_POLL_SECONDS = 0.01


@attrs.define
class Process:
    """One member, as it is seen from outside."""

    name: str
    life: str
    popen: "subprocess.Popen[bytes]"

    def kill(self) -> float:
        """Kill it with -9, if it has not ended; return when it was surely dead."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        self._end_input()
        return time.monotonic()

    def leave(self, deadline: float) -> int | None:
        """Let it finish and leave; return its exit code, or None where it does not."""
        self._end_input()
        try:
            return self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def _end_input(self) -> None:
        stdin: IO[bytes] | None = self.popen.stdin
        if stdin is not None:
            with suppress(BrokenPipeError):
                stdin.close()


@attrs.define
class SharedLoop:
    """Rounds of four members on one directory, and what they wrote down."""

    site: Site
    random: Random
    per_user: int
    total: int
    ledger: Ledger = attrs.field(factory=Ledger)
    takeovers: list[float] = attrs.field(factory=list)
    """How long each took, in seconds."""
    counts: Counter[str] = attrs.field(factory=Counter)
    _members: list[Process] = attrs.field(factory=list)
    _deaths_of_owners: list[float] = attrs.field(factory=list)
    _told: dict[tuple[str, str], int] = attrs.field(factory=dict)
    """The version of each job that each member was told last."""
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    @property
    def notes(self) -> Path:
        """Where members write down what they were answered."""
        return self.site.runs.with_name("answers")

    async def round(self) -> None:
        """Start four, kill some, each with another in its place, and let the last ones finish."""
        try:
            self._members = [self._start() for _ in range(MEMBERS)]
            await self._until_open(MEMBERS)
            for number in range(KILLS):
                # Whoever is killed, one is there that may take over at once.
                await self._until_open(MEMBERS - 1)
                await asyncio.sleep(self.random.random() * _WORK_SECONDS)
                await self._kill_some(wants_owner=number == 0 or self.random.random() < _OWNERS)
            await asyncio.to_thread(self._finish)
        finally:
            for member in self._members:
                self.ledger.deaths[member.life] = await asyncio.to_thread(member.kill)
            self._members = []

    async def close(self) -> dict[str, int]:
        """Let all become final on a server of the usual kind, and compare all accounts."""
        # What nobody was answered is asked for once more, under its key.
        last = self._start()
        code = await asyncio.to_thread(last.leave, time.monotonic() + _FINISH_SECONDS)
        if code != 0:
            self.ledger.blame(f"a last process ended with {code}: {self._said()}")
        self.ledger.deaths[last.life] = await asyncio.to_thread(last.kill)
        notes = read_notes(self.notes)
        self._enter(notes)
        load = Load(self.ledger, self.random)
        counts = await close_accounts(self.site, load, per_user=self.per_user, total=self.total)
        await asyncio.to_thread(self._check_followed, notes)
        kinds = Counter(note["what"] for note in notes)
        waited = [note for note in notes if note["what"] in {"waited", "followed"}]
        over = sum(self._is_over_a_takeover(note) for note in waited)
        return {
            **self.counts,
            "shared_jobs": counts.get("jobs", 0),
            "shared_waits": kinds["waited"],
            "shared_follows": kinds["followed"],
            "shared_over_takeovers": over,
        }

    def _start(self) -> Process:
        name, life = f"m{next(self._numbers)}", uuid.uuid4().hex
        command = [sys.executable, "-m", "torture.member", name, str(self.notes)]
        with self.site.runs.with_name("said").open("ab") as said:
            popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.site.environment(life),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
            )
        return Process(name, life, popen)

    async def _until_open(self, fewest: int) -> None:
        lives = {member.life for member in self._members}
        deadline = time.monotonic() + _OPEN_SECONDS
        while len(lives & {note["life"] for note in await self._read("opened")}) < fewest:
            if time.monotonic() > deadline:
                self.ledger.blame("a process cannot open a directory that it shares")
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _kill_some(self, *, wants_owner: bool) -> None:
        owner = await self._find_owner()
        others = [member for member in self._members if member is not owner]
        victims = [self.random.choice(others)]
        if owner is not None and wants_owner:
            victims = [owner, *(victims if self.random.random() < _TWO_AT_ONCE else ())]
        for victim in victims:
            self.ledger.deaths[victim.life] = await asyncio.to_thread(victim.kill)
            self.counts["shared_kills"] += 1
            self._members.remove(victim)
        if owner is not None and owner in victims:
            self.counts["shared_owners_killed"] += 1
            died = self.ledger.deaths[owner.life]
            self._deaths_of_owners.append(died)
            # Who comes new might take it over, and hide that nobody else did.
            await self._time_takeover(died)
        self._members += [self._start() for _ in victims]

    async def _time_takeover(self, died: float) -> None:
        deadline = died + _OPEN_SECONDS
        while time.monotonic() < deadline:
            owners = [note for note in await self._read("owner") if note["time"] > died]
            if owners:
                took = owners[0]["time"] - died
                self.takeovers.append(took)
                if took > TAKEOVER_SECONDS:
                    self.ledger.blame(f"a takeover took {took:.1f} s")
                return
            await asyncio.sleep(_POLL_SECONDS)
        self.ledger.blame("nobody takes a directory over whose owner was killed")

    async def _find_owner(self) -> Process | None:
        lives = [note["life"] for note in await self._read("owner")]
        living = {member.life: member for member in self._members}
        return next((living[life] for life in reversed(lives) if life in living), None)

    async def _read(self, what: str) -> list[dict[str, Any]]:
        notes = await asyncio.to_thread(read_notes, self.notes)
        return [note for note in notes if note["what"] == what]

    def _finish(self) -> None:
        deadline = time.monotonic() + _FINISH_SECONDS
        for member in self._members:
            code = member.leave(deadline)
            if code != 0:
                self.ledger.blame(f"a process does not finish: {code}: {self._said()}")

    def _said(self) -> str:
        return self.site.runs.with_name("said").read_text("utf-8", "replace")[-500:]

    def _enter(self, notes: Sequence[dict[str, Any]]) -> None:
        """Enter into the ledger what the members were answered."""
        ledger, asked = self.ledger, dict[str, Submitted]()
        for note in notes:
            match note["what"]:
                case "submit":
                    body = {**note["request"], "project_id": note["project_id"], "hold": False}
                    one = asked[note["key"]] = Submitted(note["key"], body)
                    if note["is_keyed"]:
                        ledger.note_attempt(one)
                case "submitted":
                    ledger.submitted[note["key"]] = asked[note["key"]]
                    ledger.note_submit(asked[note["key"]], note["job_id"])
                    self._note_version(note)
                case "waited":
                    self._note_version(note)
                case "cancelled" if note["is_waiting"]:
                    ledger.stopped_waiting[note["job_id"]] = note["time"]
                case "cancelled":
                    ledger.told_to_stop.add(note["job_id"])
                case "failed":
                    ledger.blame(f"a call in a process that shares failed: {note['text']}")
                case _:
                    pass

    def _note_version(self, note: dict[str, Any]) -> None:
        # A member does one thing with a job after the other; what others were told meanwhile may
        # be written down later than it was.
        known = self._told.get((note["member"], note["job_id"]), 0)
        self.ledger.note_version(note["job_id"], note["version"], known)
        self._told[note["member"], note["job_id"]] = note["version"]

    def _check_followed(self, notes: Sequence[dict[str, Any]]) -> None:
        """Blame whoever followed a job to its end and was not told what its log says."""
        uri = f"{(self.site.data_dir / 'jobs.db').as_uri()}?mode=ro"
        log: defaultdict[str, list[list[Any]]] = defaultdict(list)
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = connection.execute("SELECT job_id, version, event FROM events ORDER BY seq")
            for job_id, *row in rows:
                log[job_id].append(row)
        for note in notes:
            if note["what"] == "followed" and note["events"] != log[note["job_id"]]:
                told, own = note["events"], log[note["job_id"]]
                self.ledger.blame(f"job {note['job_id']} was followed as {told}, and did {own}")

    def _is_over_a_takeover(self, note: dict[str, Any]) -> bool:
        return any(note["begun"] < died < note["time"] for died in self._deaths_of_owners)
