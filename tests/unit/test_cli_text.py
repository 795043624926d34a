"""What the command line shows: text made safe, lines made to fit, codes made of ends."""

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cidx_jobs.cli.error_report import advise, exit_code_of_error, exit_code_of_job
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.terminal.job_lines import change_line, live_line, report, resumption
from cidx_jobs.cli.terminal.live_display import ChangeLines, LiveLine, make_display
from cidx_jobs.cli.terminal.text import (
    cells,
    duration,
    fit,
    fit_path,
    interval,
    moment,
    pad,
    table,
)
from cidx_jobs.client import (
    AuthenticationError,
    ConflictError,
    JobsClientError,
    JobTimeoutError,
    NetworkConnectionError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    RequestRefusedError,
    ServerBusyError,
)
from cidx_jobs.model.errors import CidxJobsError, SettingsError
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.jobs import JobDocument
from tests.canned_server import JOB_ID, error_document, job_document

NOW = datetime(2030, 1, 1, 0, 0, 11, tzinfo=UTC)


def make_job(*, detail: dict[str, Any] | None = None, **members: Any) -> JobDocument:
    """Give a job as the client reads it."""
    document = job_document(**members)
    document["progress_detail"] |= detail or {}
    return msgspec.convert(document, JobDocument)


INDEXING = make_job(
    progress=42,
    phase="indexing",
    message="150 of 500 files",
    detail={
        "done": 150,
        "total": 500,
        "unit": "files",
        "current_item": "src/cidx_jobs/client/api.py",
        "rate_per_second": 45.2,
        "eta_seconds": 8,
    },
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.py", "plain.py"),
        ("日本語.py", "日本語.py"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("gpj.\u202efdp", "gpj.\\u202efdp"),
        ("\u2066x\u2069\u200b", "\\u2066x\\u2069\\u200b"),
        ("\x9b31m", "\\x9b31m"),
        ("half \udcff", "half \\udcff"),
        ("\u2028next", "\\u2028next"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown(text: str, shown: str) -> None:
    """Controls, bidi overrides, zero-width marks and lone surrogates become escapes."""
    assert escape(text) == shown


@given(st.text())
def test_escaped_text_is_always_printable(text: str) -> None:
    """Whatever a server sends, nothing that comes out can move the cursor or reorder text."""
    assert all(character.isprintable() or character.isspace() for character in escape(text))
    assert not set(escape(text)) & set("\x1b\x9b\r\n\t\x07\x08\u202e\u2066\u200f")


@given(st.text(), st.integers(0, 60))
def test_fitted_text_fits(text: str, width: int) -> None:
    """Neither end of a text that was cut ever takes more columns than there are."""
    assert cells(fit(escape(text), width)) <= width
    assert cells(fit_path(escape(text), width)) <= width


def test_a_text_is_cut_at_its_end_and_a_path_at_its_beginning() -> None:
    """Of a path the end says most."""
    assert fit("a long message", 7) == "a long~"
    assert fit_path("src/cidx/api.py", 7) == "~api.py"
    assert fit("short", 5) == "short"


def test_wide_characters_count_twice() -> None:
    """A terminal gives two columns to most of East Asia's characters."""
    assert cells("日本") == 4
    assert cells("e\u0301") == 1
    assert pad("日本", 6) == "日本  "


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0.44, "0.4s"),
        (12.3, "12s"),
        (185, "3m05s"),
        (7_800, "2h10m"),
        (360_000, "4d04h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


@pytest.mark.parametrize("width", range(20, 201, 9))
def test_the_live_line_fits_every_width(width: int) -> None:
    """It never takes more columns than there are, and always has bar and percent."""
    line = live_line(INDEXING, width)

    assert cells(line) <= width
    assert line.startswith("[")
    assert " 42%" in line


def test_the_live_line_at_40_columns_has_it_all() -> None:
    """Even a narrow terminal shows bar, percent, phase, rate, estimate and the file's end."""
    assert live_line(INDEXING, 40) == "[##----]  42% indexing 45/s 8s ~t/api.py"


def test_the_live_line_at_80_columns_has_more() -> None:
    """More room goes to the bar, the unit and the path."""
    assert live_line(INDEXING, 80) == (
        "[######----------]  42% indexing 45.2 files/s eta 8s src/cidx_jobs/client/api.py"
    )


def test_hostile_names_in_the_live_line_are_escaped() -> None:
    """Neither the file, the phase nor the message can act on the terminal."""
    job = make_job(phase="a\x07", detail={"current_item": "b\x1b[2J\u202ec"})
    other = make_job(phase="a", message="d\re")

    assert live_line(job, 80).endswith(" 0% a\\x07 b\\x1b[2J\\u202ec")
    assert live_line(other, 80).endswith(" d\\re")


def test_the_estimate_counts_down() -> None:
    """Between two reports the time that has passed is taken off, down to nothing."""
    assert "eta 5s" in live_line(INDEXING, 80, age_seconds=3.2)
    assert "eta 0s" in live_line(INDEXING, 80, age_seconds=99)


@pytest.mark.parametrize(
    ("members", "line"),
    [
        (
            {
                "status": "queued",
                "queue": {
                    "position": 3,
                    "length": 10,
                    "blocked_by": ["user_limit"],
                    "estimated_wait_seconds": [20, 90],
                },
            },
            "queued (position 3 of 10, user limit, starts in 20s to 1m30s)",
        ),
        (
            {
                "status": "queued",
                "queue": {
                    "position": 1,
                    "length": 1,
                    "blocked_by": [],
                    "estimated_wait_seconds": [0, 0],
                },
            },
            "queued (position 1 of 1, starts now)",
        ),
        (
            {
                "status": "queued",
                "queue": {
                    "position": 1,
                    "length": 1,
                    "blocked_by": [],
                    "estimated_wait_seconds": [0, 12],
                },
            },
            "queued (position 1 of 1, starts within 12s)",
        ),
        (
            {
                "status": "queued",
                "queue": {
                    "position": 1,
                    "length": 1,
                    "blocked_by": ["recovering"],
                    "until": "2030-01-01T00:00:30.5Z",
                    "estimated_wait_seconds": None,
                },
            },
            "queued (position 1 of 1, recovering, until 2030-01-01T00:00:30Z at the latest)",
        ),
        (
            {
                "status": "created",
                "queue": {
                    "position": None,
                    "length": 1,
                    "blocked_by": ["project_busy"],
                    "estimated_wait_seconds": None,
                },
            },
            "created (project busy)",
        ),
        (
            {
                "status": "queued",
                "queue": {
                    "position": 2,
                    "length": 2,
                    "blocked_by": [f"limit:copy:{'a' * 32}", "limit:copy:mine", "limit:t:7"],
                    "estimated_wait_seconds": None,
                },
            },
            "queued (position 2 of 2, another sync of its repository, limit:copy:mine, limit:t:7)",
        ),
        ({"cancel_requested_at": "2030-01-01T00:00:03Z", "progress": 7}, "  7% stopping"),
        ({"detail": {"waiting_for": "git"}, "progress": 5}, "  5% waiting for git"),
        ({"progress": 5, "phase": "x", "message": "a\x1b[2Jb"}, "  5% x a\\x1b[2Jb"),
        ({"status": "completed"}, "completed"),
        (
            {"progress": 1, "detail": {"rate_per_second": 2_500_000, "unit": "bytes"}},
            "  1% running 2.5 MB/s",
        ),
    ],
)
def test_a_line_says_how_the_job_stands(members: dict[str, Any], line: str) -> None:
    """Waiting says where and why, stopping says so, hostile text is escaped."""
    assert change_line(make_job(**members)) == line


def test_the_report_of_a_sync_has_phases_files_and_warnings() -> None:
    """The end of a sync in a few lines."""
    phase = {
        "name": "git_sync",
        "status": "completed",
        "weight": 0.35,
        "progress": 100,
        "started_at": "2030-01-01T00:00:01Z",
        "finished_at": "2030-01-01T00:00:03.5Z",
        "message": None,
        "result": None,
    }
    result = {
        "commit_before": "a" * 40,
        "commit_after": "b" * 40,
        "files_added": 12,
        "files_modified": 3,
        "files_deleted": 1,
        "files_indexed": 15,
        "files_skipped": 2,
        "files_total": 500,
        "resumed_from": {"phase": "indexing", "files": 120},
    }
    job = make_job(
        status="completed",
        phases=[phase],
        result=result,
        warnings=[{"code": "FILE_SKIPPED", "message": "big.bin is too large", "count": 2}],
    )

    assert list(report(job, NOW)) == [
        f"job {JOB_ID} completed in 4.0s",
        "  project     project (repository_sync)",
        "  commit      aaaaaaaaaaaa -> bbbbbbbbbbbb",
        (
            "  files       12 added, 3 modified, 0 renamed, 1 deleted; 15 indexed, 2 skipped, "
            "500 in all"
        ),
        "  resumed     from phase indexing, after 120 files",
        "  phases      git_sync 2.5s",
        "  warning     big.bin is too large (2 times) [FILE_SKIPPED]",
    ]


def test_the_report_of_a_failure_says_what_to_do() -> None:
    """The error with its code, and each action."""
    job = make_job(status="failed", error=error_document() | {"retryable": True})

    assert list(report(job, NOW))[-3:] == [
        "  error       the repository has no branch nope [GIT-002]",
        "  to do       Check the branch name.",
        f"  to do       cidx-jobs retry {JOB_ID}",
    ]


def test_the_report_of_another_type_shows_its_result_as_json() -> None:
    """As the document has it, and not as a language would write it."""
    job = make_job(job_type="steps", status="completed", result={"ok": True, "left": None})

    assert '  result      {"ok":true,"left":null}' in list(report(job, NOW))


def test_a_report_says_what_is_no_longer_kept() -> None:
    """Where options or result were there once."""
    job = replace(INDEXING, removed=("options", "result"))

    assert "  removed     options, result: kept only for a time" in list(report(job, NOW))


def test_the_report_of_a_running_job_says_since_when() -> None:
    """How long, and which attempt."""
    assert "  runs since  10s, attempt 1 of 3" in list(report(INDEXING, NOW))


def test_a_job_that_was_interrupted_says_what_it_goes_on_from() -> None:
    """The checkpoint's phase; a job in its first run goes on from nothing, checkpoint or not."""
    checkpoint = {"phase": "indexing", "saved_at": "2030-01-01T00:00:03Z"}

    def after(*outcomes: str) -> str | None:
        attempts = [
            {
                "attempt": 1,
                "started_at": "2030-01-01T00:00:01Z",
                "finished_at": "2030-01-01T00:00:04Z",
                "outcome": outcome,
                "error": None,
            }
            for outcome in outcomes
        ]
        return resumption(make_job(checkpoint=checkpoint, attempts=attempts))

    assert resumption(INDEXING) is None
    assert after() is None
    assert "was interrupted and goes on from phase indexing" in (after("interrupted") or "")
    assert "interrupted" not in (after("failed") or "goes on")


def test_a_table_keeps_its_columns() -> None:
    """Columns line up, and a line is cut to the width that there is."""
    rows = [("a", "bb"), ("ccc", "d")]

    assert list(table(("X", "LONG"), rows, None)) == ["X    LONG", "a    bb", "ccc  d"]
    assert next(table(("X", "LONG"), rows, 6)) == "X    ~"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"status": "completed"}, 0),
        ({"status": "failed", "error": error_document()}, 5),
        ({"status": "failed", "error": error_document("IDX-001", "indexing")}, 1),
        ({"status": "failed", "error": error_document("AUTH-001", "authentication")}, 1),
        ({"status": "cancelled"}, 6),
        ({"status": "running"}, 4),
    ],
)
def test_each_end_of_a_job_has_its_exit_code(members: dict[str, Any], code: int) -> None:
    """0 done, 5 failed in git, 1 failed otherwise, 6 cancelled, 4 not done in time."""
    assert exit_code_of_job(make_job(**members)) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestRefusedError("x", status=422), 1),
        (ServerBusyError("x"), 1),
        (JobsClientError("x"), 1),
        (PreconditionFailedError("x"), 1),
        (SettingsError("x"), 1),
        (AuthenticationError("x"), 2),
        (PermissionDeniedError("x"), 2),
        (NetworkConnectionError("x"), 3),
        (JobTimeoutError("x"), 4),
        (NotFoundError("x"), 7),
        (ConflictError("x"), 8),
    ],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_each_error_has_its_exit_code(error: CidxJobsError, code: int) -> None:
    """The table of api.md, section 4."""
    assert exit_code_of_error(error) == code


def test_the_exit_codes_are_those_of_the_contract() -> None:
    """They are written into other people's scripts."""
    assert {code.name: code.value for code in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "AUTHENTICATION": 2,
        "NETWORK": 3,
        "TIMEOUT": 4,
        "GIT_FAILED": 5,
        "CANCELLED": 6,
        "NOT_FOUND": 7,
        "CONFLICT": 8,
        "USAGE": 64,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_errors_say_what_to_do() -> None:
    """A pause that the server asks for, a request to look for, or a command to run."""
    busy = ServerBusyError("full", retry_after_seconds=5)

    assert advise(busy) == "Try again in 5 seconds."
    assert "r-9" in (advise(ServerBusyError("x", members={"request_id": "r-9"})) or "")
    assert "cidx-jobs serve" in (advise(NetworkConnectionError("x")) or "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_a_live_line_is_drawn_over_itself_in_the_width_of_the_moment() -> None:
    """Each drawing begins with a carriage return, and a resized terminal gets its own width."""
    stream, width = Terminal(), [81]
    live = LiveLine(stream, width=lambda: width[0])

    live.show(INDEXING)
    width[0] = 41
    live.tick()
    live.close()

    drawn = stream.getvalue().split("\r\x1b[K")
    assert [cells(line) for line in drawn] == [0, 80, 40, 0]
    assert "\u2588" in drawn[1]


def test_a_live_line_glides_and_is_drawn_only_where_it_is_another() -> None:
    """Between two reports the percent moves; what has not changed is not written again."""
    stream, now = Terminal(), [0.0]
    live = LiveLine(stream, width=lambda: 81, now=lambda: now[0])
    live.show(make_job(progress=10, phase="indexing"))
    live.show(make_job(progress=30, phase="indexing"))
    for tick in range(30):
        now[0] = tick / 10
        live.tick()

    drawn = re.findall(r"\s(\d+)% indexing", stream.getvalue())
    assert drawn == [str(percent) for percent in range(10, 31, 2)]


def test_a_notice_stands_above_the_live_line() -> None:
    """What is to be read stays, and the line is drawn again under it."""
    stream = Terminal()
    live = LiveLine(stream, width=lambda: 41)

    live.show(INDEXING)
    live.notice("the server\x1b is away")

    assert "the server\\x1b is away\n\r\x1b[K[" in stream.getvalue()


def test_elsewhere_each_change_is_a_line() -> None:
    """No control codes, and no line twice."""
    stream = io.StringIO()
    lines = ChangeLines(stream)

    lines.show(INDEXING)
    lines.show(INDEXING)
    lines.tick()
    lines.notice("the server is away")
    lines.close()

    assert stream.getvalue() == (
        " 42% indexing 150 of 500 files 45.2 files/s\nthe server is away\n"
    )


def test_a_terminal_that_cannot_move_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb is no terminal for a live line; a pipe is none either."""
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_display(Terminal()), LiveLine)
    assert isinstance(make_display(io.StringIO()), ChangeLines)

    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Terminal()), ChangeLines)


def test_ages_are_counted_from_the_creation_of_a_waiting_job() -> None:
    """A job that has not started waits since it was made."""
    job = make_job(status="queued", started_at=None, attempt=0)

    assert "  waits since 1m00s" in list(report(job, NOW + timedelta(seconds=49)))


def test_the_report_says_what_became_of_notices() -> None:
    """Of each URL the last try; before the end of the job none is expected."""
    url, other = "https://ci.example/done", "https://other.example"
    waiting = make_job(notify=[url])
    tries = [
        {"at": "2030-01-01T00:00:05Z", "url": url, "status": 503, "error": "answered 503"},
        {"at": "2030-01-01T00:00:10Z", "url": url, "status": 200, "error": None},
        {"at": "2030-01-01T00:00:05Z", "url": other, "status": None, "error": "timed out"},
    ]
    done = make_job(status="completed", notify=[url, other, "https://third"], deliveries=tries)

    lines = [
        line.split("notice", 1)[1].strip()
        for job in (waiting, done)
        for line in report(job, NOW)
        if line.startswith("  notice")
    ]

    five, ten = (moment(datetime(2030, 1, 1, 0, 0, at, tzinfo=UTC)) for at in (5, 10))
    assert lines == [
        f"{url}: when it is done",
        f"{url}: told at {ten}",
        f"{other}: not taken at {five}: timed out",
        "https://third: not tried yet",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "90s"), (900, "15m"), (28_800, "8h"), (604_800, "7d")]
)
def test_an_interval_is_shown_as_options_take_it(seconds: int, text: str) -> None:
    """In the largest unit that it is a whole number of."""
    assert interval(seconds) == text
