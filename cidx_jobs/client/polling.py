"""`JobPollingEngine`: watches one job to its end, with the progress callback of CIDX."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs

from cidx_jobs.client.calls.jobs import PolledJob
from cidx_jobs.client.client import JobsClient
from cidx_jobs.client.errors import (
    InterruptedPollingError,
    JobCancelledError,
    JobFailedError,
    JobPollingError,
    JobsClientError,
    JobTimeoutError,
)
from cidx_jobs.client.job_follower import PollingConfig, follow_job
from cidx_jobs.client.smooth_percent import PercentTicker
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.wire.jobs import JobDocument

INTERRUPT = "INTERRUPT"
"""A progress callback that returns this stops the watching."""


class ProgressCallback(Protocol):
    """What CIDX's commands show progress with."""

    def __call__(self, current: int, total: int, file_path: Path, info: str = "") -> object:
        """Show *current* of *total* with the file at hand; a *total* of 0 is a message."""


class JobPollingEngine:
    """Watches jobs, one at a time, through everything that a network does to it."""

    def __init__(
        self,
        client: JobsClient,
        progress_callback: ProgressCallback | None = None,
        config: PollingConfig | None = None,
        *,
        on_change: Callable[[JobDocument], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
        on_percent: Callable[[float], object] | None = None,
    ) -> None:
        """Take an open client and who is told.

        Args:
            client: an open client.
            progress_callback: hears of each change in percent, and of each notice as a message.
            config: how to watch.
            on_change: hears of each change with the whole job.
            on_notice: hears of a server that is away and of a job that does not move.
            on_percent: hears ten times a second, while that moves, of the percent to show: it
                glides from report to report, never passes one, goes back only at a new attempt,
                and is 100 once the job has completed.
        """
        self._client = client
        self._progress_callback = progress_callback
        self._config = config or PollingConfig()
        self._on_change = on_change
        self._on_notice = on_notice
        self._on_percent = on_percent
        self._watch: _Watch | None = None

    @property
    def is_polling(self) -> bool:
        """True while a job is watched."""
        return self._watch is not None

    async def start_polling(
        self,
        job_id: str,
        timeout_seconds: float | None = None,
        *,
        known: PolledJob | None = None,
    ) -> JobDocument:
        """Watch the job until it has completed, and return it.

        Args:
            job_id: which one.
            timeout_seconds: for how long; None takes the configuration's.
            known: the job as it was last read, which saves the first request.

        Raises:
            JobFailedError: the job failed.
            JobCancelledError: the job was cancelled.
            JobTimeoutError: the time is up; the job was cancelled if the configuration says so.
            InterruptedPollingError: `stop_polling` was called, or the callback said so.
            NetworkConnectionError: the server was away for too long.
            JobsClientError: the server refuses, or another job is being watched.
        """
        if self._watch is not None:
            message = f"job {self._watch.job_id} is being watched: one at a time"
            raise JobPollingError(message)
        timeout = self._config.timeout_seconds if timeout_seconds is None else timeout_seconds
        ticker = PercentTicker(self._on_percent) if self._on_percent else None
        self._watch = watch = _Watch(job_id=job_id, seconds_left=timeout, ticker=ticker)
        watch.job = known.job if known else None
        reader = asyncio.create_task(self._read(watch, known), name=f"poll-{job_id}")
        reader.add_done_callback(lambda _: watch.woken.set())
        try:
            await self._follow_to_end(watch, reader)
            reader.result()
        finally:
            self._watch = None
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, JobsClientError):
                await reader
        return _completed(watch)

    def stop_polling(self, *, cancel_job: bool = False) -> None:
        """Stop watching; the job goes on unless *cancel_job*. No error when nothing is watched."""
        if self._watch is not None:
            self._watch.stop(cancel_job=cancel_job)

    async def _read(self, watch: "_Watch", known: PolledJob | None) -> None:
        changes = follow_job(
            self._client, watch.job_id, self._config, known=known, notice=self._notify
        )
        async with contextlib.aclosing(changes):
            async for job in changes:
                watch.take(job)
                self._show(job)

    async def _follow_to_end(self, watch: "_Watch", reader: "asyncio.Task[None]") -> None:
        while True:
            await watch.sleep(watch.seconds_to_next(self._config.stall_seconds))
            watch.tick()
            if reader.done():
                return
            if watch.is_stopped:
                await self._interrupt(watch)
            self._warn_of_stall(watch)
            if watch.is_over and not self._try_to_extend(watch):
                await self._time_out(watch)

    async def _interrupt(self, watch: "_Watch") -> None:
        if watch.cancels_job:
            await self._client.cancel_job(watch.job_id, "its watcher was interrupted")
        message = f"the watching of job {watch.job_id} was interrupted"
        raise InterruptedPollingError(message, watch.job)

    def _try_to_extend(self, watch: "_Watch") -> bool:
        extend = self._config.extend
        if extend is None or watch.job is None or watch.extensions >= self._config.max_extensions:
            return False
        if not watch.has_moved or not extend(watch.job):
            return False
        watch.extend(self._config.extension_seconds)
        return True

    async def _time_out(self, watch: "_Watch") -> None:
        message = f"job {watch.job_id} was not done within {watch.seconds_given:g} seconds"
        if self._config.cancel_on_timeout:
            watch.job = await self._client.cancel_job(watch.job_id, "its watcher's time was up")
            message += "; it was cancelled"
        raise JobTimeoutError(message, watch.job)

    def _warn_of_stall(self, watch: "_Watch") -> None:
        quiet = watch.quiet_seconds
        for limit in self._config.stall_seconds:
            if quiet >= limit > watch.warned_seconds:
                watch.warned_seconds = limit
                if watch.is_running:
                    self._notify(f"no change for {limit:g} seconds")

    def _show(self, job: JobDocument) -> None:
        if self._on_change is not None:
            self._on_change(job)
        if self._progress_callback is None:
            return
        info = ": ".join(part for part in (job.phase or job.status, job.message) if part)
        item = job.progress_detail.current_item or ""
        self._stop_if_asked(self._progress_callback(job.progress, 100, Path(item), info=info))

    def _notify(self, text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(text)
        if self._progress_callback is not None:
            self._stop_if_asked(self._progress_callback(0, 0, Path(), info=text))

    def _stop_if_asked(self, answer: object) -> None:
        if answer == INTERRUPT:
            self.stop_polling()


@attrs.define
class _Watch:
    """What is known of the job that is watched, and how much time is left."""

    job_id: str
    seconds_left: float | None
    """From the last extension, or from the beginning; None is for ever."""
    ticker: PercentTicker | None = None
    """Reports the percent to show, where somebody asked for it."""
    job: JobDocument | None = None
    woken: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when there is something to do before the next moment that is due."""
    is_stopped: bool = False
    cancels_job: bool = False
    extensions: int = 0
    warned_seconds: float = 0.0
    seconds_given: float = 0.0
    has_moved: bool = False
    _started_at: float = attrs.field(factory=time.monotonic)
    _moved_at: float = attrs.field(factory=time.monotonic)
    _seconds_to_tick: float | None = None

    def __attrs_post_init__(self) -> None:
        """Count the time that was given at first."""
        self.seconds_given = self.seconds_left or 0.0

    def take(self, job: JobDocument) -> None:
        """Take the job's newest state: it moved."""
        self.has_moved = self.job is not None
        self.job = job
        if self.ticker is not None:
            self.ticker.take(job)
        self.warned_seconds = 0.0
        self._moved_at = time.monotonic()
        self.woken.set()

    def tick(self) -> None:
        """Report the percent to show, if it has changed."""
        if self.ticker is not None:
            self._seconds_to_tick = self.ticker.tick()

    def stop(self, *, cancel_job: bool) -> None:
        """End the watching."""
        self.is_stopped = True
        self.cancels_job = cancel_job
        self.woken.set()

    async def sleep(self, seconds: float | None) -> None:
        """Wait until it is woken, or until *seconds* have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        self.woken.clear()

    def extend(self, seconds: float) -> None:
        """Grant more time, counted from now."""
        self.extensions += 1
        self.seconds_given += seconds
        self.seconds_left = seconds
        self.has_moved = False
        self._started_at = time.monotonic()

    @property
    def is_running(self) -> bool:
        """True while the job runs: a waiting one is quiet by nature."""
        return self.job is not None and self.job.status == JobStatus.RUNNING

    @property
    def quiet_seconds(self) -> float:
        """How long ago the job last changed."""
        return time.monotonic() - self._moved_at

    @property
    def is_over(self) -> bool:
        """True once the time that was given is up."""
        return self._seconds_left() == 0

    def seconds_to_next(self, stall_seconds: tuple[float, ...]) -> float | None:
        """Return the seconds to the next tick, warning or time-out; None for never."""
        due = [rest for rest in (self._seconds_left(), self._seconds_to_tick) if rest is not None]
        due += [
            limit - self.quiet_seconds for limit in stall_seconds if limit > self.warned_seconds
        ]
        return max(0.0, min(due)) + 0.001 if due else None

    def _seconds_left(self) -> float | None:
        if self.seconds_left is None:
            return None
        return max(0.0, self._started_at + self.seconds_left - time.monotonic())


def _completed(watch: _Watch) -> JobDocument:
    job = watch.job
    if job is None or not job.done:
        message = f"the watching of job {watch.job_id} ended before the job"
        raise JobPollingError(message, job)
    if job.status == JobStatus.FAILED:
        raise JobFailedError(job)
    if job.status == JobStatus.CANCELLED:
        raise JobCancelledError(job)
    return job
