"""Cron lines: the moments at which a line of five fields fires, in the time of a zone.

`cronsim` reads the line and finds its matches on a clock that is never set. What such a local
time means in a zone with summer time is decided here: the library by itself tells of times that
do not exist, and of some twice (api.md 1.10).
"""

import bisect
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta, tzinfo

import attrs
from cronsim import CronSim, CronSimError

MAX_LINE_CHARACTERS = 255

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = 5
_NO_TIME = timedelta(0)
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_FROM = datetime(2000, 1, 1)  # noqa: DTZ001 - a clock that is never set has no zone


@attrs.frozen
class CronLine:
    """The times of one line in one zone; `parse_line` makes it."""

    _line: CronSim
    """The line as it was read, on a clock without a zone; copied for each search."""
    _zone: tzinfo
    _is_fixed: bool
    """Neither its minute nor its hour begins with ``*``: it names times of the day, each of which
    comes once a day, and not times of the real clock."""

    def find_next(self, after: datetime) -> datetime | None:
        """Return the first time after that moment, in UTC; None when none will come."""
        local = after.astimezone(self._zone)
        found: datetime | None = None
        for match in self._walk(_naive(local) - self._ahead(local)):
            moments = self._moments(match)
            for moment in moments:
                if moment > after and (found is None or moment < found):
                    found = moment
            # Second passes of an hour lie after all first ones that are still to come.
            if moments and moments[0] > after:
                break
        return found

    def find_last(self, until: datetime) -> datetime | None:
        """Return the last time up to that moment, in UTC; None when there was none."""
        local = until.astimezone(self._zone)
        naive = _naive(local)
        behind = _set_back_by(local) if local.fold else _NO_TIME
        found: datetime | None = None
        for match in self._walk(naive + behind + _SECOND, is_back=True):
            for moment in self._moments(match):
                if moment <= until and (found is None or moment > found):
                    found = moment
            if found is not None and match <= naive:
                break
        return found

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many times there are after the one moment, up to the other.

        Whole days are counted, not walked through: a stop of years costs milliseconds.
        """
        counted = 0
        while after < until:
            end = min(after + _DAY, until)
            counted += self._count_between(after, end)
            after = end
        return counted

    def _count_between(self, after: datetime, until: datetime) -> int:
        first, last = after.astimezone(self._zone), until.astimezone(self._zone)
        if first.utcoffset() == last.utcoffset() and not first.fold:
            return self._count_matches(_naive(first), _naive(last))
        if until - after > _HOUR:
            middle = after + (until - after) / 2
            return self._count_between(after, middle) + self._count_between(middle, until)
        counted = 0
        moment = self.find_next(after)
        while moment is not None and moment <= until:
            counted += 1
            moment = self.find_next(moment)
        return counted

    def _count_matches(self, after: datetime, until: datetime) -> int:
        counted = 0
        day = after.date()
        while day <= until.date():
            if day.month in self._line.months and self._line.match_day(day):
                counted += len(self._line.hours) * len(self._line.minutes)
                counted -= self._count_of_day(after) if day == after.date() else 0
                if day == until.date():
                    counted -= len(self._line.hours) * len(self._line.minutes)
                    counted += self._count_of_day(until)
            day += _DAY
        return counted

    def _count_of_day(self, until: datetime) -> int:
        """Return how many times of a day that matches have come by then."""
        hours, minutes = sorted(self._line.hours), sorted(self._line.minutes)
        counted = bisect.bisect_left(hours, until.hour) * len(minutes)
        if until.hour in self._line.hours:
            counted += bisect.bisect_right(minutes, until.minute)
        return counted

    def _walk(self, start: datetime, *, is_back: bool = False) -> Iterator[datetime]:
        """Yield the matches after *start*, or before it, on a clock that is never set."""
        line = copy(self._line)
        line.dt = start.replace(microsecond=0)
        line.tick_direction = -1 if is_back else 1
        return line

    def _ahead(self, local: datetime) -> timedelta:
        """Return how far back matches lie that come once more: the clock is set back soon."""
        return _NO_TIME if self._is_fixed or local.fold else _set_back_by(local)

    def _moments(self, match: datetime) -> tuple[datetime, ...]:
        """Return when that local time fires: at most twice, in order."""
        early = match.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        late = match.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        if early == late:
            return (early,)
        if early < late:
            return (early,) if self._is_fixed else (early, late)
        # The clock is set forward over it (PEP 495: the order is the other way round then).
        return (self._find_change(late, early),) if self._is_fixed else ()

    def _find_change(self, before: datetime, after: datetime) -> datetime:
        """Return the first moment of the time that the clock was set forward to."""
        offset = after.astimezone(self._zone).utcoffset()
        while after - before > _SECOND:
            middle = before + (after - before) // _SECOND // 2 * _SECOND
            if middle.astimezone(self._zone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after


def parse_line(text: str, zone: tzinfo) -> CronLine:
    """Return the times of the line in the zone.

    Raises:
        ValueError: it is no cron line of five fields, or never comes; the text says why.
    """
    if len(text) > MAX_LINE_CHARACTERS:
        message = f"a cron line has at most {MAX_LINE_CHARACTERS} characters"
        raise ValueError(message)
    fields = _NAMED.get(text.strip().lower(), text).split()
    if fields and fields[0].startswith("@"):
        message = f"of names there are {', '.join(_NAMED)}"
        raise ValueError(message)
    if len(fields) != _FIELDS:
        message = "a cron line has five fields: minute, hour, day of month, month, day of week"
        raise ValueError(message)
    try:
        line = CronSim(" ".join(fields), _FROM)
        next(copy(line))
    except CronSimError as error:
        # A day that no month of the line has is an error of its field.
        message = f"{_lower_first(str(error))}: it is wrong, or never comes"
        raise ValueError(message) from error
    except StopIteration:
        message = "it never comes"
        raise ValueError(message) from None
    is_fixed = not (fields[0].startswith("*") or fields[1].startswith("*"))
    return CronLine(line, zone, is_fixed)


def _naive(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0)


def _set_back_by(local: datetime) -> timedelta:
    """Return by how much the clock is set back at this local time, which then comes twice."""
    first, second = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
    return max(_NO_TIME, (first or _NO_TIME) - (second or _NO_TIME))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
