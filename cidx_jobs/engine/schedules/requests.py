"""The submit that a schedule stands for."""

from cidx_jobs.model.foreign import plain_options
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.schedules.schedule import Schedule


def make_request(schedule: Schedule, *, actor: UserId | None = None) -> SubmitRequest:
    """Return what the schedule submits; a busy project is joined or followed (api.md 1.3).

    *actor* is who runs it by hand; None for its times.
    """
    return SubmitRequest(
        user_id=UserId(schedule.user_id),
        project_id=ProjectId(schedule.project_id),
        job_type=schedule.job_type,
        options=plain_options(schedule.options),
        priority=schedule.priority,
        max_attempts=schedule.max_attempts,
        timeout_seconds=schedule.timeout_seconds,
        labels=dict(schedule.labels),
        notify=schedule.notify,
        actor=actor,
    )
