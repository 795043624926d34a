"""One log line for each transition of a job."""

import structlog

from cidx_jobs.model.job import Job, Transition

_log = structlog.get_logger("cidx_jobs.jobs")


def log_transition(job: Job, transition: Transition) -> None:
    """Log that the job changed: ids and codes, never its options or results."""
    more = {}
    if job.error is not None and transition.to_status.is_final:
        more = {"code": job.error.code}
    _log.info(
        "job_changed",
        job_id=job.job_id,
        job_type=job.job_type,
        user_id=job.user_id,
        event_name=transition.event,
        status=str(transition.to_status),
        version=transition.version,
        attempt=transition.attempt,
        **more,
    )
