"""The client: `JobsClient` with a method for each route, `JobPollingEngine` to watch a job."""

from cidx_jobs.client.calls.jobs import PolledJob
from cidx_jobs.client.client import JobsClient
from cidx_jobs.client.errors import (
    AuthenticationError,
    ConflictError,
    InterruptedPollingError,
    JobCancelledError,
    JobFailedError,
    JobPollingError,
    JobsClientError,
    JobTimeoutError,
    NetworkConnectionError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    RequestRefusedError,
    ServerBusyError,
    ServerError,
    UnexpectedAnswerError,
)
from cidx_jobs.client.event_follower import follow_events
from cidx_jobs.client.job_follower import PollingConfig, follow_job
from cidx_jobs.client.polling import JobPollingEngine, ProgressCallback
from cidx_jobs.client.smooth_percent import SmoothProgress
from cidx_jobs.wire.jobs import JobDocument

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "InterruptedPollingError",
    "JobCancelledError",
    "JobDocument",
    "JobFailedError",
    "JobPollingEngine",
    "JobPollingError",
    "JobTimeoutError",
    "JobsClient",
    "JobsClientError",
    "NetworkConnectionError",
    "NotFoundError",
    "PermissionDeniedError",
    "PolledJob",
    "PollingConfig",
    "PreconditionFailedError",
    "ProgressCallback",
    "RequestRefusedError",
    "ServerBusyError",
    "ServerError",
    "SmoothProgress",
    "UnexpectedAnswerError",
    "follow_events",
    "follow_job",
]
