"""Failures of runs: the stored error of each, and after what back-off it is tried again, if ever.

What a job's code raises is foreign to the last: its members, its text, and the retry policy of its
type may raise in their turn, and none of that may keep a run from its end.
"""

import math
from random import Random

from cidx_jobs.engine.run.run_record import Broke
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.job_types import JobType
from cidx_jobs.model.error_codes import GUIDANCE, make_error
from cidx_jobs.model.errors import JobFailure, ValidationError
from cidx_jobs.model.foreign import Raised, call_foreign, plain_text
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.redact import redact
from cidx_jobs.runtime.log import get_logger

_MAX_MESSAGE = 1_000
_MAX_LINES, _MAX_LINE = 50, 200
# Ten years: a time that a calendar, and so a row, can still hold.
_MAX_RETRY_SECONDS = 3_650 * 86_400.0

_log = get_logger("engine")


class Failures:
    """Makes the failed end of an attempt out of what went wrong in it."""

    def __init__(self, clock: Clock, retry_policy: RetryPolicy, random: Random) -> None:
        """Take the server's own policy, for job types without one."""
        self._clock = clock
        self._retry_policy = retry_policy
        self._random = random

    def of_code(
        self,
        code: str,
        message: str,
        *,
        phase: str | None,
        retry_after: float | None = None,
        output: tuple[str, ...] = (),
    ) -> Broke:
        """Return a failure of this code; without *retry_after* it is not tried again."""
        error = make_error(
            plain_text(code),
            # Whatever raised it may have put the server's secrets and paths into its text.
            plain_text(redact(message), _MAX_MESSAGE),
            at=self._clock.now(),
            phase=phase,
            retryable=retry_after is not None,
            output=output,
        )
        return Broke(error, retry_after)

    def of_time_out(self, job: Job, job_type: JobType, phase: str | None) -> Broke:
        """Return the failure of a run whose time was up."""
        text = f"the run took longer than its time-out of {job.timeout_seconds:g} seconds"
        return self.of_code("TIMEOUT", text, phase=phase, retry_after=self._backoff(job, job_type))

    def of_own_cancel(self, job: Job, job_type: JobType, phase: str | None) -> Broke:
        """Return the failure of a run that was cancelled by nobody but its own code."""
        text = "the job's code cancelled itself"
        return self._of_handler(text, job, job_type, phase)

    def of_error(self, raised: Raised, job: Job, job_type: JobType, phase: str | None) -> Broke:
        """Return the failure of a run whose code raised; an unforeseen error is logged."""
        if not isinstance(raised.error, JobFailure | ValidationError):
            log_raised("handler_raised", job, raised)
        failure = call_foreign(self._read, raised.error, job, job_type, phase)
        if not isinstance(failure, Raised):
            return failure
        log_raised("error_not_readable", job, failure)
        text = "the job's code raised an error that cannot be read"
        return self._of_handler(text, job, job_type, phase)

    def _of_handler(self, text: str, job: Job, job_type: JobType, phase: str | None) -> Broke:
        return self.of_code(
            "HANDLER_ERROR", text, phase=phase, retry_after=self._backoff(job, job_type)
        )

    def _read(self, error: BaseException, job: Job, job_type: JobType, phase: str | None) -> Broke:
        if isinstance(error, JobFailure):
            known = GUIDANCE.get(error.failure_code)
            retryable = error.retryable
            if retryable is None:
                retryable = known.retryable if known else True
            after = None
            if retryable:
                own = error.after
                after = self._backoff(job, job_type) if own is None else _bounded(own)
            lines = [plain_text(redact(line), _MAX_LINE) for line in error.output[-_MAX_LINES:]]
            return self.of_code(
                error.failure_code,
                error.message,
                phase=phase,
                retry_after=after,
                output=tuple(lines),
            )
        if isinstance(error, ValidationError):
            # The same options will be as wrong the next time.
            return self.of_code("VAL-001", _tell_faults(error), phase=phase)
        told = call_foreign(str, error)
        text = "" if isinstance(told, Raised) else told
        text = f"the job's code raised {type(error).__name__}: {text}".rstrip(": ")
        return self._of_handler(text, job, job_type, phase)

    def _backoff(self, job: Job, job_type: JobType) -> float:
        failures = sum(1 for record in job.attempts if record.error is not None) + 1
        chance = self._random.random()
        if job_type.retry is not None:
            chosen = call_foreign(
                lambda policy: _bounded(policy.backoff_seconds(failures, chance)), job_type.retry
            )
            if not isinstance(chosen, Raised):
                return chosen
            log_raised("retry_policy_raised", job, chosen)
        return self._retry_policy.backoff_seconds(failures, chance)


def tells_of_signal(error: BaseException | None) -> bool:
    """Return whether the error, or one that caused it, says that a signal ended a process.

    These are processes that the handler has started itself.
    """
    # An error's chain may lead back into itself: its members are whatever somebody set.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        code = getattr(error, "returncode", None)
        # By its name: to know the class is to load `multiprocessing`, which few handlers use.
        if type(error).__name__ == "BrokenProcessPool" or (isinstance(code, int) and code < 0):
            return True
        error = error.__cause__ or error.__context__
    return False


def log_raised(event: str, job: Job, raised: Raised) -> None:
    """Log what foreign code of a run raised, with its traceback; raises nothing itself."""
    # A log that cannot be written must not keep a run from its end.
    call_foreign(
        _log.error, event, job_id=job.job_id, attempt=job.attempt, exc_info=raised.exc_info
    )


def _tell_faults(error: ValidationError) -> str:
    # Not by its pointers: to whoever takes the server's paths out of texts they look like these.
    places = [fault.pointer.strip("/").replace("/", ".") for fault in error.faults]
    told = zip(places, error.faults, strict=True)
    return "; ".join(f"{place or 'options'}: {fault.message}" for place, fault in told)


def _bounded(seconds: float) -> float:
    """Return a time to wait that there is: from now on, and within a calendar that can be stored.

    Raises:
        TypeError, ValueError: it is no number.
    """
    seconds = float(seconds)
    if math.isnan(seconds):
        message = "a time to wait is a number of seconds, not nan"
        raise ValueError(message)
    return max(0.0, min(seconds, _MAX_RETRY_SECONDS))
