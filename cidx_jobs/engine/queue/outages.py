"""Code hosts that are down: their jobs wait without a slot, and one of them at a time probes.

A run that finds its host down marks it. The mark closes the gate of the host's key, which its
jobs have in common; at the time of a probe the gate lets one job through. What that one learns
takes the mark off, or sets the next probe: after 5 s, then twice as long each time, up to 5 min.

Probes go round the jobs: who has found the host down waits until the others have tried, so that
one repository that stalls does not stop a whole host. As long as a single project has said that
the host is down, another one is heard soon.

Marks are kept in memory alone: an outage is found anew after a restart.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import attrs

from cidx_jobs.engine.queue.key_numbers import KeyNumbers
from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.key_limits import LimitKey, host_of, keys_of
from cidx_jobs.runtime.log import get_logger

FIRST_PROBE_SECONDS = 5.0
"""How long after the mark the first probe is; also the shortest time between two."""
LONGEST_PROBE_SECONDS = 300.0
"""The longest time between two probes."""
PROBE_SECONDS = 60.0
"""A probe that has learned nothing in this time lets another job through."""
TURN_SECONDS = 1.0
"""How long a probe is left to those who have not tried yet, where such a job waits at all."""

_EARLY = 0.001
"""A timer of the loop may ring early, by the resolution of its clock."""
_MANY_ANSWERS = 1_000

_log = get_logger("engine")


@attrs.define(eq=False)
class Outage:
    """One host that is down; times are monotonic seconds but where they are told."""

    key: LimitKey
    code: str
    """The code of the network's error that was met last."""
    since: datetime
    began: float
    probe_at: float
    until: datetime
    """When the next probe is at the latest, as it is told."""
    interval: float = FIRST_PROBE_SECONDS
    prober: JobId | None = None
    """Who asks the host now."""
    is_open: bool = False
    """True once the time of the probe has come, until a job goes through."""
    tried: set[JobId] = attrs.field(factory=set)
    """Who has found the host down, and lets others try."""
    witnesses: set[tuple[UserId, ProjectId]] = attrs.field(factory=set)
    """The projects that have found it down."""
    timer: asyncio.TimerHandle | None = None

    @property
    def host(self) -> str:
        """The host's name, with its port unless it is the usual one."""
        return host_of(self.key) or self.key.name

    @property
    def is_doubtful(self) -> bool:
        """True while it may as well be the one project's own fault."""
        return len(self.witnesses) == 1


class _LastAnswer(NamedTuple):
    """When a host answered, and when an answer of its last ended an outage; monotonic seconds."""

    at: float
    ended_outage_at: float


class Outages:
    """The hosts that are marked as down, and when each is probed."""

    def __init__(
        self,
        clock: Clock,
        longest_seconds: float,
        *,
        queue: JobQueue,
        numbers: KeyNumbers,
        on_change: Callable[[LimitKey, Collection[JobId]], None],
    ) -> None:
        """Begin with no host marked.

        Args:
            clock: for the times of marks and probes.
            longest_seconds: how long a job waits for a host (`git_outage_seconds`).
            queue: of what waits, those that have not tried yet are eligible in it.
            numbers: know the keys of all unfinished jobs.
            on_change: is called when another job with the key may start now, or none any more,
                with those jobs that need not let others try any longer.
        """
        self._clock = clock
        self._longest = longest_seconds
        self._queue = queue
        self._numbers = numbers
        self._on_change = on_change
        self._by_key: dict[LimitKey, Outage] = {}
        self._answered: dict[LimitKey, _LastAnswer] = {}
        """The last answer of each host to anybody; the newest last."""

    def __bool__(self) -> bool:
        """Return whether any host is marked."""
        return bool(self._by_key)

    def __iter__(self) -> Iterator[Outage]:
        """Go through the outages, the oldest first."""
        return iter(self._by_key.values())

    def find(self, key: LimitKey) -> Outage | None:
        """Return the outage of the host of that key, if it is marked."""
        return self._by_key.get(key)

    def is_over(self, key: LimitKey, queued_at: datetime | None) -> bool:
        """Return whether a job that was queued then has waited for the host as long as it may."""
        outage = self._by_key.get(key)
        return outage is not None and self._clock.monotonic() >= self._gives_up(outage, queued_at)

    def mark(self, key: LimitKey, job: Job, code: str, silent_seconds: float) -> bool:
        """Mark the host as down, for a run of the job asked it and got no answer.

        Returns False, and marks nothing, where the host answered somebody else meanwhile: then it
        is not the host that is down. Where it came back meanwhile nothing is marked either, but
        the run was caught by the outage, and this returns True.

        Args:
            key: the host's.
            job: whose run asked.
            code: of the network's error.
            silent_seconds: for how long it asked.
        """
        now = self._clock.monotonic()
        asked_at = now - silent_seconds
        last = self._answered.get(key)
        if last is not None and last.at >= asked_at:
            return last.ended_outage_at > asked_at
        outage = self._by_key.get(key)
        if outage is None:
            outage = self._begin(key, code, now)
        elif outage.prober == job.job_id:
            outage.interval = min(2 * outage.interval, LONGEST_PROBE_SECONDS)
            outage.prober = None
            self._set_probe(outage, outage.interval)
        outage.code = code
        outage.tried.add(job.job_id)
        outage.witnesses.add((job.user_id, job.project_id))
        self._on_change(key, ())
        return True

    def hasten(self, key: LimitKey, jobs: Iterable[Job]) -> None:
        """Probe in time for those jobs of the host that give up before the next probe."""
        outage = self._by_key.get(key)
        if outage is None or outage.prober is not None or outage.is_open:
            return
        now = self._clock.monotonic()
        ends = (self._gives_up(outage, job.queued_at) for job in jobs)
        first = min((end for end in ends if end > now), default=outage.probe_at)
        seconds = max(first - now, FIRST_PROBE_SECONDS)
        if now + seconds < outage.probe_at:
            self._set_probe(outage, seconds)

    def answer(self, key: LimitKey) -> None:
        """Learn that the host answered: its mark is taken off."""
        now = self._clock.monotonic()
        before = self._answered.pop(key, None)
        ended_at = before.ended_outage_at if before is not None else -math.inf
        ended_at = now if key in self._by_key else ended_at
        self._answered[key] = _LastAnswer(now, ended_at)
        if len(self._answered) > _MANY_ANSWERS:
            del self._answered[next(iter(self._answered))]
        outage = self._by_key.pop(key, None)
        if outage is None:
            return
        _stop(outage)
        _log.info("host_up", host=outage.host, down_seconds=round(now - outage.began, 1))
        self._on_change(key, outage.tried)

    def welcome(self, job: Job) -> None:
        """Learn that a job waits: another project than the only one so far is heard soon."""
        for key in keys_of(job.limits):
            outage = self._by_key.get(key)
            if outage is None or not outage.is_doubtful or outage.is_open or outage.prober:
                continue
            is_other = (job.user_id, job.project_id) not in outage.witnesses
            soon = self._clock.monotonic() + FIRST_PROBE_SECONDS
            if is_other and soon < outage.probe_at:
                self._set_probe(outage, FIRST_PROBE_SECONDS)

    def begin(self, job: Job) -> None:
        """Learn that the job starts: it probes the hosts of its keys that are down."""
        for key in keys_of(job.limits):
            outage = self._by_key.get(key)
            if outage is not None and outage.is_open:
                outage.prober, outage.is_open = job.job_id, False
                self._set_timer(outage, PROBE_SECONDS)
                # One that gets no answer in 15 s; what it then waits is twice as long as before.
                outage.until = self._clock.now() + timedelta(seconds=15 + 2 * outage.interval)

    def end(self, job_id: JobId, keys: Iterable[LimitKey]) -> None:
        """Learn that a run has ended, or was not started: a probe that learned nothing is over."""
        for key in keys:
            outage = self._by_key.get(key)
            if outage is not None and outage.prober == job_id:
                self._open(outage)

    def ring_due(self) -> None:
        """Let every probe begin whose time has come by the clock, without its timer."""
        for outage in tuple(self):
            self._ring(outage)

    def find_next(self) -> datetime | None:
        """Return when the earliest probe is that is yet to come; None without any."""
        return min((each.until for each in self if not each.is_open), default=None)

    def close(self) -> None:
        """Let no timer go off any more."""
        for outage in self:
            _stop(outage)

    def _begin(self, key: LimitKey, code: str, now: float) -> Outage:
        wall = self._clock.now()
        outage = Outage(key=key, code=code, since=wall, began=now, probe_at=now, until=wall)
        self._by_key[key] = outage
        self._set_probe(outage, FIRST_PROBE_SECONDS)
        _log.warning("host_down", host=outage.host, code=code)
        return outage

    def _gives_up(self, outage: Outage, queued_at: datetime | None) -> float:
        later = (queued_at - outage.since).total_seconds() if queued_at else 0.0
        return outage.began + max(0.0, later) + self._longest

    def _set_probe(self, outage: Outage, seconds: float) -> None:
        outage.until = self._clock.now() + timedelta(seconds=seconds)
        self._set_timer(outage, seconds)

    def _set_timer(self, outage: Outage, seconds: float) -> None:
        _stop(outage)
        outage.probe_at = self._clock.monotonic() + seconds
        loop = asyncio.get_running_loop()
        outage.timer = loop.call_later(seconds, self._ring, outage)

    def _ring(self, outage: Outage) -> None:
        left = outage.probe_at - self._clock.monotonic()
        if self._by_key.get(outage.key) is not outage:
            return
        if left > _EARLY:
            self._set_timer(outage, left)
        elif self._numbers.limit_of(outage.key) is None:
            # Nobody asks for it any more; whoever does again finds out anew.
            _stop(outage)
            del self._by_key[outage.key]
            self._on_change(outage.key, ())
        elif outage.is_open:
            self._begin_round(outage)
        else:
            self._open(outage)

    def _open(self, outage: Outage) -> None:
        outage.prober, outage.is_open = None, True
        if self._queue.has_eligible(outage.key):
            self._set_probe(outage, TURN_SECONDS)
            self._on_change(outage.key, ())
        else:
            self._begin_round(outage)

    def _begin_round(self, outage: Outage) -> None:
        """Let everybody try again, whether they have tried or not."""
        _stop(outage)
        tried, outage.tried = outage.tried, set()
        self._on_change(outage.key, tried)


def _stop(outage: Outage) -> None:
    if outage.timer is not None:
        outage.timer.cancel()
        outage.timer = None
