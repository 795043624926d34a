"""A schedule: what it submits, and when; and what the server keeps of it."""

import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import attrs
import msgspec

from cidx_jobs.model.errors import Fault, ValidationError
from cidx_jobs.model.foreign import plain_options
from cidx_jobs.model.ids import (
    MAX_USER_ID_CHARACTERS,
    PROJECT_ID_PATTERN,
    PROJECT_ID_RULE,
    JobId,
    ProjectId,
    UserId,
    is_job_type,
    is_project_id,
)
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY, JsonObject
from cidx_jobs.model.job.labels import check_labels
from cidx_jobs.model.job.submit import name_of_type
from cidx_jobs.model.limits import MAX_ATTEMPTS, MAX_TIMEOUT_SECONDS
from cidx_jobs.model.schedules.cron_line import parse_line
from cidx_jobs.model.schedules.interval import Interval

MAX_SCHEDULES_PER_USER = 1_000
MIN_EVERY_SECONDS = 1
MAX_EVERY_SECONDS = 366 * 86_400
MAX_JITTER_SECONDS = 86_400
NAME_PATTERN = PROJECT_ID_PATTERN
"""A schedule is named as a project is."""
ZONE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9+_-]{0,31}(/[A-Za-z0-9][A-Za-z0-9+_-]{0,31}){0,2}"

_ZONE = re.compile(ZONE_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COUNTED_LEAP_SECONDS = ("right/", "posix/")
"""Folders of the zone database whose zones are not those of the wall clock, or the same twice."""


class CatchUp(StrEnum):
    """What becomes of the times that came while nothing could be submitted."""

    ONCE = "once"
    """One job for all of them."""
    SKIP = "skip"
    """None."""


def _to_catch_up(choice: Any) -> Any:
    return CatchUp(choice) if choice in list(CatchUp) else choice


class Times(Protocol):
    """Moments in order, without end or nearly so."""

    def find_next(self, after: datetime) -> datetime | None:
        """Return the first moment after that one; None when there is none."""

    def find_last(self, until: datetime) -> datetime | None:
        """Return the last moment up to that one; None when there is none."""

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many moments there are after the one, up to the other."""


@attrs.frozen
class Schedule:
    """A job that is submitted by itself, at the times of a cron line or in even intervals.

    Checked when it is made: of ``cron`` and ``every_seconds`` there is exactly one, and a cron
    line comes sometime. Whether its job type is known, and takes the options, is checked where
    it is added.

    Raises:
        ValidationError: with every member that is wrong.
    """

    name: str
    """Unique among its user's, 1 to 64 characters ``[A-Za-z0-9][A-Za-z0-9._-]*``."""
    user_id: str
    project_id: str
    job_type: str = attrs.field(default="repository_sync", kw_only=True, converter=name_of_type)
    """The name of a registered type; made of the `JobType` itself, too."""
    options: JsonObject = attrs.field(factory=dict, kw_only=True)
    priority: int | None = attrs.field(default=None, kw_only=True)
    labels: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    max_attempts: int | None = attrs.field(default=None, kw_only=True)
    timeout_seconds: float | None = attrs.field(default=None, kw_only=True)
    notify: str | None = attrs.field(default=None, kw_only=True)
    """A URL that the end of each job is told to."""
    cron: str | None = attrs.field(default=None, kw_only=True)
    """Five fields, or ``@daily`` and its like, in the time of *timezone*."""
    every_seconds: int | None = attrs.field(default=None, kw_only=True)
    """1 to 31,622,400 (366 days), counted from when the schedule was made or last changed."""
    timezone: str = attrs.field(default="UTC", kw_only=True)
    jitter_seconds: int = attrs.field(default=0, kw_only=True)
    """0 to 86,400: each time comes up to so much later, by the same for one schedule."""
    catch_up: CatchUp = attrs.field(default=CatchUp.ONCE, kw_only=True, converter=_to_catch_up)
    enabled: bool = attrs.field(default=True, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check everything."""
        faults = list(_faults(self))
        if faults:
            raise ValidationError(faults)

    def make_times(self, start: datetime) -> Times:
        """Return when it fires; even intervals count from *start*."""
        if self.cron is not None:
            return parse_line(self.cron, find_zone(self.timezone))
        return Interval(start, timedelta(seconds=self.every_seconds or MAX_EVERY_SECONDS))

    @property
    def delay(self) -> timedelta:
        """How much later than its times it fires, by its jitter: always the same, and its own."""
        share = zlib.crc32(f"{self.user_id}/{self.name}".encode()) / 2**32
        return self.jitter_seconds * share * timedelta(seconds=1)


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is stored: what it says, and how far it has come."""

    schedule: Schedule
    version: int = 1
    """Grows by one with each stored change: the guard of each change."""
    is_declared: bool = False
    """Whether it stands in the application's code, and is changed only there."""
    created_at: datetime
    changed_at: datetime
    """When it was made, or what it says was last changed."""
    settled_at: datetime
    """Of all its times until then it is settled what became of them."""
    owed_at: datetime | None = None
    """The last time that came while its user was paused, and is to be caught up with."""
    missed: int = 0
    """How many times made no job of their own."""
    last_at: datetime | None = None
    """The last time that was served, or when it was last run by hand."""
    last_job_id: JobId | None = None
    last_error: str | None = None
    """Why its last time was refused; None when it was not."""

    @property
    def key(self) -> "ScheduleKey":
        """Whose it is, and its name."""
        return UserId(self.schedule.user_id), self.schedule.name

    @property
    def project(self) -> tuple[UserId, ProjectId]:
        """The project that it is of."""
        return UserId(self.schedule.user_id), ProjectId(self.schedule.project_id)


ScheduleKey = tuple[UserId, str]


def is_schedule_name(text: str) -> bool:
    """Tell whether *text* has the form of a schedule's name (it need not name one)."""
    return is_project_id(text)


def find_zone(name: str) -> tzinfo:
    """Return the time zone of that name.

    Raises:
        ValueError: there is none.
    """
    if name == "UTC":
        return UTC
    message = "there is no such time zone; one is named as Europe/Berlin is"
    if not _ZONE.fullmatch(name) or name.startswith(_COUNTED_LEAP_SECONDS):
        raise ValueError(message)
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(message) from error


def _faults(schedule: Schedule) -> Iterator[Fault]:
    wrong = list(_type_faults(schedule))
    if wrong:
        # What is of another type cannot be compared with its bounds.
        yield from wrong
        return
    if not is_schedule_name(schedule.name):
        yield Fault("/name", PROJECT_ID_RULE)
    if not 1 <= len(schedule.user_id) <= MAX_USER_ID_CHARACTERS or _CONTROL.search(
        schedule.user_id
    ):
        yield Fault("/user_id", f"it is 1 to {MAX_USER_ID_CHARACTERS} characters, none a control")
    if not is_project_id(schedule.project_id):
        yield Fault("/project_id", PROJECT_ID_RULE)
    if not is_job_type(schedule.job_type):
        yield Fault("/job_type", "it is no name of a job type")
    yield from _option_faults(schedule.options)
    yield from check_labels(schedule.labels)
    yield from _number_faults(schedule)
    yield from _time_faults(schedule)


_TYPES: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("name", str, "text"),
    ("user_id", str, "text"),
    ("project_id", str, "text"),
    ("job_type", str, "text"),
    ("options", Mapping, "an object"),
    ("priority", (int, type(None)), "a whole number"),
    ("labels", Mapping, "an object of texts"),
    ("max_attempts", (int, type(None)), "a whole number"),
    ("timeout_seconds", (int, float, type(None)), "a number"),
    ("notify", (str, type(None)), "text"),
    ("cron", (str, type(None)), "text"),
    ("every_seconds", (int, type(None)), "a whole number"),
    ("timezone", str, "text"),
    ("jitter_seconds", int, "a whole number"),
)


def _type_faults(schedule: Schedule) -> Iterator[Fault]:
    for name, types, words in _TYPES:
        value: Any = getattr(schedule, name)
        if not isinstance(value, types) or isinstance(value, bool):
            yield Fault(f"/{name}", f"it is {words}")
    labels: Any = schedule.labels
    if isinstance(labels, Mapping) and not all(map(_is_text_twice, labels.items())):
        yield Fault("/labels", "it is an object of texts")
    if not isinstance(schedule.catch_up, CatchUp):
        yield Fault("/catch_up", "it is once or skip")
    if not isinstance(schedule.enabled, bool):
        yield Fault("/enabled", "it is true or false")


def _is_text_twice(pair: tuple[Any, Any]) -> bool:
    return all(isinstance(each, str) for each in pair)


def _option_faults(options: JsonObject) -> Iterator[Fault]:
    try:
        plain_options(options)
    except ValidationError as error:
        yield from error.faults


def _number_faults(schedule: Schedule) -> Iterator[Fault]:
    # A user's own highest priority, and the server's longest time, are known where it is added.
    bounds: tuple[tuple[str, float, float], ...] = (
        ("priority", MIN_PRIORITY, MAX_PRIORITY),
        ("max_attempts", 1, MAX_ATTEMPTS),
        ("every_seconds", MIN_EVERY_SECONDS, MAX_EVERY_SECONDS),
        ("jitter_seconds", 0, MAX_JITTER_SECONDS),
    )
    for name, low, high in bounds:
        value = getattr(schedule, name)
        if value is not None and not low <= value <= high:
            yield Fault(f"/{name}", f"it is from {low} to {high}")
    timeout = schedule.timeout_seconds
    if timeout is not None and not 0 < timeout <= MAX_TIMEOUT_SECONDS:
        yield Fault("/timeout_seconds", f"it is over 0, at most {MAX_TIMEOUT_SECONDS:.0f} seconds")


def _time_faults(schedule: Schedule) -> Iterator[Fault]:
    if (schedule.cron is None) is (schedule.every_seconds is None):
        message = "a schedule fires either by a cron line or at even intervals: give one"
        yield Fault("/cron" if schedule.cron is None else "/every_seconds", message)
    zone: tzinfo = UTC
    try:
        zone = find_zone(schedule.timezone)
    except ValueError as error:
        yield Fault("/timezone", str(error))
    if schedule.cron is None:
        return
    try:
        parse_line(schedule.cron, zone)
    except ValueError as error:
        yield Fault("/cron", str(error))
