"""The embedded job server for asyncio: durable jobs, slots, fair turns, live progress.

The names below are resolved when they are first used (PEP 562), so that the command line does
not pay for what it does not need.
"""

__version__ = "0.1.0"

HOMES = {
    "AdminRequiredError": "cidx_jobs.model.errors",
    "Admission": "cidx_jobs.job_types",
    "AlreadyFinishedError": "cidx_jobs.model.errors",
    "AlreadyOwnedError": "cidx_jobs.model.errors",
    "AsgiRequest": "cidx_jobs.web.asgi",
    "AttachedSystem": "cidx_jobs.system",
    "AttemptRecord": "cidx_jobs.model.job.job",
    "AuthenticationRequiredError": "cidx_jobs.model.errors",
    "CallNext": "cidx_jobs.interfaces.run",
    "CatchUp": "cidx_jobs.model.schedules.schedule",
    "Category": "cidx_jobs.model.job.job",
    "CheckpointInfo": "cidx_jobs.model.job.job",
    "ChildResult": "cidx_jobs.interfaces.run",
    "CidxJobsError": "cidx_jobs.model.errors",
    "DatabaseDamagedError": "cidx_jobs.model.errors",
    "DispatchKey": "cidx_jobs.model.job.job",
    "DrainingError": "cidx_jobs.model.errors",
    "ExtraMissingError": "cidx_jobs.model.errors",
    "Fatal": "cidx_jobs.model.errors",
    "ForbiddenError": "cidx_jobs.model.errors",
    "HistoryExpiredError": "cidx_jobs.model.errors",
    "HostDownError": "cidx_jobs.model.errors",
    "FromThread": "cidx_jobs.calls.from_thread",
    "IdempotencyKeyReusedError": "cidx_jobs.model.errors",
    "Identity": "cidx_jobs.interfaces.access",
    "IndexDamagedError": "cidx_jobs.model.errors",
    "InvalidCursorError": "cidx_jobs.model.errors",
    "InvalidParameterError": "cidx_jobs.model.errors",
    "InvalidTransitionError": "cidx_jobs.model.errors",
    "Job": "cidx_jobs.model.job.job",
    "JobCancelledError": "cidx_jobs.model.job.outcome",
    "JobContext": "cidx_jobs.interfaces.run",
    "JobError": "cidx_jobs.model.job.job",
    "JobExpiredError": "cidx_jobs.model.errors",
    "JobFailedError": "cidx_jobs.model.job.outcome",
    "JobFailure": "cidx_jobs.model.errors",
    "JobNotFoundError": "cidx_jobs.model.errors",
    "JobStatus": "cidx_jobs.model.job.job",
    "JobSystem": "cidx_jobs.system",
    "JobType": "cidx_jobs.job_types",
    "JobTypeLike": "cidx_jobs.model.job.submit",
    "JobWarning": "cidx_jobs.model.job.job",
    "KeyLimit": "cidx_jobs.model.job.key_limits",
    "Limits": "cidx_jobs.model.limits",
    "Middleware": "cidx_jobs.interfaces.run",
    "NotIndexedError": "cidx_jobs.model.errors",
    "NotOwnedError": "cidx_jobs.model.errors",
    "OnConflict": "cidx_jobs.model.job.submit",
    "OnInterrupt": "cidx_jobs.job_types",
    "OtherLoopError": "cidx_jobs.model.errors",
    "Outcome": "cidx_jobs.model.job.job",
    "OwnerLostError": "cidx_jobs.model.errors",
    "Pauses": "cidx_jobs.model.limits",
    "PhaseReporter": "cidx_jobs.interfaces.run",
    "PhaseState": "cidx_jobs.model.job.job",
    "PhaseStatus": "cidx_jobs.model.job.job",
    "Place": "cidx_jobs.model.job.job",
    "ProgressDetail": "cidx_jobs.model.job.job",
    "Project": "cidx_jobs.model.listing",
    "OptionsRemovedError": "cidx_jobs.model.errors",
    "ProjectBusyError": "cidx_jobs.model.errors",
    "ProjectNotFoundError": "cidx_jobs.model.errors",
    "QueueFullError": "cidx_jobs.model.errors",
    "RequestError": "cidx_jobs.model.errors",
    "ResultRemovedError": "cidx_jobs.model.errors",
    "RetryPolicy": "cidx_jobs.model.job.retry_policy",
    "Retryable": "cidx_jobs.model.errors",
    "Schedule": "cidx_jobs.model.schedules.schedule",
    "ScheduleDeclaredError": "cidx_jobs.model.errors",
    "ScheduleExistsError": "cidx_jobs.model.errors",
    "ScheduleNotFoundError": "cidx_jobs.model.errors",
    "ScheduleView": "cidx_jobs.model.schedules.view",
    "SchemaTooNewError": "cidx_jobs.model.errors",
    "Settings": "cidx_jobs.settings",
    "SettingsError": "cidx_jobs.model.errors",
    "Severity": "cidx_jobs.model.job.job",
    "StaleRunError": "cidx_jobs.model.errors",
    "StaleScheduleError": "cidx_jobs.model.errors",
    "StaleVersionError": "cidx_jobs.model.errors",
    "StartRefusedError": "cidx_jobs.model.errors",
    "StoppingError": "cidx_jobs.model.errors",
    "StorageFullError": "cidx_jobs.model.errors",
    "StorageUnavailableError": "cidx_jobs.model.errors",
    "StoreError": "cidx_jobs.model.errors",
    "SyncJobContext": "cidx_jobs.interfaces.run",
    "SyncPhaseReporter": "cidx_jobs.interfaces.run",
    "TokenNotFoundError": "cidx_jobs.model.errors",
    "TooManySchedulesError": "cidx_jobs.model.errors",
    "Transition": "cidx_jobs.model.job.job",
    "UnavailableError": "cidx_jobs.model.errors",
    "UnknownJobTypeError": "cidx_jobs.model.errors",
    "UserQueueFullError": "cidx_jobs.model.errors",
    "UserStorageFullError": "cidx_jobs.model.errors",
    "ValidationError": "cidx_jobs.model.errors",
    "VersionMismatchError": "cidx_jobs.model.errors",
    "asgi_app": "cidx_jobs.web.asgi",
    "create_app": "cidx_jobs.web.app",
    "job_type": "cidx_jobs.job_types",
    "serve": "cidx_jobs.web.server",
    "setup": "cidx_jobs.web.app",
    "setup_logging": "cidx_jobs.observe.logs",
}
"""Where each public name lives; ``python docs/made_reference.py`` makes `__init__.pyi` of it."""

__all__ = sorted(HOMES)  # noqa: PLE0605 - the one table is the list


def __getattr__(name: str) -> object:
    """Import a public name from where it lives, once."""
    # Not at the top: until the command line has taken Ctrl-C over, each import is a moment in
    # which it would show a traceback.
    from importlib import import_module

    home = HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *HOMES])
