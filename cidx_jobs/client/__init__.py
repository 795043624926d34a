"""The other side of the wire: a client with one method a route, and an engine that watches."""

from cidx_jobs.client.api import JobsClient
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
from cidx_jobs.client.following import PollingConfig, follow_job
from cidx_jobs.client.job_routes import PolledJob
from cidx_jobs.client.polling import JobPollingEngine, ProgressCallback
from cidx_jobs.client.smoothing import SmoothProgress
from cidx_jobs.client.streaming import follow_events

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "InterruptedPollingError",
    "JobCancelledError",
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
