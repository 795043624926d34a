"""Phase git_sync: which commit a run goes to, and how it comes into the project's copy."""

import time
from functools import partial

import attrs
import msgspec

from cidx_jobs.handlers.git.commands import FetchBounds, Git, RemoteHead
from cidx_jobs.handlers.git.network.approach import Approach
from cidx_jobs.handlers.git.progress import FetchProgress
from cidx_jobs.handlers.git.project_copy import HEAD_REF, Fetched, ProjectCopy
from cidx_jobs.handlers.git.shields import Access
from cidx_jobs.handlers.git.url_rules import Remote, RemoteRules, Scheme
from cidx_jobs.handlers.repository_sync.fetch_speed import GRACE_SECONDS, FetchSpeed
from cidx_jobs.handlers.repository_sync.report_while import follow
from cidx_jobs.handlers.repository_sync.submodules import SubmoduleParts, Submodules
from cidx_jobs.interfaces.run import JobContext, PhaseReporter
from cidx_jobs.model.errors import HostDownError, JobFailure
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.job.job import JsonObject, Outcome
from cidx_jobs.settings import Settings

_UNKNOWN_NAME = "NET-001"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The commit that a run brings the index to."""

    commit: str
    tree: str
    """What is indexed: the commit, or a tree with those of its submodules in it."""
    default_branch: str | None
    bytes_received: int
    is_taken_up: bool = False
    """An interrupted run of the job had fetched it: this one did not ask the remote."""

    def checkpoint(self) -> JsonObject:
        """Return what the next run of the job needs to go on with this commit."""
        return {
            "commit": self.commit,
            "tree": self.tree,
            "default_branch": self.default_branch,
            "bytes_received": self.bytes_received,
        }


class Fetching:
    """Finds the target of one run and fetches it."""

    def __init__(
        self,
        git: Git,
        copy: ProjectCopy,
        context: JobContext,
        settings: Settings,
        approach: Approach,
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Take the parts.

        Args:
            git: fetches.
            copy: the project's, which gets what is fetched.
            context: of the run.
            settings: what is allowed, and how much.
            approach: finds how a remote is reached.
            grace_seconds: how long a remote may be slower than the settings say.
        """
        self._git = git
        self._copy = copy
        self._context = context
        self._settings = settings
        self._approach = approach
        self._grace_seconds = grace_seconds

    async def take_up(self) -> Target | None:
        """Return the commit that an interrupted run was at: it goes on, and begins nothing new.

        None after a failure and on a retry on request: what was wrong at the remote may be
        mended by now.
        """
        job, saved = self._context.job, self._context.checkpoint
        # A run that found the host down changed nothing about what the one before it said.
        ended = [each.outcome for each in job.attempts if not each.found_host_down]
        if not isinstance(saved, dict) or ended[-1:] != [Outcome.INTERRUPTED]:
            return None
        commit = saved["commit"]
        if await self._git.find_commit(self._copy.repository, HEAD_REF) != commit:
            return None
        return Target(
            commit=commit,
            tree=saved["tree"],
            default_branch=saved["default_branch"],
            bytes_received=saved["bytes_received"],
            is_taken_up=True,
        )

    async def fetch(
        self, remote: Remote, branch: str | None, phase: PhaseReporter, indexed: str | None
    ) -> Target:
        """Ask the remote for its newest commit and fetch it, unless it is the *indexed* one.

        Raises:
            JobFailure: with the code of what went wrong; `HostDownError` where the remote's host
                does not answer.
        """
        access = await self._reach_own(remote)
        head = await self._git.ask_remote(access, branch)
        if head.commit == indexed:
            fetched = Fetched(commit=head.commit, bytes_received=0)
        else:
            fetched = await self._fetch(access, head, phase)
        tree = fetched.commit
        if self._settings.git_submodules and head.commit != indexed:
            tree = await self._graft_submodules(remote, fetched.commit, phase)
        return Target(
            commit=fetched.commit,
            tree=tree,
            default_branch=head.default_branch,
            bytes_received=fetched.bytes_received,
        )

    async def _fetch(self, access: Access, head: RemoteHead, phase: PhaseReporter) -> Fetched:
        watch = self._watch(access.remote, phase)
        return await follow(
            self._copy.fetch(access, head, self._bounds(), watch.on_line), watch.report
        )

    async def _graft_submodules(self, remote: Remote, commit: str, phase: PhaseReporter) -> str:
        watch = self._watch(remote, phase)
        parts = SubmoduleParts(
            git=self._git,
            copy=self._copy,
            rules=RemoteRules.of(self._settings),
            reach=self._approach.find,
            bounds=msgspec.structs.replace(self._bounds(), depth=1),
            max_files=self._settings.max_files,
        )
        submodules = Submodules(parts, self._context, watch.on_line)
        tree = await follow(submodules.graft(commit, remote), watch.report)
        await submodules.forget_others()
        return tree

    def _watch(self, remote: Remote, phase: PhaseReporter) -> "_Watch":
        # A local repository needs no bound: its disk is the operator's.
        least = self._settings.git_min_bytes_per_second
        speed = FetchSpeed(
            printable(remote.url),
            0 if remote.scheme is Scheme.LOCAL else least,
            self._copy.count_received,
            grace_seconds=self._grace_seconds,
        )
        return _Watch(phase, speed)

    def _bounds(self) -> FetchBounds:
        return FetchBounds(
            depth=self._settings.git_depth,
            max_bytes=self._settings.max_repository_bytes,
            timeout=self._context.job.timeout_seconds,
        )

    async def _reach_own(self, remote: Remote) -> Access:
        """Find the remote of the sync itself; whether its host answers is told to all others."""
        began = time.monotonic()
        try:
            access = await self._approach.find(remote)
        except JobFailure as failure:
            if failure.failure_code != _UNKNOWN_NAME:
                raise
            raise HostDownError(
                remote.host_name,
                failure.message,
                code=failure.failure_code,
                silent_seconds=time.monotonic() - began,
            ) from failure
        if remote.scheme is Scheme.LOCAL:
            return access
        tell = partial(self._context.note_host_answer, remote.host_name)
        return attrs.evolve(access, on_answer=tell)


class _Watch:
    """A fetch that is followed: how far it is, and whether it is fast enough."""

    def __init__(self, phase: PhaseReporter, speed: FetchSpeed) -> None:
        self._phase = phase
        self._speed = speed
        self._progress = FetchProgress()
        self.on_line = speed.hear(self._progress.feed)

    async def report(self) -> None:
        await self._speed.check()
        await self._phase.report(**self._progress.report())
