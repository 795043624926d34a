"""The parts of an open system: each built once from those that it needs, and started in order."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from cidx_jobs.assembly.doctor import SystemDoctor
from cidx_jobs.engine.access.accounts import Accounts
from cidx_jobs.engine.access.admin_log import AdminLog
from cidx_jobs.engine.access.logins import Logins
from cidx_jobs.engine.access.passwords import Passwords
from cidx_jobs.engine.access.user_removal import UserRemoval
from cidx_jobs.engine.door import EngineDoor
from cidx_jobs.engine.engine import Engine
from cidx_jobs.engine.state.hooks import Hook
from cidx_jobs.engine.upkeep.backups import Backups
from cidx_jobs.engine.upkeep.loop_watch import LoopWatch
from cidx_jobs.engine.webhooks.end_notices import EndNotices
from cidx_jobs.engine.webhooks.push_hooks import PushHooks
from cidx_jobs.engine.webhooks.secret_box import SecretBox
from cidx_jobs.handlers.git.network.host_addresses import HostLookup
from cidx_jobs.handlers.git.remotes import GitRemotes
from cidx_jobs.handlers.git.version import InstalledGit
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.process.orphans import end_orphans
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.index import Indexer
from cidx_jobs.interfaces.notices import NoticeSender
from cidx_jobs.interfaces.run import Middleware
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.traces import Traces
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.late_imports import import_late, is_there
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.observe.job_lines import JobLines
from cidx_jobs.observe.job_meters import JobMeters
from cidx_jobs.observe.telemetry import wants_spans
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.copy_files import CopyDirectories


class Parts:
    """What a system is made of while its store is open; the doors to all of it."""

    def __init__(
        self, *, settings: Settings, store: Persistence, identity: StoreIdentity,
        indexer: Indexer, clock: Clock, meters: Meters, job_types: Sequence[JobType],
        middlewares: Sequence[Middleware], schedules: Sequence[Schedule], runs_jobs: bool,
        is_shared: bool, is_stopping: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Build them over a store that is open as *identity*; nothing runs yet.

        Raises:
            SettingsError: an extra is missing that a setting wants.
        """
        self._settings = settings
        self._store = store
        self._runs_jobs = runs_jobs
        self._is_shared = is_shared
        self._meters = meters
        directory = DataDirectory(settings.data_dir)
        self.identity = identity
        self.recovery = Recovery()
        """What this start found of the servers before it, and did about it."""
        self.children = Children(identity.run_mark)
        self.installed_git = InstalledGit(self.children)
        files = CopyDirectories(directory, store.projects)
        sync = make_repository_sync(
            settings,
            store.projects,
            indexer,
            self.children,
            clock,
            files=files,
            installed_git=self.installed_git,
        )
        syncs = settings.repository_sync
        self.job_types = JobTypes([*([sync] if syncs else []), *job_types])
        self._traces = _make_traces(settings, clock)
        self.engine = Engine(
            settings=settings,
            store=store,
            identity=identity,
            job_types=self.job_types,
            children=self.children,
            clock=clock,
            files=files,
            middlewares=middlewares,
            schedules=schedules,
            remotes=GitRemotes(settings, self.children, self.installed_git) if syncs else None,
            traces=self._traces,
        )
        self.door = EngineDoor(self.engine, settings, is_stopping)
        self.admin_log = AdminLog(store.admin_log, clock)
        logins = Logins(store.accounts, clock, directory.login_key, settings.login_seconds)
        self.accounts = Accounts(store.accounts, logins, Passwords(), clock, self.admin_log)
        self.user_removal = UserRemoval(
            accounts=self.accounts,
            store=store,
            manager=self.engine.manager,
            projects=self.engine.projects,
            schedules=self.engine.schedules,
        )
        box = SecretBox(directory.secrets_key)
        self.push_hooks = PushHooks(
            store=store.push_hooks,
            projects=store.projects,
            manager=self.engine.manager,
            box=box,
            clock=clock,
        )
        self.end_notices = EndNotices(
            store=store,
            box=box,
            clock=clock,
            allowed_hosts=settings.webhook_allowed_hosts,
            make_sender=self._make_notice_sender,
        )
        self.backups = Backups(
            store.backups,
            clock,
            interval_seconds=settings.backup_interval_seconds,
            keep=settings.backup_keep,
        )
        self._loop_watch = LoopWatch(meters)
        self.doctor = SystemDoctor(
            store=store,
            identity=identity,
            engine=self.engine,
            children=self.children,
            files=files,
            indexer=indexer,
            runs_jobs=runs_jobs,
        )

    async def start_engine(self, started: AsyncExitStack, hooks: Sequence[Hook]) -> None:
        """Recover what an older server left, and begin to start jobs.

        What is started is put on the stack, whose closing stops it. In a system that runs no
        jobs only what administrators have set is loaded.

        Args:
            started: the stack; the store's own close lies at its bottom.
            hooks: the application's, told of every transition from the first one on.

        Raises:
            SettingsError: a job type holds a resource that no setting names, or a setting names
                a job type that is not there.
        """
        self._observe(started, hooks)
        engine = self.engine
        if self._runs_jobs:
            before = await self._clear_leftovers()
            # The processes that share a directory may each have other types.
            if not self._is_shared:
                await engine.check_retention()
            self.recovery = await engine.start(before)
            await self.end_notices.start()
            started.push_async_callback(self.end_notices.stop)
        else:
            await engine.load_controls()
            await engine.schedules.load()
        started.push_async_callback(engine.stop, self._settings.shutdown_grace_seconds)
        # Before the grace time: whoever asks for the stop may not be as patient.
        started.push_async_callback(self._store.accept_stop)

    async def start_upkeep(self, started: AsyncExitStack) -> None:
        """Begin to make backups, and to watch the event loop."""
        if self._runs_jobs:
            for part in (self.backups, self._loop_watch):
                await part.start()
                started.push_async_callback(part.stop)

    def _observe(self, started: AsyncExitStack, hooks: Sequence[Hook]) -> None:
        """Let all who are told of transitions be told, before there is the first."""
        told = self.engine.board.hooks
        if self._traces is not None:
            started.callback(self._traces.close)
            told.add_observer(self._traces.note)
        lines = JobLines()
        started.callback(lines.close)
        told.add_observer(lines)
        told.add_observer(self.end_notices.note_end)
        if is_there("cidx_jobs.observe.exposition"):
            # Without the extra nobody could read what is counted.
            told.add_observer(JobMeters(self._meters))
        for hook in hooks:
            told.add_hook(hook)

    async def _clear_leftovers(self) -> Recovery:
        # Before anything starts: a git of a killed server may still write into a copy.
        killed = await end_orphans(self.identity)
        return Recovery(killed_processes=killed, swept_files=await self._store.sweep())

    async def _make_notice_sender(self) -> NoticeSender:
        # Loading it takes a third of a second, which nobody waits for on the loop.
        module = await in_own_thread(import_late, "cidx_jobs.handlers.notice_sender")
        sender: NoticeSender = module.HttpNoticeSender(HostLookup(self.children))
        return sender


def _make_traces(settings: Settings, clock: Clock) -> Traces | None:
    if not wants_spans(settings.tracing):
        return None
    made: Traces = import_late("cidx_jobs.observe.traces").RunSpans(clock)
    return made
