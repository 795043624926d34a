"""Reader of a job's event stream (server-sent events), which resumes after every gap."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import attrs

from cidx_jobs.client.backoff import Notice, Outage
from cidx_jobs.client.client import JobsClient
from cidx_jobs.client.errors import (
    NetworkConnectionError,
    ServerError,
    UnexpectedAnswerError,
)
from cidx_jobs.client.job_follower import PollingConfig
from cidx_jobs.wire.encode import decode
from cidx_jobs.wire.events import EventDocument

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The largest event that is taken; the server's are far smaller."""
SHORTEST_PAUSE_SECONDS = 0.5
"""Between two openings of a stream."""


@attrs.frozen
class ServerEvent:
    """One event of a stream (WHATWG, server-sent events)."""

    name: str
    data: bytes


class EventReader:
    """Cuts a stream into events; comments, and fields that are not needed, are left out."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """Yield the events that are whole with this piece.

        Raises:
            UnexpectedAnswerError: one has no end.
        """
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            message = f"an event has more than {MAX_EVENT_BYTES} bytes"
            raise UnexpectedAnswerError(message)
        for block in whole:
            fields = {
                name: value.removeprefix(b" ")
                for name, _, value in (line.partition(b":") for line in block.split(b"\n"))
            }
            if b"event" in fields:
                yield ServerEvent(fields[b"event"].decode(), fields.get(b"data", b""))


async def follow_events(
    client: JobsClient,
    job_id: str,
    *,
    after: int = 0,
    config: PollingConfig | None = None,
    notice: Notice = lambda _: None,
) -> AsyncGenerator[EventDocument, None]:
    """Yield each transition of the job behind the one with the number *after*, as it happens.

    It ends with the job. After a gap it goes on where it was; a server that is away is waited
    for, up to ``config.away_seconds``, and *notice* hears of it.

    Raises:
        NetworkConnectionError: the server was away for too long.
        JobsClientError: the server refuses: no such job, no valid token, or busy for too long.
    """
    chosen = config or PollingConfig()
    outage = Outage(
        chosen.retry,
        chosen.away_seconds,
        notice,
        shortest_pause_seconds=SHORTEST_PAUSE_SECONDS,
    )
    error: NetworkConnectionError | ServerError
    while True:
        try:
            async with client.stream_events(job_id, after=after) as pieces:
                outage.end()
                if pieces is None:
                    return
                async for event in _events(pieces):
                    if event.name == "end":
                        return
                    if event.name == "transition":
                        row = decode(event.data, EventDocument)
                        after = row.seq
                        yield row
            error = NetworkConnectionError("the server ended the stream")
        except (NetworkConnectionError, ServerError) as caught:
            error = caught
        await outage.wait_out(error)


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    reader = EventReader()
    async for piece in pieces:
        for event in reader.feed(piece):
            yield event
