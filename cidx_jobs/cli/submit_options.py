"""What ``submit`` is told, read from the command line."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs
import click
import msgspec

from cidx_jobs.client import JobsClient
from cidx_jobs.wire.jobs import JobDocument


@attrs.frozen(kw_only=True)
class Wanted:
    """A job that somebody wants."""

    job_type: str
    project: str
    members: dict[str, Any]
    """The other arguments of `JobsClient.submit`."""

    async def submit(self, client: JobsClient) -> JobDocument:
        """Submit it."""
        return await client.submit(self.job_type, self.project, **self.members)


def read_wanted(
    *,
    job_type: str,
    project: str,
    options: Iterable[str],
    labels: Iterable[str],
    run_timeout: float | None,
    start_at: str | None,
    idempotency_key: str | None,
    **members: Any,
) -> Wanted:
    """Read the parameters of the command ``submit``.

    Raises:
        click.UsageError: one of them is not understood; the text names it.
    """
    if idempotency_key is not None and not (idempotency_key and idempotency_key.isprintable()):
        message = "--idempotency-key: it must be 1 to 255 visible ASCII characters"
        raise click.UsageError(message)
    pairs = read_pairs(options, "--option")
    members |= {
        "options": {name: read_value(value) for name, value in pairs.items()},
        "labels": read_pairs(labels, "--label"),
        "timeout_seconds": run_timeout,
        "start_at": read_time(start_at),
        "idempotency_key": idempotency_key,
    }
    return Wanted(job_type=job_type, project=project, members=members)


def read_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Give ``K=V`` texts as a mapping.

    Raises:
        click.UsageError: one of them has no ``=``.
    """
    pairs = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name:
            message = f"{option} {text}: it must be K=V"
            raise click.UsageError(message)
        pairs[name] = value
    return pairs


def read_value(text: str) -> Any:
    """Give the JSON value that *text* is, or the text itself when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def read_time(text: str | None) -> datetime | None:
    """Give a time; one without an offset is local time.

    Raises:
        click.UsageError: it is no time.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"--start-at {text}: it must be a time such as 2030-01-31T18:00:00Z"
        raise click.UsageError(message) from error
