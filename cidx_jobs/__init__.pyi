# The public names for type checkers; the same table as in __init__.py, compared by a test.
from cidx_jobs.calls.from_thread import FromThread as FromThread
from cidx_jobs.interfaces.access import Identity as Identity
from cidx_jobs.interfaces.run import CallNext as CallNext
from cidx_jobs.interfaces.run import ChildResult as ChildResult
from cidx_jobs.interfaces.run import JobContext as JobContext
from cidx_jobs.interfaces.run import Middleware as Middleware
from cidx_jobs.interfaces.run import PhaseReporter as PhaseReporter
from cidx_jobs.interfaces.run import SyncJobContext as SyncJobContext
from cidx_jobs.interfaces.run import SyncPhaseReporter as SyncPhaseReporter
from cidx_jobs.job_types import Admission as Admission
from cidx_jobs.job_types import JobType as JobType
from cidx_jobs.job_types import OnInterrupt as OnInterrupt
from cidx_jobs.job_types import job_type as job_type
from cidx_jobs.model.errors import (
    AdminRequiredError as AdminRequiredError,
)
from cidx_jobs.model.errors import (
    AlreadyFinishedError as AlreadyFinishedError,
)
from cidx_jobs.model.errors import (
    AlreadyOwnedError as AlreadyOwnedError,
)
from cidx_jobs.model.errors import (
    AuthenticationRequiredError as AuthenticationRequiredError,
)
from cidx_jobs.model.errors import (
    CidxJobsError as CidxJobsError,
)
from cidx_jobs.model.errors import (
    DatabaseDamagedError as DatabaseDamagedError,
)
from cidx_jobs.model.errors import (
    DrainingError as DrainingError,
)
from cidx_jobs.model.errors import (
    ExtraMissingError as ExtraMissingError,
)
from cidx_jobs.model.errors import (
    Fatal as Fatal,
)
from cidx_jobs.model.errors import (
    ForbiddenError as ForbiddenError,
)
from cidx_jobs.model.errors import (
    HistoryExpiredError as HistoryExpiredError,
)
from cidx_jobs.model.errors import (
    HostDownError as HostDownError,
)
from cidx_jobs.model.errors import (
    IdempotencyKeyReusedError as IdempotencyKeyReusedError,
)
from cidx_jobs.model.errors import (
    IndexDamagedError as IndexDamagedError,
)
from cidx_jobs.model.errors import (
    InvalidCursorError as InvalidCursorError,
)
from cidx_jobs.model.errors import (
    InvalidParameterError as InvalidParameterError,
)
from cidx_jobs.model.errors import (
    InvalidTransitionError as InvalidTransitionError,
)
from cidx_jobs.model.errors import (
    JobExpiredError as JobExpiredError,
)
from cidx_jobs.model.errors import (
    JobFailure as JobFailure,
)
from cidx_jobs.model.errors import (
    JobNotFoundError as JobNotFoundError,
)
from cidx_jobs.model.errors import (
    NotIndexedError as NotIndexedError,
)
from cidx_jobs.model.errors import NotOwnedError as NotOwnedError
from cidx_jobs.model.errors import (
    OptionsRemovedError as OptionsRemovedError,
)
from cidx_jobs.model.errors import (
    OtherLoopError as OtherLoopError,
)
from cidx_jobs.model.errors import (
    OwnerLostError as OwnerLostError,
)
from cidx_jobs.model.errors import (
    ProjectBusyError as ProjectBusyError,
)
from cidx_jobs.model.errors import (
    ProjectNotFoundError as ProjectNotFoundError,
)
from cidx_jobs.model.errors import (
    QueueFullError as QueueFullError,
)
from cidx_jobs.model.errors import (
    RequestError as RequestError,
)
from cidx_jobs.model.errors import (
    ResultRemovedError as ResultRemovedError,
)
from cidx_jobs.model.errors import (
    Retryable as Retryable,
)
from cidx_jobs.model.errors import (
    ScheduleDeclaredError as ScheduleDeclaredError,
)
from cidx_jobs.model.errors import (
    ScheduleExistsError as ScheduleExistsError,
)
from cidx_jobs.model.errors import (
    ScheduleNotFoundError as ScheduleNotFoundError,
)
from cidx_jobs.model.errors import (
    SchemaTooNewError as SchemaTooNewError,
)
from cidx_jobs.model.errors import (
    SettingsError as SettingsError,
)
from cidx_jobs.model.errors import (
    StaleRunError as StaleRunError,
)
from cidx_jobs.model.errors import (
    StaleScheduleError as StaleScheduleError,
)
from cidx_jobs.model.errors import (
    StaleVersionError as StaleVersionError,
)
from cidx_jobs.model.errors import (
    StartRefusedError as StartRefusedError,
)
from cidx_jobs.model.errors import (
    StoppingError as StoppingError,
)
from cidx_jobs.model.errors import (
    StorageFullError as StorageFullError,
)
from cidx_jobs.model.errors import (
    StorageUnavailableError as StorageUnavailableError,
)
from cidx_jobs.model.errors import (
    StoreError as StoreError,
)
from cidx_jobs.model.errors import (
    TokenNotFoundError as TokenNotFoundError,
)
from cidx_jobs.model.errors import (
    TooManySchedulesError as TooManySchedulesError,
)
from cidx_jobs.model.errors import (
    UnavailableError as UnavailableError,
)
from cidx_jobs.model.errors import (
    UnknownJobTypeError as UnknownJobTypeError,
)
from cidx_jobs.model.errors import (
    UserQueueFullError as UserQueueFullError,
)
from cidx_jobs.model.errors import (
    UserStorageFullError as UserStorageFullError,
)
from cidx_jobs.model.errors import (
    ValidationError as ValidationError,
)
from cidx_jobs.model.errors import (
    VersionMismatchError as VersionMismatchError,
)
from cidx_jobs.model.job.job import AttemptRecord as AttemptRecord
from cidx_jobs.model.job.job import Category as Category
from cidx_jobs.model.job.job import CheckpointInfo as CheckpointInfo
from cidx_jobs.model.job.job import DispatchKey as DispatchKey
from cidx_jobs.model.job.job import (
    Job as Job,
)
from cidx_jobs.model.job.job import JobError as JobError
from cidx_jobs.model.job.job import (
    JobStatus as JobStatus,
)
from cidx_jobs.model.job.job import JobWarning as JobWarning
from cidx_jobs.model.job.job import Outcome as Outcome
from cidx_jobs.model.job.job import PhaseState as PhaseState
from cidx_jobs.model.job.job import PhaseStatus as PhaseStatus
from cidx_jobs.model.job.job import Place as Place
from cidx_jobs.model.job.job import ProgressDetail as ProgressDetail
from cidx_jobs.model.job.job import Severity as Severity
from cidx_jobs.model.job.job import Transition as Transition
from cidx_jobs.model.job.key_limits import KeyLimit as KeyLimit
from cidx_jobs.model.job.outcome import JobCancelledError as JobCancelledError
from cidx_jobs.model.job.outcome import JobFailedError as JobFailedError
from cidx_jobs.model.job.retry_policy import RetryPolicy as RetryPolicy
from cidx_jobs.model.job.submit import JobTypeLike as JobTypeLike
from cidx_jobs.model.job.submit import OnConflict as OnConflict
from cidx_jobs.model.limits import Limits as Limits
from cidx_jobs.model.limits import Pauses as Pauses
from cidx_jobs.model.listing import Project as Project
from cidx_jobs.model.schedules.schedule import CatchUp as CatchUp
from cidx_jobs.model.schedules.schedule import Schedule as Schedule
from cidx_jobs.model.schedules.view import ScheduleView as ScheduleView
from cidx_jobs.observe.logs import setup_logging as setup_logging
from cidx_jobs.settings import Settings as Settings
from cidx_jobs.system import AttachedSystem as AttachedSystem
from cidx_jobs.system import JobSystem as JobSystem
from cidx_jobs.web.app import (
    create_app as create_app,
)
from cidx_jobs.web.app import (
    setup as setup,
)
from cidx_jobs.web.asgi import AsgiRequest as AsgiRequest
from cidx_jobs.web.asgi import asgi_app as asgi_app
from cidx_jobs.web.server import serve as serve

__version__: str
