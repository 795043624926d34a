"""How far runs are: tracked as they report, and stored at most every interval, together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.background import Background
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.errors import StoreError, UnavailableError
from cidx_jobs.model.foreign import plain_count, plain_text, plain_weight
from cidx_jobs.model.job.job import (
    NO_DETAIL,
    JobWarning,
    JsonObject,
    PhaseState,
    PhaseStatus,
    ProgressDetail,
)
from cidx_jobs.model.job.phases import ALMOST_DONE, overall_progress, percent

RATE_WINDOW_SECONDS = 10.0
"""A rate is what was done in at most this long before the last report."""

_MAX_WARNINGS = 50


class ProgressSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's row shall say of its run's progress."""

    progress: int
    phase: str | None
    message: str | None
    progress_detail: ProgressDetail
    phases: tuple[PhaseState, ...]
    warnings: tuple[JobWarning, ...]

    def members(self) -> dict[str, Any]:
        """Return the members of a `Job` that this sets."""
        return msgspec.structs.asdict(self)


class ProgressTracker:
    """The progress of one run: its phases in the order they were entered, and the last report.

    The overall progress never goes back (api.md 1.2).
    """

    def __init__(self, clock: Clock, on_change: Callable[["ProgressTracker"], None]) -> None:
        """Call *on_change* with this tracker after each report."""
        self._clock = clock
        self._on_change = on_change
        self._phases: list[PhaseState] = []
        self._current: int | None = None
        self._phase_name: str | None = None
        self._progress = 0
        self._message: str | None = None
        self._detail = NO_DETAIL
        self._warnings: dict[tuple[str, str], int] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self.last_sign_at: float = clock.monotonic()
        """Monotonic seconds of the last report, or of the start."""

    @property
    def has_news(self) -> bool:
        """True once anything was reported, entered or warned of."""
        return bool(self._phases or self._warnings or self._detail is not NO_DETAIL)

    def snapshot(self) -> ProgressSnapshot:
        """Return the progress as it is now."""
        return ProgressSnapshot(
            progress=self._progress,
            phase=self._phase_name,
            message=self._message,
            progress_detail=self._detail,
            phases=tuple(self._phases),
            warnings=tuple(
                JobWarning(code=code, message=message, count=count)
                for (code, message), count in self._warnings.items()
            ),
        )

    def enter(self, name: str, weight: float) -> None:
        """Begin a phase; one that was planned under this name, else a new one at the end.

        Raises:
            RuntimeError: another phase is still going on.
            TypeError, ValueError: the weight is not a number from 0 on.
        """
        name, weight = plain_text(name), plain_weight(weight)
        if self._current is not None:
            message = f"phase {self._phases[self._current].name} has not ended"
            raise RuntimeError(message)
        names = [phase.name for phase in self._phases]
        started = PhaseState(
            name=name,
            weight=weight,
            status=PhaseStatus.RUNNING,
            started_at=self._clock.now(),
        )
        if name in names:
            self._current = names.index(name)
            self._phases[self._current] = started
        else:
            self._phases.append(started)
            self._current = len(self._phases) - 1
        self._phase_name = name
        self._samples.clear()
        self._detail = NO_DETAIL
        self._message = None
        self._changed()

    def plan(self, weights: Sequence[tuple[str, float]]) -> None:
        """Show phases that are still to come, with their weights."""
        self._phases = [
            PhaseState(name=plain_text(name), weight=plain_weight(weight))
            for name, weight in weights
        ]
        self._changed()

    def leave(self, status: PhaseStatus, result: JsonObject | None) -> None:
        """End the current phase."""
        if self._current is None:
            return
        phase = self._phases[self._current]
        self._phases[self._current] = replace(
            phase,
            status=status,
            progress=100 if status is PhaseStatus.COMPLETED else phase.progress,
            finished_at=max(self._clock.now(), phase.started_at or self._clock.now()),
            message=self._message,
            result=result,
        )
        self._current = None
        self._changed()

    def report(
        self,
        *,
        done: int | None,
        total: int | None,
        unit: str | None,
        current_item: str | None,
        message: str | None,
        part: float | None,
    ) -> None:
        """Take one report: of the current phase, or of the whole where there is none.

        Raises:
            TypeError, ValueError, OverflowError: a number is none; nothing is taken.
        """
        if part is None and done is not None and total is not None:
            part = percent(done, total)
        done, total, part = plain_count(done), plain_count(total), plain_count(part)
        self.last_sign_at = self._clock.monotonic()
        rate = self._rate(done)
        self._detail = ProgressDetail(
            done=done,
            total=total,
            unit=None if unit is None else plain_text(unit),
            current_item=None if current_item is None else plain_text(current_item),
            rate_per_second=rate,
            eta_seconds=_eta(done, total, rate),
            progress_at=self._clock.now(),
            waiting_for=self._detail.waiting_for,
            memory_bytes=self._detail.memory_bytes,
            cpu_seconds=self._detail.cpu_seconds,
        )
        if message is not None:
            self._message = plain_text(message)
        if part is not None:
            self._set_part(max(0, min(100, part)))
        self._changed()

    def wait_for(self, resource: str | None) -> None:
        """Say which resource the run waits for; None when it has it."""
        # Who waits, or has just got what it waited for, is not silent for a fault of its own.
        self.last_sign_at = self._clock.monotonic()
        self._detail = replace(self._detail, waiting_for=resource, stalled=False)
        self._changed()

    def mark_stalled(self) -> None:
        """Say that nothing was reported for long; the next report takes it back."""
        if not self._detail.stalled and self._detail.waiting_for is None:
            self._detail = replace(self._detail, stalled=True)
            self._on_change(self)

    def set_usage(self, memory_bytes: int, cpu_seconds: float) -> None:
        """Say what the run's child processes use now."""
        self._detail = replace(self._detail, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
        self._on_change(self)

    def warn(self, code: str, message: str) -> None:
        """Count a warning; beyond fifty different ones only the known are counted on."""
        key = (plain_text(code), plain_text(message))
        if key in self._warnings or len(self._warnings) < _MAX_WARNINGS:
            self._warnings[key] = self._warnings.get(key, 0) + 1
            self._on_change(self)

    def _set_part(self, part: int) -> None:
        if self._current is None:
            self._progress = max(self._progress, min(ALMOST_DONE, part))
            return
        phase = self._phases[self._current]
        self._phases[self._current] = replace(phase, progress=max(phase.progress, part))

    def _changed(self) -> None:
        self._progress = max(self._progress, overall_progress(self._phases))
        self._on_change(self)

    def _rate(self, done: int | None) -> float | None:
        if done is None:
            return None
        now = self._clock.monotonic()
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        if not self._samples or now - self._samples[-1][0] >= RATE_WINDOW_SECONDS / 100:
            self._samples.append((now, done))
        while len(self._samples) > 1 and now - self._samples[1][0] > RATE_WINDOW_SECONDS:
            self._samples.popleft()
        first_at, first_done = self._samples[0]
        if now - first_at < RATE_WINDOW_SECONDS / 100:
            return None
        return round((done - first_done) / (now - first_at), 1)


class ProgressBook(Background):
    """Collects which runs have news and stores the newest state of each, once an interval."""

    task_name: ClassVar[str] = "progress-book"

    def __init__(
        self,
        save: Callable[[Sequence[tuple[ActiveRun, ProgressSnapshot]]], Awaitable[None]],
        interval_seconds: float,
    ) -> None:
        """Take the function that stores reports in one transaction."""
        self._save = save
        self._interval_seconds = interval_seconds
        self._dirty: dict[ActiveRun, ProgressTracker] = {}
        self._news = asyncio.Event()

    def mark(self, run: ActiveRun, tracker: ProgressTracker) -> None:
        """Note that the run has news."""
        self._dirty[run] = tracker
        self._news.set()

    def drop(self, run: ActiveRun) -> None:
        """Forget the run: its end stores its last progress."""
        self._dirty.pop(run, None)

    async def _go_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            reports = [(run, tracker.snapshot()) for run, tracker in self._dirty.items()]
            self._dirty.clear()
            # Progress is no promise while the disk is full: the next report tries again.
            with contextlib.suppress(UnavailableError, StoreError):
                await self._save(reports)
            await asyncio.sleep(self._interval_seconds)


def _eta(done: int | None, total: int | None, rate: float | None) -> float | None:
    if done is None or total is None or not rate or done > total:
        return None
    return round((total - done) / rate, 1)
