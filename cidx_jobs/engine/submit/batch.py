"""Requests that are submitted together: those for one line are merged before any is stored."""

from collections.abc import Sequence

from msgspec.structs import replace

from cidx_jobs.engine.submit.checked_request import CheckedRequest
from cidx_jobs.engine.submit.joined_job import merge_options


class Batch:
    """Requests that come together, and the fewer that stand for all of them."""

    def __init__(self, wanted: Sequence[CheckedRequest]) -> None:
        """Merge those for the same line into the first of them, as if they came one by one."""
        self.merged: list[CheckedRequest] = []
        """One request for each job that is to be."""
        self.numbers: list[int] = []
        """For each of the requests, which of the merged ones stands for it."""
        self.projects = [each.project for each in wanted if each.project is not None]
        """What the requests say of their projects."""
        self._merge_all(wanted)

    def _merge_all(self, wanted: Sequence[CheckedRequest]) -> None:
        number_of_line: dict[tuple[str, ...], int] = {}
        for each in wanted:
            number = len(self.merged)
            line = _line_of(each)
            if line is not None:
                number = number_of_line.setdefault(line, number)
            self.numbers.append(number)
            if number == len(self.merged):
                self.merged.append(each)
            else:
                self.merged[number] = _merge(self.merged[number], each)


def _line_of(checked: CheckedRequest) -> tuple[str, ...] | None:
    """Return the line that the request's job will stand in, if in one."""
    request = checked.request
    if not checked.job_type.exclusive or request.hold or request.start_at is not None:
        return None
    return request.user_id, request.project_id, request.job_type


def _merge(first: CheckedRequest, second: CheckedRequest) -> CheckedRequest:
    """Return the request that stands for both."""
    old, new = first.request, second.request
    priorities = [one.priority for one in (old, new) if one.priority is not None]
    merged = replace(
        old,
        options=merge_options(old.options, new.options),
        priority=max(priorities, default=None),
        labels={**old.labels, **new.labels},
        limits={**old.limits, **new.limits},
    )
    return CheckedRequest(merged, first.job_type, second.project)
