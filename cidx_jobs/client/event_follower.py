"""The live stream of a job's transitions, gone on with after every gap."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import attrs

from cidx_jobs.client.backoff import Backoff
from cidx_jobs.client.client import JobsClient
from cidx_jobs.client.errors import NetworkConnectionError, ServerError
from cidx_jobs.client.job_follower import Notice, PollingConfig
from cidx_jobs.wire.encode import decode
from cidx_jobs.wire.events import EventDocument

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
        """Yield the events that are whole with this piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
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
    absence = _Absence(config or PollingConfig(), notice)
    error: NetworkConnectionError | ServerError
    while True:
        try:
            async with client.stream_events(job_id, after=after) as pieces:
                absence.end()
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
        await absence.sit_out(error)


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    reader = EventReader()
    async for piece in pieces:
        for event in reader.feed(piece):
            yield event


class _Absence:
    """How long the server has been away by now, and when to ask again."""

    def __init__(self, config: PollingConfig, notice: Notice) -> None:
        self._config = config
        self._notice = notice
        self._backoff = Backoff(config.retry)
        self._since: float | None = None

    def end(self) -> None:
        """Take note that the server is there."""
        if self._since is not None:
            self._since = None
            self._notice("the server is back")
        self._backoff.reset()

    async def sit_out(self, error: NetworkConnectionError | ServerError) -> None:
        """Wait before the next try; raise the error when it has been too long."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
            self._notice(f"{error.message}; trying again")
        elif now - self._since > self._config.away_seconds:
            raise error
        pause = self._backoff.next_seconds(error.retry_after_seconds)
        await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, pause))
