"""The writer's task ends at the first error of the disk, and is never started again."""

from typing import Any

from cidx_jobs.model.errors import UnavailableError
from cidx_jobs.store.sqlite.commit import writer
from torture.jobs import TYPES

__all__ = ["TYPES"]

_refuse = writer._refuse


def _refuse_and_die(batch: Any, error: BaseException) -> None:
    _refuse(batch, error)
    # A list is a batch that met the error; the rest of the queue comes as it is, at the end.
    if isinstance(batch, list) and isinstance(error, UnavailableError):
        raise error


writer._refuse = _refuse_and_die
