"""When schedules fire: cron lines in zones with summer time, and even intervals."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cidx_jobs.model.schedules.cron_line import parse_line
from cidx_jobs.model.schedules.interval import Interval

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# Whole and half hours, at midnight, twice and four times a year, backwards, and a lost day.
ZONES = (
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Casablanca",
    "America/Santiago",
    "Europe/Dublin",
    "Antarctica/Troll",
    "Pacific/Apia",
)
YEARS = (2011, 2021)


class Line:
    """A line whose values were drawn first and then written down: nothing reads its text here."""

    def __init__(self, chance: random.Random, *, is_fixed: bool) -> None:
        """Draw minutes and hours; those of a line that is not fixed begin with ``*``."""
        near_changes = [0, 1, 2, 3, 23]
        self.is_fixed = is_fixed
        self.minutes = frozenset(chance.sample(range(60), chance.randint(1, 4)))
        self.hours = frozenset(chance.sample(near_changes, chance.randint(1, 4)))
        minute, hour = _written(self.minutes), _written(self.hours)
        if not is_fixed:
            step = chance.choice([7, 15, 30])
            self.minutes, minute = frozenset(range(0, 60, step)), f"*/{step}"
            if chance.random() < 0.5:
                self.hours, hour = frozenset(range(24)), "*"
        self.text = f"{minute} {hour} * * *"

    def matches(self, local: datetime) -> bool:
        """Tell whether the local time is one of the line."""
        return local.hour in self.hours and local.minute in self.minutes


def _written(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


@cache
def changes(zone: str) -> Sequence[datetime]:
    """Find the hours of the years in which the clock of the zone was set."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in YEARS)
    hours = [start + HOUR * step for step in range((end - start) // HOUR)]
    known = ZoneInfo(zone)
    offsets = [hour.astimezone(known).utcoffset() for hour in hours]
    return [
        hour
        for hour, (before, after) in zip(hours[1:], pairwise(offsets), strict=True)
        if before != after
    ]


def walk(line: Line, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield when the line fires after *start* and before *end*, minute after minute.

    Independent of the code: it looks at what clocks on the wall show in each real minute.
    """
    known = ZoneInfo(zone)
    seen: set[datetime] = set()
    minute = start - DAY
    shown = minute.astimezone(known).replace(tzinfo=None)
    while minute < end:
        before, shown = shown, minute.astimezone(known).replace(tzinfo=None)
        if line.is_fixed:
            # What the hand passed, and what it jumped over, for the first time.
            passed = [before + MINUTE * step for step in range(1, (shown - before) // MINUTE + 1)]
            new = {each for each in passed if line.matches(each)} - seen
            seen |= new
            fires = bool(new)
        else:
            fires = line.matches(shown)
        if fires and start < minute:
            yield minute
        minute += MINUTE


def listed(text: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """List when the line fires after *start* and before *end*."""
    line = parse_line(text, ZoneInfo(zone))
    found: list[datetime] = []
    moment = line.find_next(start)
    while moment is not None and moment < end:
        found.append(moment)
        moment = line.find_next(moment)
    return found


def utc(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # as datetime's own


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_summer_time_of_ten_years_is_as_the_clocks_on_the_wall(zone: str) -> None:
    """Around each change of ten years lines fire as a watcher of the wall's clock expects."""
    chance = random.Random(zone)  # noqa: S311 - draws cases
    for change in changes(zone):
        for is_fixed in (True, False):
            line = Line(chance, is_fixed=is_fixed)
            start, end = change - DAY, change + DAY

            found = listed(line.text, zone, start, end)

            assert found == list(walk(line, zone, start, end)), (line.text, zone, change)


@pytest.mark.parametrize("zone", ZONES)
def test_counts_and_last_times_agree_with_the_times(zone: str) -> None:
    """What is counted and found backwards is what is found forwards, around changes, too."""
    chance = random.Random(zone)  # noqa: S311 - draws cases
    for change in chance.sample(changes(zone), min(4, len(changes(zone)))):
        line = Line(chance, is_fixed=chance.random() < 0.5)
        times = parse_line(line.text, ZoneInfo(zone))
        start = change - DAY * 1.5
        all_times = listed(line.text, zone, start, change + DAY * 1.5)
        for _ in range(20):
            until = start + chance.random() * DAY * 3
            before = [each for each in all_times if each <= until]

            counted = times.count(start, until)
            last = times.find_last(until)

            assert counted == len(before), (line.text, zone, until)
            assert not before or last == before[-1], (line.text, zone, until)


def test_a_time_that_does_not_exist_fires_at_the_first_that_does() -> None:
    """Half past two of a night that has none comes at three, once for several such times."""
    start = utc(2026, 3, 29)

    found = listed("15,45 2 * * *", "Europe/Berlin", start, start + DAY)

    assert found == [utc(2026, 3, 29, 1)]


def test_a_time_that_comes_twice_fires_once() -> None:
    """Half past two of a night that has two fires in the first of them."""
    start = utc(2026, 10, 25)

    found = listed("30 2 * * *", "Europe/Berlin", start, start + DAY)

    assert found == [utc(2026, 10, 25, 0, 30)]


def test_after_the_first_of_two_equal_hours_none_of_the_second_fires() -> None:
    """Who looks from within the second hour does not get a time of the first."""
    found = parse_line("50 2 * * *", ZoneInfo("Europe/Berlin")).find_next(utc(2026, 10, 25, 1, 40))

    assert found == utc(2026, 10, 26, 1, 50)


def test_a_starred_line_follows_real_time() -> None:
    """Every half hour is every half real hour: both times in autumn, no invented one in spring."""
    autumn, spring = utc(2026, 10, 25), utc(2026, 3, 29)

    twice = listed("*/30 * * * *", "Europe/Berlin", autumn, autumn + HOUR * 3)
    over = listed("*/30 2 * * *", "Europe/Berlin", spring, spring + HOUR * 6)

    assert twice == [autumn + MINUTE * 30 * step for step in range(1, 6)]
    assert over == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("@hourly", utc(2026, 2, 27, 13)),
        ("@daily", utc(2026, 2, 28)),
        ("@weekly", utc(2026, 3, 1)),
        ("@monthly", utc(2026, 3, 1)),
        ("@yearly", utc(2027, 1, 1)),
        ("0 9 * * MON-fri", utc(2026, 3, 2, 9)),
        ("0 0 L * *", utc(2026, 2, 28)),
        ("0 0 * * fri#1", utc(2026, 3, 6)),
        ("0 0 * * 5L", utc(2026, 3, 27)),
        ("0 0 29 feb *", utc(2028, 2, 29)),
        ("0 0 13 * 5", utc(2026, 3, 6)),
        ("5-20/5 12 * * *", utc(2026, 2, 28, 12, 5)),
    ],
)
def test_a_line_may_have_names_lists_steps_and_ends_of_months(
    line: str, expected: datetime
) -> None:
    """All that a line may hold means what it means in cron."""
    found = parse_line(line, UTC).find_next(utc(2026, 2, 27, 12, 30))

    assert found == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "0 * * * * *",
        "@reboot",
        "@never",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "60 * * * *",
        "* 24 * * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "* * * * 1#6",
        "* " * 300,
        "²L * * * *",
    ],
)
def test_what_is_no_line_is_refused(line: str) -> None:
    """Six fields, @reboot, a day that never comes and what cannot be read are no lines."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_line(line, UTC)


@pytest.mark.parametrize("line", ["* * * * *", "*/7 * * * *", "30 3 1 * *"])
def test_a_stop_of_years_is_counted_without_a_walk(line: str) -> None:
    """Counting the times of ten years costs less than a second."""
    times = parse_line(line, ZoneInfo("Europe/London"))

    counted = times.count(utc(2016, 1, 1), utc(2026, 1, 1))

    days = (utc(2026, 1, 1) - utc(2016, 1, 1)).days
    expected = {"* * * * *": days * 1440, "*/7 * * * *": days * 24 * 9, "30 3 1 * *": 120}
    assert counted == expected[line]


def test_an_interval_keeps_its_grid() -> None:
    """The times of an interval are counted from its start, whenever somebody looks."""
    start = utc(2026, 1, 1, 0, 0, 7)
    times = Interval(start, MINUTE)

    first, third = times.find_next(start), times.find_next(start + MINUTE * 2.5)

    assert (first, third) == (start + MINUTE, start + MINUTE * 3)
    assert times.find_last(start + MINUTE * 2.5) == start + MINUTE * 2
    assert times.find_last(start) is None
    assert times.count(start, start + DAY) == 1440
    assert times.count(start + DAY, start) == 0


def test_an_interval_ends_with_the_calendar() -> None:
    """Beyond the last year there is no next moment, and no error."""
    found = Interval(utc(9999, 12, 31), DAY * 366).find_next(utc(9999, 12, 31))

    assert found is None
