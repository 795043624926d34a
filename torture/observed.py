"""What many readers were answered, and whether one history of the jobs explains all of it (G3).

An answer that came before a question was sent bounds what the question may be answered with.
Nothing else of the order is known, and nothing else is asked for: the times are those of one
process that asks, so that the two ends of each call can be compared.
"""

import bisect
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

WAITING = {"created", "queued"}
"""The short form of a job says "queued" for both."""


@attrs.frozen
class Seen:
    """One job as one answer showed it."""

    job_id: str
    version: int
    status: str | None
    """None where the answer did not say it (a 304)."""
    asked: float
    answered: float
    by: str
    """What was asked."""


@attrs.frozen
class Poll:
    """A long-poll for a version other than this, or (None) for the end."""

    job_id: str
    baseline: int | None
    asked: float
    answered: float
    """Or when the connection broke: it slept until then."""


@attrs.frozen
class Listed:
    """All the jobs of a project, as one answer listed them."""

    project_id: str
    job_ids: frozenset[str]
    asked: float
    answered: float


@attrs.define
class Record:
    """Every answer, as it came; read by `find_faults` when all is over."""

    seen: list[Seen] = attrs.field(factory=list)
    polls: list[Poll] = attrs.field(factory=list)
    lists: list[Listed] = attrs.field(factory=list)
    projects: dict[str, tuple[str, float]] = attrs.field(factory=dict)
    """The project of each job whose submit was answered, and when that was."""
    retried: set[str] = attrs.field(factory=set)
    """Jobs that may have come back after their end."""


@attrs.frozen
class _Known:
    """What was known of a job, to anybody, at each time: times and versions that both grow."""

    times: Sequence[float]
    versions: Sequence[int]

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> "_Known":
        in_order = sorted((one.answered, one.version) for one in seen)
        versions = itertools.accumulate((version for _, version in in_order), max)
        return cls([answered for answered, _ in in_order], list(versions))

    def at(self, time: float) -> int:
        """Give the newest version that was answered before the time; 0 for none."""
        index = bisect.bisect_left(self.times, time)
        return self.versions[index - 1] if index else 0

    def time_of_more_than(self, version: int) -> float:
        """Give when first a newer version was answered; infinity for never."""
        index = bisect.bisect_right(self.versions, version)
        return self.times[index] if index < len(self.times) else math.inf


def find_faults(record: Record, *, late_seconds: float) -> Iterator[str]:
    """Yield each answer that no one history explains.

    Args:
        record: all answers.
        late_seconds: how long after somebody was told of a newer version a long-poll for it may
            sleep on.
    """
    by_job = _group(record.seen)
    known = {job_id: _Known.of(seen) for job_id, seen in by_job.items()}
    yield from _going_back(record.seen, known)
    for job_id, seen in by_job.items():
        yield from _two_states(job_id, seen)
    yield from _missing(record)
    for poll, since in _due(record, by_job, known):
        if poll.answered - since > late_seconds:
            seconds = poll.answered - since
            yield f"a long-poll for job {poll.job_id} slept {seconds:.1f} s through a change"


def find_untold(record: Record, log: Mapping[str, Sequence[tuple[int, str]]]) -> Iterator[str]:
    """Yield each answer that says something else than the log of transitions.

    Args:
        record: all answers.
        log: each job's versions and statuses, in order.
    """
    for one in record.seen:
        rows = log.get(one.job_id, ())
        index = bisect.bisect_right([version for version, _ in rows], one.version)
        if not index:
            yield f"job {one.job_id} was shown by {one.by} and is not in the log"
        elif one.status is not None and not _is_same(one.status, rows[index - 1][1]):
            told = rows[index - 1][1]
            yield (
                f"job {one.job_id} was shown as {one.status} at version {one.version} by"
                f" {one.by}, and its log says {told}"
            )


def wake_seconds(record: Record) -> list[float]:
    """Give how long after the first answer that told of a change each long-poll was answered.

    Only of those that were parked by then; in order.
    """
    by_job = _group(record.seen)
    known = {job_id: _Known.of(seen) for job_id, seen in by_job.items()}
    due = _due(record, by_job, known)
    return sorted(poll.answered - since for poll, since in due if since > poll.asked)


def _group(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    groups: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        groups[one.job_id].append(one)
    return groups


def _going_back(seen: Sequence[Seen], known: Mapping[str, _Known]) -> Iterator[str]:
    for one in seen:
        at_least = known[one.job_id].at(one.asked)
        if one.version < at_least:
            yield (
                f"job {one.job_id} went back from version {at_least} to {one.version}, by {one.by}"
            )


def _two_states(job_id: str, seen: Sequence[Seen]) -> Iterator[str]:
    states: dict[int, str] = {}
    for one in seen:
        if one.status is not None:
            first = states.setdefault(one.version, one.status)
            if not _is_same(first, one.status):
                yield f"job {job_id} at version {one.version} was {first} and {one.status}"


def _is_same(status: str, other: str) -> bool:
    return status == other or {status, other} <= WAITING


def _missing(record: Record) -> Iterator[str]:
    members: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for job_id, (project_id, answered) in record.projects.items():
        members[project_id].append((job_id, answered))
    for one in record.lists:
        for job_id, answered in members[one.project_id]:
            if answered < one.asked and job_id not in one.job_ids:
                yield f"job {job_id} was acknowledged and is missing in a list"


def _due(
    record: Record, by_job: Mapping[str, Sequence[Seen]], known: Mapping[str, _Known]
) -> Iterator[tuple[Poll, float]]:
    """Give each long-poll with the time from which what it waited for was known to anybody."""
    for poll in record.polls:
        if poll.baseline is not None:
            known_at = known[poll.job_id].time_of_more_than(poll.baseline)
        elif poll.job_id in record.retried:
            continue
        else:
            finals = (one.answered for one in by_job[poll.job_id] if _is_final(one))
            known_at = min(finals, default=math.inf)
        if known_at < poll.answered:
            yield poll, max(known_at, poll.asked)


def _is_final(one: Seen) -> bool:
    return one.status in {"completed", "failed", "cancelled"}
