"""Schedules of a tortured server: fifty fire each second, and each time is to be served once."""

import sqlite3
from collections import Counter
from contextlib import closing

import attrs

from torture.ledger import Ledger
from torture.server import Caller, Site

SCHEDULES = 50
_SECOND = 1_000_000
"""In the microseconds of the database."""


@attrs.define
class Schedules:
    """What is to be planted, and what of it stands."""

    wanted: int
    planted: int = 0

    async def plant(self, caller: Caller) -> None:
        """Make those that are missing; where a server dies meanwhile, the next life goes on."""
        while self.planted < self.wanted:
            body = {
                "name": f"tick-{self.planted}",
                "project_id": "ticks",
                "job_type": "tick",
                "every_seconds": 1,
            }
            answer = await caller.ask("POST", "/api/schedules", body)
            if answer is None or answer.status not in {201, 409}:
                return
            self.planted += 1


def check_schedules(site: Site, ledger: Ledger) -> int:
    """Blame each time that was served twice, or neither served nor counted as missed.

    Reads the database of a stopped server; gives how many times there were.
    """
    uri = f"{(site.data_dir / 'jobs.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        schedules = connection.execute(
            "SELECT name, changed_at, settled_at, missed FROM schedules"
        ).fetchall()
        times = connection.execute(
            "SELECT schedule, scheduled_at FROM jobs WHERE scheduled_at IS NOT NULL"
        ).fetchall()
    for (name, at), count in Counter(times).items():
        if count > 1:
            ledger.blame(f"time {at} of schedule {name} was served {count} times")
    served = Counter(name for name, _ in times)
    starts = {name: changed_at for name, changed_at, _, _ in schedules}
    for name, at in times:
        if (at - starts[name]) % _SECOND or at <= starts[name]:
            ledger.blame(f"schedule {name} served {at}, which is none of its times")
    come = 0
    for name, changed_at, settled_at, missed in schedules:
        own = (settled_at - changed_at) // _SECOND
        come += own
        if own != served[name] + missed:
            ledger.blame(
                f"of {own} times of schedule {name} {served[name]} were served and {missed} missed"
            )
    return come
