"""The log is one line an event, without secrets, and never a reason to fail."""

import io
import json
import logging
from typing import Any

import pytest
import structlog

from cidx_jobs import Settings, setup_logging
from cidx_jobs.observe.line_writer import LineWriter
from cidx_jobs.observe.logs import to_json
from cidx_jobs.runtime.log import get_logger

TOKEN = "cidxj_" + "a" * 43


@pytest.fixture
def stream() -> io.StringIO:
    """Give a stream that the log is written to as JSON."""
    stream = io.StringIO()
    set_up(stream)
    return stream


def set_up(stream: io.StringIO, level: str = "info", form: str | None = "json") -> LineWriter:
    """Set the log up with these settings."""
    return setup_logging(Settings(log_level=level, log_format=form), stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Give the events that were logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(stream: io.StringIO) -> None:
    """Time, level and name come first, data as fields."""
    get_logger("test").info("job_moved", job_id="j1", version=3, level="own", timestamp="own")
    get_logger("test").info("bare")

    event, bare = lines(stream)
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert event["timestamp"].endswith("Z")
    assert (event["level"], event["event"]) == ("info", "job_moved")
    assert (event["job_id"], event["version"]) == ("j1", 3)
    assert (bare["level"], bare["event"]) == ("info", "bare")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    [
        "two\nlines", "cr\rlf\n", "\x1b[2J", "\u2028sep\u2029", "\u202eevil", "nul\x00", "\ud800",
        "del\x7f",
    ],
)  # fmt: skip
def test_whatever_is_sent_stays_on_one_line(log_format: str, text: str) -> None:
    """Line ends, terminal codes and half surrogate pairs come out escaped."""
    stream = io.StringIO()
    set_up(stream, form=log_format)

    get_logger("test").info("request_refused", path=text, inside={"a": [text], text: 1})

    output = stream.getvalue()
    assert len(output.splitlines()) == 1
    assert not set("\x1b\r\x00\x7f") & set(output)


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        "https://user:s3cr3t@example.com/a.git",
        "password=s3cr3t",
        'token: "s3cr3tvalue"',
        "long " * 100 + "password=s3cr3t",
    ],
)
def test_no_secret_reaches_a_line(stream: io.StringIO, secret: str) -> None:
    """Tokens, passwords and user:pass@ are replaced wherever they stand, each time anew."""
    deep = {"a": [{"b": secret}]}

    for _ in range(2):
        get_logger("test").info(secret, text=secret, deep=deep, error=ValueError(secret))

    assert TOKEN not in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()


@pytest.mark.parametrize("name", ["token", "password", "admin_token", "Authorization", "jwt_key"])
def test_a_field_with_a_secret_name_is_never_shown(stream: io.StringIO, name: str) -> None:
    """The name is enough, whatever the value looks like."""
    get_logger("test").info("x", **{name: "plain"}, deep={name: "plain"})

    assert "plain" not in stream.getvalue()


def test_a_traceback_is_in_its_line_without_secrets(stream: io.StringIO) -> None:
    """An exception's text is redacted as all texts are."""
    try:
        int(TOKEN)
    except ValueError:
        get_logger("test").exception("request_failed")

    (event,) = lines(stream)
    assert "ValueError" in event["exception"]
    assert TOKEN not in event["exception"]


@pytest.mark.parametrize(
    "value", [2**70, {1, 2}, b"bytes", object(), float("nan"), [[[[[[[1]]]]]]]]
)
def test_any_value_can_be_logged(stream: io.StringIO, value: Any) -> None:
    """What JSON has not is written as text."""
    get_logger("test").info("x", value=value)

    assert "value" in lines(stream)[0]


class FullDisk(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _: str, /) -> int:
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_dropped_and_counted() -> None:
    """A full disk, or a stream that is closed, harms nobody but the log."""
    writer = set_up(FullDisk())
    closed = io.StringIO()
    closed.close()

    get_logger("test").info("x")
    other = LineWriter(closed)
    other.write("x")

    assert (writer.dropped, other.dropped) == (1, 1)


def test_the_level_holds() -> None:
    """What is below it is not written, by a logger that was there before it was set, too."""
    stream = io.StringIO()
    log = get_logger("test")
    set_up(stream, "warning")

    log.info("quiet")
    log.warning("loud")
    set_up(stream, "debug")
    log.debug("heard")

    assert [event["event"] for event in lines(stream)] == ["loud", "heard"]


def test_what_libraries_log_comes_out_the_same_way(stream: io.StringIO) -> None:
    """A record of `logging` is one line with its logger's name."""
    logging.getLogger("aiohttp.server").error("Error %s", TOKEN)
    try:
        int(TOKEN)
    except ValueError:
        logging.getLogger("asyncio").exception("failed")

    first, second = lines(stream)
    assert (first["logger"], first["level"]) == ("aiohttp.server", "error")
    assert TOKEN not in first["text"]
    assert "ValueError" in second["exception"]
    assert TOKEN not in second["exception"]


def test_a_record_that_cannot_be_put_together_is_a_line_all_the_same() -> None:
    """Of a library that gave its format something else than that asks for."""
    record = logging.makeLogRecord({"name": "aiohttp", "msg": "Error %d", "args": ("no",)})

    assert json.loads(to_json(record))["text"] == "Error %d"


def test_a_terminal_gets_the_console_form() -> None:
    """Unset, the format follows the stream."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    set_up(stream, form=None)

    get_logger("test").info("server_ready", url="http://127.0.0.1:1")

    assert "server_ready" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_set_up_twice_writes_each_line_once(stream: io.StringIO) -> None:
    """The last call counts."""
    other = io.StringIO()
    set_up(other)

    get_logger("test").info("x")

    assert (len(lines(stream)), len(lines(other))) == (0, 1)


def test_without_a_set_up_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    """An application that says nothing of logging sees nothing of ours on its streams."""
    logging.getLogger("cidx_jobs").propagate = False

    get_logger("test").error("x")

    assert capfd.readouterr() == ("", "")
    assert any(
        isinstance(one, logging.NullHandler) for one in logging.getLogger("cidx_jobs").handlers
    )


def test_what_an_application_does_with_structlog_is_not_touched(stream: io.StringIO) -> None:
    """Neither by the set-up nor by our loggers; theirs are not ours."""
    before = structlog.get_config()

    with structlog.testing.capture_logs() as theirs:
        get_logger("test").info("ours")
        structlog.get_logger().info("theirs")

    assert structlog.get_config() == before
    assert [line["event"] for line in theirs] == ["theirs"]
    assert [line["event"] for line in lines(stream)] == ["ours"]


def test_what_is_bound_is_in_each_line(stream: io.StringIO) -> None:
    """Fields of a `bind` until an `unbind`, and what an application bound for its context."""
    log = get_logger("test").bind(job_id="j1", user_id="u1")

    with structlog.contextvars.bound_contextvars(request_id="r1", job_id="theirs"):
        log.info("x")
    log.unbind("user_id").info("y", job_id="own")

    first, second = ({**event, "timestamp": None} for event in lines(stream))
    of_each = {"timestamp": None, "level": "info"}
    assert first == of_each | {"event": "x", "job_id": "j1", "user_id": "u1", "request_id": "r1"}
    assert second == of_each | {"event": "y", "job_id": "own"}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_each_level_has_its_method(level: str) -> None:
    """Arguments go into the text of an event as by ``%``, if somebody wants that."""
    stream = io.StringIO()
    set_up(stream, "debug")

    getattr(get_logger("test"), level)("%s of %d", "one", 2)
    get_logger("test").log(logging.getLevelNamesMapping()[level.upper()], "by number")

    assert [(each["level"], each["event"]) for each in lines(stream)] == [
        (level, "one of 2"),
        (level, "by number"),
    ]


@pytest.mark.parametrize("as_tuple", [False, True])
def test_an_exception_can_be_named(stream: io.StringIO, *, as_tuple: bool) -> None:
    """As in `logging`: the error itself, or what `sys.exc_info` says of it; none is nothing."""
    error = ValueError("no whole number")

    get_logger("test").error("x", exc_info=(ValueError, error, None) if as_tuple else error)
    get_logger("test").error("y", exc_info=True)

    first, second = lines(stream)
    assert first["exception"] == "ValueError: no whole number"
    assert "exception" not in second


def test_an_applications_own_handlers_see_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """They get the record of a line that is clean, and its text names the event and its fields."""
    get_logger("test").bind(job_id="j1").warning("x_failed", text=f"by {TOKEN}")

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cidx_jobs.test", "WARNING")
    assert record.getMessage() == "x_failed job_id='j1' text='by [token]'"
    assert record.filename == "test_logs.py"
