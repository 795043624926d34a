"""Reports of a job: one line while it runs, a few when it waits or is done. Pure functions."""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime

from cidx_jobs.cli.terminal.text import cells, duration, fit, fit_path, moment
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.job.job import JobStatus, Outcome
from cidx_jobs.model.job.queue_status import HOST_DOWN
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.jobs import JobDocument

SHORTEST_ITEM = 6
"""A current file that would get fewer columns than this is left out."""
SHORT = 60
"""Under so many columns words are left out, to leave some for the file."""
SHORTEST_BAR, LONGEST_BAR = 6, 30

_COUNTED = ("added", "modified", "renamed", "deleted")
_KILO = 1000.0
_SAME_COPY = re.compile(r"limit:copy:[0-9a-f]{32}")
"""The key of all syncs of a repository's branch, which share a copy, whoever's they are."""


def live_line(
    job: JobDocument,
    width: int,
    *,
    percent: float | None = None,
    age_seconds: float = 0.0,
    marks: str = "#-",
) -> str:
    """Return one line, at most *width* columns, on how the job stands.

    Args:
        job: the job as it was last read.
        width: the columns there are.
        percent: how far the line says it is; the job's progress if None.
        age_seconds: how long ago that was; the estimate counts down by it.
        marks: what the bar is made of: done, and not yet done.
    """
    if job.status != JobStatus.RUNNING:
        return fit(_resting(job), width)
    is_short = width < SHORT
    bar_width = SHORTEST_BAR if is_short else min(LONGEST_BAR, width // 5)
    shown = math.floor(job.progress if percent is None else percent)
    line = f"{_bar(shown, bar_width, marks)} {shown:3d}%"
    eta = _eta(job, age_seconds, is_short=is_short)
    for part in (_phase(job), _rate(job, is_short=is_short), eta):
        if part and cells(line) + 1 + cells(part) <= width:
            line += f" {part}"
    rest = width - cells(line) - 1
    item = job.progress_detail.current_item
    if item and rest >= SHORTEST_ITEM:
        return f"{line} {fit_path(escape(item), rest)}"
    if job.message and rest >= SHORTEST_ITEM:
        return f"{line} {fit(escape(job.message), rest)}"
    return line


def change_line(job: JobDocument) -> str:
    """Return one line on how the job stands, of any length, for where lines are kept."""
    if job.status != JobStatus.RUNNING:
        return _resting(job)
    parts = [f"{job.progress:3d}%", _phase(job), escape(job.message or ""), _rate(job)]
    return " ".join(part for part in parts if part)


def report(
    job: JobDocument, now: datetime, tint: Callable[[JobStatus], str] = str
) -> Iterator[str]:
    """Yield the lines that say how a job stands or ended, and what can be done about it.

    *tint* gives the status as it is shown.
    """
    yield " ".join(
        part
        for part in (f"job {job.job_id} {tint(job.status)}", _resting_detail(job), _took(job))
        if part
    )
    yield _fact("project", f"{escape(job.project_id)} ({escape(job.job_type)})")
    if job.status == JobStatus.RUNNING:
        yield _fact("progress", change_line(job).strip())
    if not job.done:
        yield _fact("waits since" if job.started_at is None else "runs since", _since(job, now))
    yield from _result(job)
    if job.removed:
        yield _fact("removed", f"{', '.join(job.removed)}: kept only for a time")
    yield from _phases(job)
    for warning in job.warnings:
        times = f" ({warning.count} times)" if warning.count > 1 else ""
        yield _fact("warning", f"{escape(warning.message)}{times} [{escape(warning.code)}]")
    yield from _error(job)
    yield from _notices(job)


def resumption(job: JobDocument) -> str | None:
    """Say what a job goes on from after a run that has ended; None for one in its first run."""
    if job.done or job.checkpoint is None or not job.attempts:
        return None
    place = f"phase {escape(job.checkpoint.phase)}" if job.checkpoint.phase else "its checkpoint"
    is_interrupted = job.attempts[-1].outcome == Outcome.INTERRUPTED
    what = "was interrupted and goes on" if is_interrupted else "goes on"
    return f"job {job.job_id} {what} from {place}"


def _bar(progress: int, width: int, marks: str) -> str:
    done = progress * width // 100
    return f"[{marks[0] * done}{marks[1] * (width - done)}]"


def _phase(job: JobDocument) -> str:
    if job.cancel_requested_at is not None:
        return "stopping"
    waiting_for = job.progress_detail.waiting_for
    if waiting_for:
        return f"waiting for {escape(waiting_for)}"
    return escape(job.phase or "running")


def _rate(job: JobDocument, *, is_short: bool = False) -> str:
    rate = job.progress_detail.rate_per_second
    if rate is None:
        return ""
    unit = job.progress_detail.unit or ""
    if unit == "bytes":
        return f"{_bytes(rate)}/s"
    number = f"{rate:.0f}" if is_short or rate >= 100 else f"{rate:.1f}"  # noqa: PLR2004
    return f"{number}/s" if is_short or not unit else f"{number} {escape(unit)}/s"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < _KILO:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KILO
    return f"{number:.1f} TB"


def _eta(job: JobDocument, age_seconds: float, *, is_short: bool) -> str:
    left = job.progress_detail.eta_seconds
    if left is None:
        return ""
    shown = f"{round(max(0.0, left - age_seconds))}s"
    return shown if is_short else f"eta {shown}"


def _resting(job: JobDocument) -> str:
    return " ".join(part for part in (str(job.status), _resting_detail(job)) if part)


def _resting_detail(job: JobDocument) -> str:
    queue = job.queue
    if queue is None:
        return ""
    parts = []
    if queue.position is not None:
        parts.append(f"position {queue.position} of {max(queue.position, queue.length)}")
    parts += [reason_words(reason) for reason in map(escape, queue.blocked_by)]
    if queue.until is not None:
        is_probed = any(reason.startswith(HOST_DOWN) for reason in queue.blocked_by)
        at = moment(queue.until)
        parts.append(f"next try {at}" if is_probed else f"until {at} at the latest")
    if queue.estimated_wait_seconds is not None:
        low, high = queue.estimated_wait_seconds
        parts.append(_start_estimate(low, high))
    return f"({', '.join(parts)})" if parts else ""


def _start_estimate(low: float, high: float) -> str:
    if not high:
        return "starts now"
    if not low:
        return f"starts within {duration(high)}"
    return f"starts in {duration(low)} to {duration(high)}"


def reason_words(word: str) -> str:
    """Return why a job waits, in words: one of its ``blocked_by``."""
    if _SAME_COPY.fullmatch(word):
        return "another sync of its repository"
    kind, colon, name = word.partition(":")
    return kind.replace("_", " ") + colon + name


def _took(job: JobDocument) -> str:
    if job.started_at is None or job.finished_at is None:
        return ""
    return f"in {duration((job.finished_at - job.started_at).total_seconds())}"


def _since(job: JobDocument, now: datetime) -> str:
    begin = job.started_at or job.created_at
    attempts = f", attempt {job.attempt} of {job.max_attempts}" if job.attempt else ""
    return f"{duration((now - begin).total_seconds())}{attempts}"


def _result(job: JobDocument) -> Iterator[str]:
    result = job.result or {}
    if "commit_after" not in result:
        if result:
            yield _fact("result", escape(encode(result).decode()))
        return
    before, after = (
        str(result.get(name) or "")[:12] for name in ("commit_before", "commit_after")
    )
    yield _fact("commit", escape(after if before in {"", after} else f"{before} -> {after}"))
    changes = [f"{result.get(f'files_{kind}') or 0} {kind}" for kind in _COUNTED]
    counts = [
        f"{result.get('files_indexed') or 0} indexed",
        f"{result.get('files_skipped') or 0} skipped",
        f"{result.get('files_total') or 0} in all",
    ]
    yield _fact("files", escape(f"{', '.join(changes)}; {', '.join(counts)}"))
    match result.get("resumed_from"):
        case {"phase": phase, "files": files}:
            yield _fact("resumed", escape(f"from phase {phase}, after {files} files"))
        case _:
            pass


def _phases(job: JobDocument) -> Iterator[str]:
    took = [
        f"{escape(phase.name)} {duration((phase.finished_at - phase.started_at).total_seconds())}"
        for phase in job.phases
        if phase.started_at is not None and phase.finished_at is not None
    ]
    if took:
        yield _fact("phases", ", ".join(took))


def _error(job: JobDocument) -> Iterator[str]:
    error = job.error
    if error is None:
        return
    yield _fact("error", f"{escape(error.message)} [{escape(error.code)}]")
    for line in error.output or ():
        yield _fact("output", escape(line))
    for action in error.actions:
        yield _fact("to do", escape(action))
    if error.retryable:
        yield _fact("to do", f"cidx-jobs retry {job.job_id}")


def _notices(job: JobDocument) -> Iterator[str]:
    """Say of each URL how the last try ended; while there was none, that there will be one."""
    last = {one.url: one for one in job.deliveries}
    for url in job.notify:
        tried = last.get(url)
        if tried is None:
            told = "when it is done" if not job.done else "not tried yet"
        elif tried.error is None:
            told = f"told at {moment(tried.at)}"
        else:
            told = f"not taken at {moment(tried.at)}: {escape(tried.error)}"
        yield _fact("notice", f"{escape(url)}: {told}")


def _fact(name: str, text: str) -> str:
    return f"  {name:<11} {text}"
