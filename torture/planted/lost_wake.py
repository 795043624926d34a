"""Every other change wakes nobody."""

import itertools
from collections.abc import Sequence

from cidx_jobs.engine.state.notifier import Notifier
from cidx_jobs.model.job.job import Job, Transition
from torture.jobs import TYPES

__all__ = ["TYPES"]

_publish = Notifier.publish
_numbers = itertools.count()


def _tell_some(self: Notifier, job: Job, transitions: Sequence[Transition]) -> None:
    if next(_numbers) % 2:
        _publish(self, job, transitions)


Notifier.publish = _tell_some  # type: ignore[method-assign]
