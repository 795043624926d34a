"""The log is one line an event, without secrets, and never a reason to fail."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from cidx_jobs.observe.line_writer import LineWriter
from cidx_jobs.observe.logs import configure_logging

TOKEN = "cidxj_" + "a" * 43


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave structlog and logging as they were."""
    before = structlog.get_config()
    library = logging.getLogger("aiohttp")
    kept = (library.handlers, library.propagate, library.level)
    yield
    structlog.configure(**before)
    library.handlers, library.propagate, library.level = kept


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Give the events that were logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    """Time, level and name come first, data as fields."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    structlog.get_logger().info("job_changed", job_id="j1", version=3)

    (event,) = lines(stream)
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert event["timestamp"].endswith("Z")
    assert (event["level"], event["event"]) == ("info", "job_changed")
    assert (event["job_id"], event["version"]) == ("j1", 3)


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    ["two\nlines", "cr\rlf\n", "\x1b[2J", "\u2028sep\u2029", "\u202eevil", "nul\x00", "\ud800"],
)
def test_whatever_is_sent_stays_on_one_line(log_format: str, text: str) -> None:
    """Line ends, terminal codes and half surrogate pairs come out escaped."""
    stream = io.StringIO()
    configure_logging("info", log_format, stream)

    structlog.get_logger().info("request_refused", path=text, inside={"a": [text], text: 1})

    output = stream.getvalue()
    assert len(output.splitlines()) == 1
    assert not set("\x1b\r\x00") & set(output)


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        "https://user:s3cr3t@example.com/a.git",
        "password=s3cr3t",
        'token: "s3cr3tvalue"',
    ],
)
def test_no_secret_reaches_a_line(secret: str) -> None:
    """Tokens, passwords and user:pass@ are replaced wherever they stand."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    deep = {"a": [{"b": secret}]}
    structlog.get_logger().info("x", text=secret, deep=deep, error=ValueError(secret))

    assert TOKEN not in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()


@pytest.mark.parametrize("name", ["token", "password", "admin_token", "Authorization", "jwt_key"])
def test_a_field_with_a_secret_name_is_never_shown(name: str) -> None:
    """The name is enough, whatever the value looks like."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    structlog.get_logger().info("x", **{name: "plain"}, deep={name: "plain"})

    assert "plain" not in stream.getvalue()


def test_a_traceback_is_in_its_line_without_secrets() -> None:
    """An exception's text is redacted as all texts are."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    try:
        int(TOKEN)
    except ValueError:
        structlog.get_logger().exception("request_failed")

    (event,) = lines(stream)
    assert "ValueError" in event["exception"]
    assert TOKEN not in event["exception"]


@pytest.mark.parametrize(
    "value", [2**70, {1, 2}, b"bytes", object(), float("nan"), [[[[[[[1]]]]]]]]
)
def test_any_value_can_be_logged(value: Any) -> None:
    """What JSON has not is written as text."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    structlog.get_logger().info("x", value=value)

    assert "value" in lines(stream)[0]


class FullDisk(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _: str, /) -> int:
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_dropped_and_counted() -> None:
    """A full disk, or a stream that is closed, harms nobody but the log."""
    writer = configure_logging("info", "json", FullDisk())
    closed = io.StringIO()
    closed.close()

    structlog.get_logger().info("x")
    other = LineWriter(closed)
    other.write("x")

    assert (writer.dropped, other.dropped) == (1, 1)


def test_the_level_holds() -> None:
    """What is below it is not written."""
    stream = io.StringIO()
    configure_logging("warning", "json", stream)

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [event["event"] for event in lines(stream)] == ["loud"]


def test_what_libraries_log_comes_out_the_same_way() -> None:
    """A record of `logging` is one line with its logger's name, a bad format string too."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    logging.getLogger("aiohttp.server").error("Error %s", TOKEN)
    logging.getLogger("aiohttp.server").error("Error %d", "not a number")

    first, second = lines(stream)
    assert (first["logger"], first["level"]) == ("aiohttp.server", "error")
    assert TOKEN not in first["text"]
    assert second["text"] == "Error %d"


def test_a_terminal_gets_the_console_form() -> None:
    """Unset, the format follows the stream."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging("info", None, stream)

    structlog.get_logger().info("server_ready", url="http://127.0.0.1:1")

    assert "server_ready" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
