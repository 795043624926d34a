"""`JobSystem`: what an application embeds; opened, asked and closed on one event loop."""

import asyncio
import contextlib
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

import attrs

from cidx_jobs.assembly.parts import Parts
from cidx_jobs.calls.from_thread import FromThread, check_own_loop, loop_for_other_threads
from cidx_jobs.calls.job_calls import JobCalls
from cidx_jobs.calls.own_loop import OwnLoop
from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.access.accounts import Accounts
from cidx_jobs.engine.access.admin_log import AdminLog
from cidx_jobs.engine.concurrency import ConcurrencyController
from cidx_jobs.engine.engine import Engine
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.state.hooks import Hook
from cidx_jobs.engine.upkeep.backups import Backups
from cidx_jobs.engine.upkeep.disk import find_shortage
from cidx_jobs.engine.webhooks.end_notices import EndNotices
from cidx_jobs.engine.webhooks.push_hooks import PushHooks
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.job_type import describe_repository_sync
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.door import JobDoor
from cidx_jobs.interfaces.index import Indexer
from cidx_jobs.interfaces.run import Middleware
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.findings import Finding, Mended, Recovery, ServerWarning
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.model.listing import Project, StoreIdentity
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.index.program import make_indexer
from cidx_jobs.store.sqlite.persistence import JobPersistence


class Membership(Protocol):
    """A system's part in a directory that several processes share."""

    @property
    def door(self) -> JobDoor:
        """Where the jobs are asked for, whoever owns the directory."""

    async def join(self) -> None:
        """Own the directory, or find its owner."""

    async def leave(self) -> None:
        """Leave it to others."""


class AttachedSystem(JobCalls):
    """The calls of a `JobSystem` whose jobs run in another process, as a context manager."""

    @property
    @abstractmethod
    def from_thread(self) -> FromThread:
        """The calls that other threads may make; each waits for its answer."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Find the owner of the directory.

        Raises:
            NotOwnedError: nobody owns the directory, or who does answers nobody.
        """

    async def __aexit__(self, *error: object) -> None:
        """Close it, as `close` does."""
        await self.close()

    @abstractmethod
    async def close(self) -> None:
        """Close the connections; closing twice is fine."""

    async def start(self) -> Self:
        """Open it, as ``async with`` does; whoever calls this calls `close` at the end."""
        return await self.__aenter__()

    def in_thread(self) -> contextlib.AbstractContextManager[FromThread]:
        """Return its calls for a program without an event loop, as `JobSystem.in_thread`."""
        return OwnLoop(self, self.from_thread)


class JobSystem(JobCalls):
    """A job server without HTTP: opens the parts in order, closes them in reverse.

    Made without a loop; belongs to the loop that opens it (``async with jobs``), and everything
    but `from_thread` may be used on that loop only. It installs no signal handlers.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        job_types: Iterable[JobType] = (),
        *,
        middlewares: Iterable[Middleware] = (),
        schedules: Iterable[Schedule] = (),
        persistence: Persistence | None = None,
        clock: Clock | None = None,
        runs_jobs: bool = True,
        shared: bool = False,
    ) -> None:
        """Take what it shall run; nothing is opened yet.

        Args:
            settings: the defaults if None.
            job_types: besides ``repository_sync``, which is there unless the setting of that
                name is false.
            middlewares: what stands around each run, the outermost first.
            schedules: those that the application declares: they are kept, changed and removed
                with its code.
            persistence: where jobs are kept; the database in `data_dir` if None.
            clock: the machine's if None.
            shared: several processes may open it: the first owns the directory and runs the
                jobs, the others ask it, and one of them takes over when it ends.
            runs_jobs: False opens the store for administration only: nothing is recovered,
                started or cleared away.
        """
        given = settings or Settings()
        # Absolute from here on: git and other children work in directories of their own.
        # (Evolving checks all settings again, which looks at the disk: not without need.)
        is_absolute = given.data_dir.is_absolute()
        absolute = given.data_dir.absolute()
        self.settings: Settings = given if is_absolute else attrs.evolve(given, data_dir=absolute)
        self.clock: Clock = clock or SystemClock()
        directory = DataDirectory(self.settings.data_dir)
        self.meters: Meters = Meters()
        self.persistence: Persistence = persistence or JobPersistence(
            directory,
            synchronous=self.settings.synchronous,
            clock=self.clock,
            meters=self.meters,
        )
        self.indexer: Indexer = make_indexer(self.settings, self._find_children)
        self._runs_jobs = runs_jobs
        self._own_types = tuple(job_types)
        self._middlewares = tuple(middlewares)
        self._declared = tuple(schedules)
        shown = [describe_repository_sync()] if self.settings.repository_sync else []
        # Until the engine is built, and in a process that only asks another one.
        self.job_types: JobTypes = JobTypes([*shown, *self._own_types])
        self.from_thread: FromThread = FromThread(self, self._loop_for_threads)
        self._hooks: list[Hook] = []
        # What was open last is read on after the close: counts, and who is asked of what ended.
        self._parts: Parts | None = None
        self._engine: Engine | None = None
        self._closing: Engine | None = None
        self._started = contextlib.AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._is_opening = False
        self._is_stopping = False
        self._stop_begun = asyncio.Event()
        self.is_shared = shared
        """Whether several processes may open its directory."""
        self._membership: Membership | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: Settings | None = None, job_types: Iterable[JobType] = (), **parts: Any
    ) -> AsyncIterator[Self]:
        """Build and open a system; it is closed at the end of the block."""
        async with cls(settings, job_types, **parts) as jobs:
            yield jobs

    @staticmethod
    def attach(data_dir: Path | str) -> "AttachedSystem":
        """Return the calls of the system that owns a directory, as an async context manager.

        It only ever asks that system, or the one that takes over from it.

        Raises: (when it is entered)
            NotOwnedError: nobody owns the directory, or who does answers nobody.
        """
        sharing = import_late("cidx_jobs.web.sharing.attached")
        attached: AttachedSystem = sharing.AttachedJobs(Path(data_dir))
        return attached

    async def start(self) -> Self:
        """Open it, as ``async with`` does; whoever calls this calls `close` at the end."""
        return await self.__aenter__()

    def in_thread(self) -> contextlib.AbstractContextManager[FromThread]:
        """Return its calls for a program without an event loop, as a context manager (``with``).

        For as long as the block lasts the system is open on an event loop of its own, in a
        thread; the calls are those of `from_thread`, each waits for its answer, and any thread
        may make them. Who is interrupted (Ctrl-C) while it closes has the grace time cut short.

        Raises: (when it is entered) what opening it raises.
        """
        return OwnLoop(self, self.from_thread)

    async def __aenter__(self) -> Self:
        """Open the store, recover what an older server left, and begin to start jobs.

        Raises:
            StartRefusedError: the data directory cannot be served.
            SettingsError: a job type holds a resource that no setting names, or an extra is
                missing that a setting wants.
            RuntimeError: it is open already.
        """
        is_open = (self._engine or self._closing or self._membership) is not None
        if is_open or self._is_opening:
            is_lost = self._loop is not None and self._loop.is_closed()
            message = "the job system is open already" + (_LOST if is_lost else "")
            raise RuntimeError(message)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_stopping = False
        self._stop_begun = asyncio.Event()
        self._is_opening = True
        try:
            if self.is_shared:
                await self._join()
            else:
                await self._own()
        finally:
            self._is_opening = False
        return self

    async def _join(self) -> None:
        sharing = import_late("cidx_jobs.web.sharing.membership")
        self._membership = membership = sharing.Membership(self, self._own)
        try:
            await membership.join()
        except BaseException:
            self._membership = None
            await membership.leave()
            await self.close()
            raise

    async def _own(self) -> None:
        await self._start(await self.persistence.open())

    async def _start(self, identity: StoreIdentity) -> None:
        """Start the parts; what was started is stopped in reverse, now if one fails or later."""
        try:
            async with contextlib.AsyncExitStack() as started:
                started.push_async_callback(self.persistence.close)
                self._parts = parts = self._build_parts(identity)
                started.push_async_callback(parts.admin_log.close)
                started.push_async_callback(self.indexer.close)
                await parts.start_engine(started, self._hooks)
                # Open from here on: runs have begun, and may ask for what else there is.
                self._engine = parts.engine
                await parts.start_upkeep(started)
                self._started = started.pop_all()
        except BaseException:
            self._parts, self._engine = None, None
            raise

    def _build_parts(self, identity: StoreIdentity) -> Parts:
        parts = Parts(
            settings=self.settings,
            store=self.persistence,
            identity=identity,
            indexer=self.indexer,
            clock=self.clock,
            meters=self.meters,
            job_types=self._own_types,
            middlewares=self._middlewares,
            schedules=self._declared,
            runs_jobs=self._runs_jobs,
            is_shared=self.is_shared,
            is_stopping=lambda: self._is_stopping,
        )
        self.job_types = parts.job_types
        return parts

    async def __aexit__(self, *error: object) -> None:
        """Close it, as `close` does."""
        await self.close()

    async def begin_stop(self) -> None:
        """Refuse new work and wake everybody who waits; `close` does the rest."""
        self._is_stopping = True
        self._stop_begun.set()
        if self._engine is not None:
            self._check_loop()
            self._engine.manager.begin_stop()
            await self.persistence.accept_stop()

    async def end_runs(self) -> None:
        """Begin the stop and let runs end within the grace time; what is stored can be read on.

        `close` does the rest. Who is cancelled here has the grace time cut short.
        """
        engine = self._engine
        if engine is None:
            return
        await self.begin_stop()
        stopping = engine.stop(self.settings.shutdown_grace_seconds)
        await finish(stopping, on_cancel=engine.hurry)

    async def close(self) -> None:
        """Stop the jobs within the grace time, then the store; closing twice is fine.

        Jobs that are interrupted are queued again with their attempt given back. Who is
        cancelled here has the grace time cut short, and is cancelled once it is closed.

        Raises:
            OtherLoopError: another loop has opened it.
        """
        membership, self._membership = self._membership, None
        if membership is not None:
            self._check_loop()
            await self.begin_stop()
            await membership.leave()
        if self._engine is None:
            return
        self._check_loop()
        engine, self._engine = self._engine, None
        self._closing = engine
        self._is_stopping = True
        self._stop_begun.set()
        # At once: whoever is interrupted from now on must not be started again.
        engine.manager.begin_stop()
        try:
            # Half an end would leave runs at work over a store that is closed, beside those of
            # whoever opens it next (guarantees.md, G4).
            await finish(self._started.aclose(), on_cancel=engine.hurry)
        finally:
            self._closing = None

    def hurry(self) -> None:
        """Let a close that is under way wait for no job any longer."""
        engine = self._engine or self._closing
        if engine is not None:
            engine.hurry()

    @property
    def is_open(self) -> bool:
        """True between opening and closing."""
        return self._engine is not None

    @property
    def stop_begun(self) -> asyncio.Event:
        """Set for good once the system, as it was opened last, was told to stop."""
        return self._stop_begun

    @property
    def is_member(self) -> bool:
        """True while another process owns the shared directory, and is asked."""
        return self._membership is not None and self._engine is None

    @property
    def is_stopping(self) -> bool:
        """True once the stop has begun."""
        return self._is_stopping

    @property
    def identity(self) -> StoreIdentity:
        """The database's uuid and this start's epoch."""
        return self._built().identity

    @property
    def recovery(self) -> Recovery:
        """What this start found of the servers before it, and did about it."""
        return Recovery() if self._parts is None else self._parts.recovery

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        """Compare rows, log, slots, queue, runs and children; return what does not fit together.

        Args:
            deep: also what takes long: every index of the database, and of every project.
        """
        self._opened()
        return await self._built().doctor.examine(deep=deep)

    async def mend(self, *, deep: bool = False) -> Mended:
        """Put right what `examine` finds, as far as it can be while everything goes on.

        The memory follows the store again; runs that nothing runs are interrupted and go on by
        the rule of their type; processes that no run has are killed; files of no project go; what
        is counted is counted anew.
        """
        self._opened()
        return await self._built().doctor.mend(deep=deep)

    async def find_warnings(self) -> Sequence[ServerWarning]:
        """Return what to mend though jobs are taken: git, the disk, a backup that is overdue."""
        fault, overdue = None, None
        if self._parts is not None:
            git = self._parts.installed_git
            fault = await git.find_fault() if self.settings.repository_sync else None
            overdue = self._parts.backups.find_warning()
        folder, least = self.settings.data_dir, self.settings.min_free_bytes
        shortage = await in_own_thread(find_shortage, folder, least)
        return [warning for warning in (fault, shortage, overdue) if warning is not None]

    def list_notes(self) -> Sequence[Finding]:
        """List what an operator should know of and what is no fault, as `examine` finds them."""
        return self._opened().list_notes()

    async def list_expiring_projects(self) -> Sequence[Project]:
        """List the projects whose copies go within a day, unless they are synced before."""
        # Counts are read to the last, while a stop waits for jobs.
        return () if self._engine is None else await self._engine.projects.find_expiring()

    @property
    def manager(self) -> SyncJobManager:
        """All that is asked of jobs in the process that runs them."""
        return self._opened().manager

    @property
    def accounts(self) -> Accounts:
        """Who has an account, and who is logged in by it."""
        return self._built().accounts

    @property
    def admin_log(self) -> AdminLog:
        """What administrators did, and whom the server did not let in."""
        return self._built().admin_log

    @property
    def push_hooks(self) -> PushHooks:
        """The addresses at which code hosts tell of pushes."""
        return self._built().push_hooks

    @property
    def backups(self) -> Backups:
        """The backups of the database: made, listed, and when the next is due."""
        return self._built().backups

    @property
    def end_notices(self) -> EndNotices:
        """What tells the ends of jobs where their submits asked for it."""
        return self._built().end_notices

    @property
    def concurrency(self) -> ConcurrencyController:
        """The slots."""
        return self._opened().concurrency

    def on_transition(self, hook: Hook) -> Hook:
        """Await *hook* with the job and the log row after each committed transition.

        Hooks are told in the order of the commits, one at a time; one that fails is logged and
        harms nothing. Can be used as a decorator.
        """
        self._hooks.append(hook)
        if self._engine is not None:
            self._engine.board.hooks.add_hook(hook)
        return hook

    async def remove_user(self, user_id: str, *, projects: bool = False) -> None:
        """Remove a user's account; all their tokens and logins are refused at once.

        Their jobs are cancelled first. A token that another application handed out, as
        `authenticate` of a host does, is that application's to revoke.

        Args:
            user_id: whose account it is.
            projects: their projects go too, each once its job has stopped.

        Raises:
            UserNotFoundError: the user has no account.
            ProjectBusyError: a job would not stop; the account is locked, and this can be asked
                again.
        """
        self._opened()
        removal = self._built().user_removal
        await removal.remove(UserId(user_id), with_projects=projects)

    async def change_project(
        self, user_id: str, project_id: str, *, sync_every_seconds: int | str | None
    ) -> Project:
        """Say how often a project's remote is asked for news; return the project.

        A sync is submitted when the branch has another commit than the last good sync found.

        Args:
            user_id: whose project it is.
            project_id: which one.
            sync_every_seconds: 10 to 604,800; ``auto`` for as often as it changes, 1 min to 8 h;
                None for never.

        Raises:
            ProjectNotFoundError: there is none.
            ValidationError: there is no such interval.
        """
        engine = self._opened()
        return await engine.set_sync_interval(
            UserId(user_id), ProjectId(project_id), sync_every_seconds
        )

    async def wait_until_idle(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Return once nothing runs, nothing could start now, and the hooks have heard of it all.

        What is held, paused, or has its time yet to come does not count. Start times and
        back-offs are looked at anew first: a clock that was moved is noticed at once.

        Raises:
            TimeoutError: something was still to be done after *timeout* seconds.
        """
        async with asyncio.timeout(timeout):
            await self._opened().idleness.wait()

    def find_next_due(self) -> datetime | None:
        """Return the earliest start time or end of a back-off that is yet to come."""
        return self._opened().idleness.find_next_due()

    @property
    def _door(self) -> JobDoor:
        if self._membership is None:
            return self.own_door
        self._check_loop()
        return self._membership.door

    @property
    def own_door(self) -> JobDoor:
        """Where the jobs that run in this process are asked for."""
        if self._engine is None or self._parts is None:
            raise self._not_open()
        self._check_loop()
        return self._parts.door

    def _find_children(self) -> Children | None:
        return None if self._parts is None else self._parts.children

    def _loop_for_threads(self) -> asyncio.AbstractEventLoop:
        if (self._engine or self._membership) is None or self._loop is None:
            raise self._not_open()
        return loop_for_other_threads(self._loop, self._thread)

    def _opened(self) -> Engine:
        if self._engine is None:
            raise self._not_open()
        self._check_loop()
        return self._engine

    def _built(self) -> Parts:
        """Return what is open, or was last."""
        if self._parts is None:
            raise self._not_open()
        return self._parts

    def _not_open(self) -> RuntimeError:
        if self.is_member:
            return RuntimeError(_ELSEWHERE)
        return RuntimeError("the job system is not open: use `async with`")

    def _check_loop(self) -> None:
        check_own_loop(self._loop, self._thread)


_LOST = (
    " on an event loop that was closed before it: its data directory is free once this process has"
    " ended. Leave `async with jobs` before the loop ends"
)
_ELSEWHERE = (
    "another process owns the data directory, and this can only be asked there: call what "
    "submits, reads and steers jobs and schedules, or ask over HTTP"
)
