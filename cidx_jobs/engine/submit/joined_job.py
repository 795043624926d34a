"""A waiting job that serves another request, too: what it takes on of it (api.md 1.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.new_job import NewJobs
from cidx_jobs.job_types import JobTypes
from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.job.events import Event, Revise
from cidx_jobs.model.job.job import Job, JobStatus, JsonObject
from cidx_jobs.model.job.key_limits import KeyLimits
from cidx_jobs.model.job.packed import pack
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.limits import MAX_KEYS, MAX_LABELS
from cidx_jobs.model.listing import Change
from cidx_jobs.model.webhooks.notify_url import MAX_URLS


class JoinedJobs:
    """Makes the changes by which waiting jobs serve further requests; nothing is stored here."""

    def __init__(
        self, job_types: JobTypes, board: Board, ledger: JobLedger, new_jobs: NewJobs
    ) -> None:
        """Take the parts; *new_jobs* knows what a request alone would get."""
        self._job_types = job_types
        self._board = board
        self._ledger = ledger
        self._new_jobs = new_jobs

    def join(self, job: Job, request: SubmitRequest, *, goes_first: bool) -> Change:
        """Return the change by which a waiting job serves the request, too.

        Where it *goes first*, the head of its line waits for a back-off, and they change places.

        Raises:
            ValidationError: the job would have more labels, keys or URLs than a job may have.
        """
        priority = max(job.priority, self._new_jobs.priority_of(request))
        labels = merge_labels(job.labels, request.labels)
        options = merge_options(job.options, request.options)
        needs_key = job.status is JobStatus.QUEUED and priority != job.priority
        events: list[Event] = [
            Revise(
                priority=priority,
                labels=labels,
                options=pack(options),
                limits=self._limits(job, request, options),
                notify=merge_urls(job.notify, request.urls),
                key=self._board.make_key(job, priority) if needs_key else None,
                end_backoff=job.is_between_attempts,
                from_start=options != job.options,
                reason="joined",
            )
        ]
        if goes_first:
            events.append(self._ledger.promotion(job))
        return self._ledger.advance(job, job, events, actor=request.actor)

    def _limits(self, job: Job, request: SubmitRequest, options: JsonObject) -> KeyLimits:
        """Return the limits of a job that serves the request, too: it keeps its user's keys."""
        job_type = self._job_types[job.job_type]
        new = self._new_jobs.limits_of(replace(request, options=options), job_type)
        keys = {each.key for each in new}
        kept = [each for each in job.limits if each.key.owner and each.key not in keys]
        _check_number("/limits", "keys", len(kept) + len(request.limits), MAX_KEYS)
        return (*kept, *new)


def merge_options(old: Mapping[str, Any], new: Mapping[str, Any]) -> JsonObject:
    """Return the newest options; a full re-index that either asks for stays asked for."""
    if old.get("full_reindex") and "full_reindex" in new:
        return {**new, "full_reindex": True}
    return dict(new)


def merge_labels(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a job that serves two requests.

    Raises:
        ValidationError: they are more than a job may have; so for keys and URLs.
    """
    merged = {**old, **new}
    _check_number("/labels", "labels", len(merged), MAX_LABELS)
    return merged


def merge_keys(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    """Return the keys of their user's own that two requests bring to one job."""
    merged = {**old, **new}
    _check_number("/limits", "keys", len(merged), MAX_KEYS)
    return merged


def merge_urls(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return where a job tells its end that serves two requests."""
    merged = tuple(dict.fromkeys((*old, *new)))
    _check_number("/notify", "URLs", len(merged), MAX_URLS)
    return merged


def _check_number(pointer: str, words: str, number: int, most: int) -> None:
    if number > most:
        message = f"at most {most} {words}, those of the job that it joins among them"
        raise ValidationError.at(pointer, message)
