"""Messages between processes that share a directory: what is asked, and what comes back."""

from typing import Any, TypeVar, get_args

import msgspec
from typing_extensions import get_original_bases

from cidx_jobs.interfaces import door as commands
from cidx_jobs.interfaces.door import Command
from cidx_jobs.model import errors
from cidx_jobs.model.errors import CidxJobsError, Fault
from cidx_jobs.model.job.packed import unpacked

R = TypeVar("R")

PATH = "/internal/calls"

_KEPT = ("code", "retry_after_seconds")
"""Members of errors that are not among those that their text names."""


class Ping(Command[bool], frozen=True):
    """Answer at all."""


class WakeWaiters(Command[bool], frozen=True, kw_only=True):
    """Answer at once all that wait for a process."""

    member: str


Asked = (
    Ping
    | WakeWaiters
    | commands.CreateJob
    | commands.CreateJobs
    | commands.GetJob
    | commands.QueryJobs
    | commands.QueryEvents
    | commands.CancelJob
    | commands.RetryJob
    | commands.StartJob
    | commands.ReviseJob
    | commands.WaitForJob
    | commands.ChangeLimits
    | commands.SetPause
    | commands.RemoveProject
    | commands.AddSchedule
    | commands.GetSchedule
    | commands.ListSchedules
    | commands.ChangeSchedule
    | commands.RemoveSchedule
    | commands.RunSchedule
)
"""What one process may ask another."""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An error that the call ended with."""

    kind: str
    message: str
    members: dict[str, Any]
    kept: dict[str, Any]
    faults: tuple[tuple[str, str], ...] = ()


def encode_message(value: Any) -> bytes:
    """Return a message as bytes."""
    return msgspec.json.encode(value, enc_hook=unpacked)


def decode_answer(command: Command[R], body: bytes) -> R:
    """Return the answer to a command, from its bytes."""
    [answered] = get_original_bases(type(command))
    [kind] = get_args(answered)
    answer: R = msgspec.json.decode(body, type=kind)
    return answer


def describe_error(error: CidxJobsError) -> Failed:
    """Return the error as a message."""
    faults = getattr(error, "faults", ())
    return Failed(
        kind=type(error).__name__,
        message=error.message,
        members=error.members,
        kept={name: getattr(error, name) for name in _KEPT if hasattr(error, name)},
        faults=tuple((fault.pointer, fault.message) for fault in faults),
    )


def make_error(told: Failed) -> CidxJobsError:
    """Return the error that was told of, of the same class."""
    kind = getattr(errors, told.kind, CidxJobsError)
    known = isinstance(kind, type) and issubclass(kind, CidxJobsError)
    error: CidxJobsError = CidxJobsError.__new__(kind if known else CidxJobsError)
    CidxJobsError.__init__(error, told.message, **told.members)
    faults = tuple(Fault(pointer, message) for pointer, message in told.faults)
    for name, value in {**told.kept, **({"faults": faults} if faults else {})}.items():
        setattr(error, name, value)
    return error
