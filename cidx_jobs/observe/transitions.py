"""Logging of jobs: one line for each committed transition."""

import logging

import structlog

from cidx_jobs.model.job.job import Job, Transition


class TransitionLog:
    """Logs transitions; its logger is bound once, since each line would pay for it anew."""

    def __init__(self) -> None:
        """Log as logging is configured now."""
        self._log = structlog.get_logger("cidx_jobs.jobs").bind()
        self.is_on: bool = self._log.is_enabled_for(logging.INFO)
        """False where such lines are not logged: then nobody needs to tell of transitions."""

    def __call__(self, job: Job, transition: Transition) -> None:
        """Log that the job changed: ids and codes, never its options or results."""
        code = job.error.code if job.error is not None and job.done else None
        self._log.info(
            "job_changed",
            job_id=job.job_id,
            job_type=job.job_type,
            user_id=job.user_id,
            transition=transition.event,
            status=transition.to_status.value,
            version=transition.version,
            attempt=transition.attempt,
            code=code,
        )
