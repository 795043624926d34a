"""The writer's task ends at the first error of the disk, and is never started again."""

from typing import Any

from cidx_jobs.model.errors import UnavailableError
from cidx_jobs.store import writer
from torture.jobs import TYPES

__all__ = ["TYPES"]

_answer = writer._answer


def _answer_and_die(batch: Any, commit: Any) -> None:
    _answer(batch, commit)
    error = commit.exception()
    if isinstance(error, UnavailableError):
        raise error


writer._answer = _answer_and_die
