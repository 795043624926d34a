"""Requests that are submitted together: those for one line are merged before any is stored."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from cidx_jobs.engine.submit.checked_request import CheckedRequest
from cidx_jobs.engine.submit.joined_job import merge_keys, merge_labels, merge_options, merge_urls
from cidx_jobs.model.errors import Fault, ValidationError
from cidx_jobs.model.job.submit import SubmitRequest


class Batch:
    """Requests that come together, and the fewer that stand for all of them."""

    def __init__(
        self, wanted: Sequence[CheckedRequest], priority_of: Callable[[SubmitRequest], int]
    ) -> None:
        """Merge those for the same line into the first of them, as if they came one by one.

        *priority_of* tells what a request asks for that names no priority.

        Raises:
            ValidationError: one job would have more labels, keys or URLs than a job may have.
        """
        self.merged: list[CheckedRequest] = []
        """One request for each job that is to be."""
        self.numbers: list[int] = []
        """For each of the requests, which of the merged ones stands for it."""
        self.projects = [each.project for each in wanted if each.project is not None]
        """What the requests say of their projects."""
        self._priority_of = priority_of
        self._merge_all(wanted)

    def _merge_all(self, wanted: Sequence[CheckedRequest]) -> None:
        number_of_line: dict[tuple[str, ...], int] = {}
        for place, each in enumerate(wanted):
            number = len(self.merged)
            line = _line_of(each)
            if line is not None:
                number = number_of_line.setdefault(line, number)
            self.numbers.append(number)
            if number == len(self.merged):
                self.merged.append(each)
            else:
                with faults_of(place):
                    self.merged[number] = self._merge(self.merged[number], each)

    def _merge(self, first: CheckedRequest, second: CheckedRequest) -> CheckedRequest:
        """Return the request that stands for both."""
        old, new = first.request, second.request
        merged = replace(
            old,
            options=merge_options(old.options, new.options),
            priority=max(self._priority_of(old), self._priority_of(new)),
            labels=merge_labels(old.labels, new.labels),
            limits=merge_keys(old.limits, new.limits),
            notify=None,
            merged_urls=merge_urls(old.urls, new.urls),
        )
        return CheckedRequest(merged, first.job_type, second.project)


@contextmanager
def faults_of(place: int) -> Iterator[None]:
    """Let the pointers of what is refused begin with the place of its request."""
    try:
        yield
    except ValidationError as error:
        error.faults = tuple(
            Fault(f"/{place}{fault.pointer}", fault.message) for fault in error.faults
        )
        raise


def _line_of(checked: CheckedRequest) -> tuple[str, ...] | None:
    """Return the line that the request's job will stand in, if in one."""
    request = checked.request
    if not checked.job_type.exclusive or request.hold or request.start_at is not None:
        return None
    return request.user_id, request.project_id, request.job_type
