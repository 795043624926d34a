"""The door to jobs that run in another process: asked over the socket in the data directory."""

import uuid
from typing import Any, TypeVar

import aiohttp
import msgspec
from msgspec.structs import replace

from cidx_jobs.interfaces.door import Command, JobDoor, WaitForJob
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.model.job.submit import RequestKey, SubmitRequest
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.owner_connection import OwnerConnection
from cidx_jobs.web.routes.owner.calls import MAX_SECONDS
from cidx_jobs.web.routes.owner.messages import (
    PATH,
    Failed,
    Ping,
    decode_answer,
    encode_message,
    make_error,
)

R = TypeVar("R")

_ANSWER_SECONDS = 30.0
_OK = 200
_TOLD = 422


class OwnerGoneError(CidxJobsError):
    """Nobody answers at the socket, or the answer broke off."""

    code = "owner_gone"

    def __init__(self, *, was_asked: bool) -> None:
        """Build the one text there is.

        Args:
            was_asked: the question may have arrived, and what it asks may have been done.
        """
        super().__init__("no process that owns the data directory answers")
        self.was_asked = was_asked


class RemoteDoor(JobDoor):
    """Asks the owner; each call raises `OwnerGoneError` where it does not answer."""

    def __init__(self, directory: DataDirectory) -> None:
        """Belong to a directory; nothing is opened yet."""
        self._owner = OwnerConnection(directory)

    async def close(self) -> None:
        """Close the connections; the next call opens them anew."""
        await self._owner.close()

    async def ping(self) -> None:
        """Return once the owner has answered.

        Raises:
            OwnerGoneError: it does not.
        """
        await self.ask(Ping())

    async def ask(self, command: Command[R]) -> R:
        """Ask the owner; a job is waited for 20 seconds at the most."""
        asked: Command[Any] = command
        seconds = 0.0
        if isinstance(asked, WaitForJob):
            seconds = min(asked.seconds, MAX_SECONDS)
            asked = replace(asked, seconds=seconds)
        try:
            session, token = await self._owner.open(), await self._owner.read_token()
            async with session.post(
                f"http://local{PATH}",
                data=encode_message(asked),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {token}",
                },
                timeout=aiohttp.ClientTimeout(total=seconds + _ANSWER_SECONDS),
            ) as answer:
                body, status = await answer.read(), answer.status
        except (aiohttp.ClientConnectorError, FileNotFoundError) as error:
            raise OwnerGoneError(was_asked=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Others may be asking over the same session; its broken connections are dropped.
            raise OwnerGoneError(was_asked=True) from error
        if status == _OK:
            return decode_answer(command, body)
        if status == _TOLD:
            raise make_error(msgspec.json.decode(body, type=Failed))
        self._owner.forget_token()
        raise OwnerGoneError(was_asked=False)


def keyed(request: SubmitRequest) -> SubmitRequest:
    """Return the request with a key of its own, so that to ask it again makes no second job."""
    if request.request_key is not None:
        return request
    return replace(request, request_key=RequestKey(key=f"shared-{uuid.uuid4()}", fingerprint="-"))
