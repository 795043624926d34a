"""The job type ``repository_sync``: one repository fetched, compared, indexed and checked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec

from cidx_jobs.handlers.git.commands import ANSWER_SECONDS, LOW_SPEED_SECONDS, Git
from cidx_jobs.handlers.git.errors import DAMAGED
from cidx_jobs.handlers.git.network.approach import Approach
from cidx_jobs.handlers.git.network.host_addresses import HostLookup, Resolve
from cidx_jobs.handlers.git.project_copy import ProjectCopy
from cidx_jobs.handlers.git.url_rules import Remote, RemoteRules
from cidx_jobs.handlers.git.version import InstalledGit
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.add_files import FileIndexing
from cidx_jobs.handlers.repository_sync.changes import ChangeDetection
from cidx_jobs.handlers.repository_sync.fetch import Fetching, Target
from cidx_jobs.handlers.repository_sync.fetch_speed import GRACE_SECONDS
from cidx_jobs.handlers.repository_sync.options import (
    SyncOptions,
    find_copy_id,
    make_admit,
    make_limits,
)
from cidx_jobs.handlers.repository_sync.phases import (
    CHANGE_DETECTION,
    GIT_SYNC,
    INDEXING,
    PREPARING,
    VALIDATION,
    SyncPhases,
    weigh_phases,
)
from cidx_jobs.handlers.repository_sync.publish import validate_and_publish
from cidx_jobs.handlers.repository_sync.record import ProjectRecord, make_note
from cidx_jobs.handlers.repository_sync.report_while import follow
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.index import IndexDraft, Indexer
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.interfaces.store.files import CopyFiles
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import Fatal, JobFailure
from cidx_jobs.model.ids import CopyId, make_lone_copy_id
from cidx_jobs.model.index import DraftRequest, IndexState, TreeChanges
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.listing import Project
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.settings import DataDirectory, Settings

NAME = "repository_sync"

_ALL_PHASES = (PREPARING, GIT_SYNC, CHANGE_DETECTION, INDEXING, VALIDATION)
_WITHOUT_INDEXING = (PREPARING, GIT_SYNC, CHANGE_DETECTION)
_UNSOUND = "IDX-002"
_SHOWN_DIGITS = 10
_MADE_ANEW = "INDEX_MADE_ANEW"
_PROGRAM_WARNED = "INDEX_PROGRAM_WARNED"
_MADE_ANEW_SENTENCE = "the index was damaged: it was made anew"


class SyncParts(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs share."""

    settings: Settings
    store: ProjectStore
    indexer: Indexer
    git: Git
    clock: Clock
    files: CopyFiles
    rules: RemoteRules
    approach: Approach
    fetch_grace_seconds: float


def make_repository_sync(
    settings: Settings,
    store: ProjectStore,
    indexer: Indexer,
    children: Children,
    clock: Clock,
    *,
    files: CopyFiles,
    installed_git: InstalledGit | None = None,
    resolve: Resolve | None = None,
    low_speed_seconds: float = LOW_SPEED_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
    fetch_grace_seconds: float = GRACE_SECONDS,
) -> JobType:
    """Return the job type; its runs use the parts given here.

    Args:
        settings: where things lie, what is allowed, and how much.
        store: keeps what is known of projects.
        indexer: keeps the index.
        children: starts git.
        clock: for the times of the phases.
        files: where the copies lie.
        installed_git: knows which git there is; its own if None.
        resolve: gives the addresses of a host name; the system's resolver, in children, if None.
        low_speed_seconds: a remote that sends nearly nothing for so long has failed.
        answer_seconds: how long a host may take to answer before it counts as down.
        fetch_grace_seconds: how long one may be slower than `git_min_bytes_per_second`.
    """
    git = Git(
        children,
        installed_git or InstalledGit(children),
        low_speed_seconds=low_speed_seconds,
        answer_seconds=answer_seconds,
        memory_bytes=settings.git_memory_bytes,
    )
    parts = SyncParts(
        settings=settings,
        store=store,
        indexer=indexer,
        git=git,
        clock=clock,
        files=files,
        rules=RemoteRules.of(settings),
        approach=Approach(settings, resolve or HostLookup(children)),
        fetch_grace_seconds=fetch_grace_seconds,
    )
    return JobType(
        NAME,
        lambda context: _SyncRun(parts, context).run(),
        exclusive=True,
        options=SyncOptions,
        limits=make_limits(parts.rules, settings),
        admit=make_admit(parts.rules),
    )


def describe_repository_sync() -> JobType:
    """Return the job type as a process shows it that runs no jobs: its name, rules and options."""
    return JobType(NAME, _run_elsewhere, exclusive=True, options=SyncOptions)


async def _run_elsewhere(_: JobContext[SyncOptions]) -> None:
    message = "this process runs no jobs"
    raise Fatal(message)


class _SyncRun:
    """One run of a sync, phase by phase."""

    def __init__(self, parts: SyncParts, context: JobContext[SyncOptions]) -> None:
        self._parts = parts
        self._context = context
        self._job = job = context.job
        self._options = context.options
        url, branch = self._options.repository_url or "", self._options.asked_branch
        self._copy_id = find_copy_id(parts.settings, url, branch)
        directory = DataDirectory(parts.settings.data_dir).projects / self._copy_id
        self._copy = ProjectCopy(directory, parts.git, f"{job.job_id}.{job.run}")
        self._phases = SyncPhases(context, parts.clock)
        self._record = ProjectRecord(parts.store, parts.clock, job)
        self._detection = ChangeDetection(parts.git, self._copy, parts.settings)

    async def run(self) -> JsonObject:
        """Go through the phases and return the job's result.

        Raises:
            JobFailure: with the code of what went wrong; searches see the index as it was.
            ValidationError: the url is not allowed any more.
        """
        try:
            # One run of a copy at a time, also where a job was stored under other settings.
            async with self._parts.files.hold(self._copy_id):
                result, before = await self._run_alone()
        except JobFailure as failure:
            await self._record.save_failure(failure, self._copy_id)
            raise
        if before not in {None, self._copy_id}:
            await self._parts.files.release(before)
        return result

    async def _run_alone(self) -> tuple[JsonObject, CopyId | None]:
        try:
            return await self._run()
        finally:
            # What was fetched and not accepted goes, also when the run is cancelled.
            await finish(self._copy.clean_up())

    async def _run(self) -> tuple[JsonObject, CopyId | None]:
        project = await self._record.load()
        names = _WITHOUT_INDEXING if self._options.skip_indexing else _ALL_PHASES
        self._phases.plan(weigh_phases(names, project.phase_seconds))
        async with self._phases.enter(PREPARING):
            remote = self._parts.rules.read(self._options.repository_url or "")
            await self._take_over(project)
            await self._check_files()
            await self._copy.prepare()
            before = await self._load_index_state()
        target = await self._sync_git(remote, before)
        is_shown = before is not None and self._shows(before, target.commit)
        if is_shown and not self._options.skip_indexing and await self._is_damaged():
            note = await self._index(None, target)
        elif before is not None and is_shown:
            note = await self._pass_over(before, target)
        else:
            note = await self._index(before, target)
        result = {**note, "bytes_received": target.bytes_received}
        result["phase_seconds"] = dict(self._phases.seconds)
        # Times of a sync with nothing to index say nothing of the next one.
        seconds = dict(self._phases.seconds) if note["files_indexed"] > 0 else None
        copy_before = await self._record.save(
            target,
            await self._load_index_state(),
            await self._copy.measure(),
            seconds,
            self._copy_id,
        )
        return result, copy_before

    async def _take_over(self, project: Project) -> None:
        """Let the copy that the project had for itself, before copies were shared, be this one."""
        job, files = self._job, self._parts.files
        lone = make_lone_copy_id(job.user_id, job.project_id)
        same = (self._options.repository_url, self._options.asked_branch)
        if project.copy_id != lone or (project.repository_url, project.branch) != same:
            return
        async with files.hold(lone):
            if await in_own_thread(files.take_over, lone, self._copy_id):
                await self._record.move(project, self._copy_id)

    async def _check_files(self) -> None:
        """Check that the copy's files are the server's own, before git stumbles over them.

        Raises:
            JobFailure: they are not (CFG-005).
        """
        if await in_own_thread(self._parts.files.has_foreign, self._copy_id):
            message = "the project's files on the server belong to another user of the system"
            raise JobFailure(message, code="CFG-005")

    async def _sync_git(self, remote: Remote, before: IndexState | None) -> Target:
        parts = self._parts
        fetching = Fetching(
            parts.git,
            self._copy,
            self._context,
            parts.settings,
            parts.approach,
            grace_seconds=parts.fetch_grace_seconds,
        )
        async with self._phases.enter(GIT_SYNC) as phase:
            target = await fetching.take_up()
            if target is None:
                shown = before.commit if before and self._shows(before, before.commit) else None
                async with self._context.resource("git"):
                    target = await fetching.fetch(remote, self._options.asked_branch, phase, shown)
            phase.finish({"commit": target.commit, "bytes_received": target.bytes_received})
        return target

    def _shows(self, state: IndexState, commit: str) -> bool:
        # A full reindex that was published before its job could end is not made twice.
        is_wanted_anew = self._options.full_reindex and state.published_by != self._job.job_id
        return state.commit == commit and not is_wanted_anew

    async def _is_damaged(self) -> bool:
        """Return whether the index that nothing new is to come into is damaged; warn of it."""
        fault = await self._parts.indexer.find_fault(self._copy_id, deep=False)
        if fault is not None:
            self._context.warn(_MADE_ANEW, _MADE_ANEW_SENTENCE)
        return fault is not None

    async def _pass_over(self, state: IndexState, target: Target) -> JsonObject:
        message = f"nothing new: {target.commit[:_SHOWN_DIGITS]} is indexed already"
        for name in (CHANGE_DETECTION, INDEXING, VALIDATION):
            if name in self._phases.planned:
                async with self._phases.enter(name) as phase:
                    await phase.report(percent=100, message=message)
        if state.published_by == self._job.job_id:
            return {
                **state.note,
                "resumed_from": {"phase": VALIDATION, "files": state.files_total},
            }
        return make_note(target, state, None)

    async def _index(self, before: IndexState | None, target: Target) -> JsonObject:
        """Index the target's tree; where the index proves unsound, make it anew, once."""
        is_full = self._options.full_reindex
        try:
            return await self._index_once(before, target, full=is_full)
        except JobFailure as failure:
            if failure.failure_code == DAMAGED:
                await self._copy.remove()
            if failure.failure_code != _UNSOUND or is_full:
                raise
        self._context.warn(_MADE_ANEW, _MADE_ANEW_SENTENCE)
        return await self._index_once(before, target, full=True)

    async def _index_once(
        self, before: IndexState | None, target: Target, *, full: bool
    ) -> JsonObject:
        async with self._drafting(full=full) as draft:
            async with self._phases.enter(CHANGE_DETECTION) as phase:
                shown = before.commit if before else None
                changes = await self._detection.run(draft, phase, shown, target)
                # Only what is whole and within all bounds stays on the disk.
                await self._copy.accept()
                await self._context.save_checkpoint(target.checkpoint())
            note = make_note(target, before, changes)
            note["resumed_from"] = self._resumed_from(target, changes)
            if self._options.skip_indexing:
                await draft.discard()
                return note
            async with (
                self._phases.enter(INDEXING) as phase,
                self._context.resource("indexing"),
            ):
                indexing = FileIndexing(self._context, draft, changes)
                await indexing.run(self._parts.git, self._copy, phase, target.checkpoint())
                warnings = await follow(
                    draft.work(target.commit), lambda: phase.report(**draft.activity())
                )
            for warning in warnings:
                self._context.warn(_PROGRAM_WARNED, warning)
            async with self._phases.enter(VALIDATION) as phase:
                published = await follow(
                    validate_and_publish(self._context, draft, target.commit, note),
                    lambda: phase.report(**draft.activity()),
                )
                await self._copy.remember_indexed(
                    target.commit, self._parts.settings.max_repository_bytes
                )
                searchable = published.state.files_indexed
                await phase.report(percent=100, message=f"{searchable} files in the index")
            return dict(published.state.note)

    def _resumed_from(self, target: Target, changes: TreeChanges) -> JsonObject | None:
        if self._context.checkpoint is None or not (target.is_taken_up or changes.staged):
            return None
        phase = INDEXING if changes.staged else CHANGE_DETECTION
        return {"phase": phase, "files": changes.staged}

    @contextlib.asynccontextmanager
    async def _drafting(self, *, full: bool) -> AsyncIterator[IndexDraft]:
        """Yield a draft; it stays only for a run that will go on with it."""
        job = self._job
        async with self._parts.indexer.draft(
            DraftRequest(
                copy_id=self._copy_id,
                user_id=job.user_id,
                project_id=job.project_id,
                job_id=job.job_id,
                run=job.run,
                full=full,
            )
        ) as draft:
            try:
                yield draft
            except JobFailure:
                await draft.discard()
                raise
            except asyncio.CancelledError:
                if self._context.cancel_requested:
                    await draft.discard()
                raise

    async def _load_index_state(self) -> IndexState | None:
        return await self._parts.indexer.load_state(self._copy_id)
