"""How far runs are: phases, rates, warnings, stalls."""

from cidx_jobs.engine.run.progress import ProgressTracker
from cidx_jobs.engine.run.stall_watch import STALL_SECONDS, StallWatch
from cidx_jobs.interfaces.run import ActiveRun
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import PhaseStatus
from tests.fakes import FakeClock

RUN = ActiveRun(job_id=JobId("j"), run=1)


def report(tracker: ProgressTracker, done: int, total: int | None = None) -> None:
    """Report *done* of *total* files."""
    tracker.report(
        done=done, total=total, unit="files", current_item=None, message=None, part=None
    )


def test_a_silent_run_is_marked_and_a_report_takes_it_back() -> None:
    """After 30 seconds without a report, for the reader only."""
    clock = FakeClock()
    changes: list[int] = []
    tracker = ProgressTracker(clock, lambda _: changes.append(1))
    watch = StallWatch(clock, lambda: [tracker])

    clock.advance(STALL_SECONDS - 1)
    watch.look()
    early = tracker.snapshot().progress_detail.stalled
    clock.advance(1)
    watch.look()
    watch.look()
    late = tracker.snapshot().progress_detail.stalled
    told = len(changes)
    report(tracker, 1)

    assert (early, late, told) == (False, True, 1)
    assert not tracker.snapshot().progress_detail.stalled


def test_a_run_that_is_over_is_watched_no_longer() -> None:
    """Its tracker is left alone."""
    clock = FakeClock()
    tracker = ProgressTracker(clock, lambda _: None)
    runs = [tracker]
    watch = StallWatch(clock, lambda: runs)
    runs.clear()

    clock.advance(100)
    watch.look()

    assert not tracker.snapshot().progress_detail.stalled


def test_the_rate_and_the_rest_come_from_the_recent_reports() -> None:
    """Ten a second at first, then one a second: after the window only the latter counts."""
    clock = FakeClock()
    tracker = ProgressTracker(clock, lambda _: None)
    for second in range(5):
        report(tracker, second * 10, 100)
        clock.advance(1)
    for second in range(1, 15):
        report(tracker, 40 + second, 100)
        clock.advance(1)

    detail = tracker.snapshot().progress_detail

    assert detail.rate_per_second == 1.0
    assert detail.eta_seconds == 46.0


def test_the_progress_never_goes_back() -> None:
    """Neither by a report that says less nor by a phase that is planned late."""
    tracker = ProgressTracker(FakeClock(), lambda _: None)
    tracker.enter("a", 0.5)
    report(tracker, 9, 10)
    first = tracker.snapshot().progress
    report(tracker, 1, 10)
    tracker.leave(PhaseStatus.COMPLETED, None)
    tracker.enter("b", 5.0)
    last = tracker.snapshot().progress

    assert first == 45
    assert last >= 50


def test_different_warnings_are_bounded_and_equal_ones_counted() -> None:
    """A job that warns of every file does not grow without end."""
    tracker = ProgressTracker(FakeClock(), lambda _: None)
    for number in range(1_000):
        tracker.warn("skipped", f"file {number}")
        tracker.warn("skipped", "too large")

    warnings = tracker.snapshot().warnings

    assert len(warnings) <= 50
    assert max(warning.count for warning in warnings) == 1_000
