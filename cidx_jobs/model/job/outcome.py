"""The outcome of a job that was waited for: its result, or the error that says how it ended."""

from typing import Any

from cidx_jobs.model.errors import JobFailure, ResultRemovedError, StoppingError
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.model.job.submit import JobTypeLike


class JobFailedError(JobFailure):
    """A job that was waited for failed; `job` is that job, its `error` says why.

    A run that lets it through fails for good, with the code CHILD_JOB_FAILED.
    """

    code = "job_failed"

    def __init__(self, job: Job) -> None:
        """Take the text from the job."""
        reason = job.error.message if job.error else "no reason was given"
        super().__init__(f"job {job.job_id} failed: {reason}", code=FAILURE_CODE)
        self.job: Job = job


class JobCancelledError(JobFailure):
    """A job that was waited for was cancelled; `job` is that job.

    A run that lets it through fails for good, with the code CHILD_JOB_FAILED.
    """

    code = "job_cancelled"

    def __init__(self, job: Job) -> None:
        """Take the reason from the job."""
        reason = f": {job.cancel_reason}" if job.cancel_reason else ""
        super().__init__(f"job {job.job_id} was cancelled{reason}", code=FAILURE_CODE)
        self.job: Job = job


FAILURE_CODE = "CHILD_JOB_FAILED"


def find_result(job: Job, job_type: str | JobTypeLike[Any] | None) -> Any:
    """Return the result of a job, read by *job_type* where that is one and not a name.

    Raises:
        JobFailedError: the job failed.
        JobCancelledError: it was cancelled.
        StoppingError: it is not done.
        ResultRemovedError: its result is no longer kept.
        ValidationError: the result does not fit the class that it is to be read as.
    """
    if not job.done:
        raise StoppingError
    if job.status is JobStatus.FAILED:
        raise JobFailedError(job)
    if job.status is JobStatus.CANCELLED:
        raise JobCancelledError(job)
    if job.result is None:
        raise ResultRemovedError(job.job_id)
    if job_type is None or isinstance(job_type, str):
        return job.result
    return job_type.read_result(job.result)
