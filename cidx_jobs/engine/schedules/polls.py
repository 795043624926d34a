"""Polls: the remotes of projects are asked for news, and a sync is submitted where there is some.

A poll is no job: it asks for one commit, and leaves nothing behind when that is the one of the
last good sync. The next poll of each project is known from its copy and its interval alone, and
projects that share a copy share its polls.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec

from cidx_jobs.engine.alarm_clock import LONGEST_NAP_SECONDS, AlarmClock
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.dues import Dues
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.interfaces.remotes import Remotes
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import (
    CidxJobsError,
    ProjectNotFoundError,
    UnknownJobTypeError,
    ValidationError,
)
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.job.job import Place
from cidx_jobs.model.job.key_limits import LimitKey, key_of_host
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.listing import Project
from cidx_jobs.model.schedules.polling import (
    AUTO,
    MAX_SYNC_SECONDS,
    MIN_SYNC_SECONDS,
    catch_up,
    find_group,
    find_interval,
    find_next_poll,
)
from cidx_jobs.runtime.log import get_logger

SYNC = "repository_sync"
MOST_AT_ONCE = 8
"""How many remotes are asked at a time in all, whatever their hosts."""

_WITHOUT_ROOM_SECONDS = 1.0
"""How long a poll waits where its host has no room for it."""
_TOLD = frozenset({"submitted", "joined", "replayed"})
"""The verdicts of deliveries that told of a push to the project's branch."""

_FIRST_AGAIN = timedelta(minutes=1)
_LONGEST_AGAIN = timedelta(days=1)

_Key = tuple[UserId, ProjectId]

_log = get_logger("schedules")


class _Submitted(msgspec.Struct, frozen=True):
    """The commit that a sync was submitted for, and how long after that it is worth another."""

    commit: str
    at: datetime
    again_after: timedelta


class _Answer(msgspec.Struct):
    """What a remote says of a copy's branch: to come, or known for a moment."""

    commit: "asyncio.Future[str]"
    until: datetime | None = None


class Polls(AlarmClock[_Key]):
    """Asks for news of the projects that are to be kept fresh, one poll for each at a time."""

    task_name: ClassVar[str] = "polls"

    def __init__(
        self, *, store: Persistence, board: Board, admission: Admission, remotes: Remotes | None,
        per_host: int, stopped_at: float,
    ) -> None:  # fmt: skip
        """Take the parts.

        Args:
            store: keeps the projects.
            board: knows what runs, and what is paused or down.
            admission: takes the syncs.
            remotes: are asked; without them no project is kept fresh.
            per_host: how many fetches and polls of one code host there are at a time.
            stopped_at: when the server that was here before last wrote, in seconds since 1970.
        """
        super().__init__(board.clock, asyncio.Event())
        self._store = store
        self._board = board
        self._admission = admission
        self._remotes = remotes
        self._per_host = per_host
        self._stopped_at = datetime.fromtimestamp(stopped_at, UTC)
        self._dues: Dues[_Key] = Dues()
        self._faults: dict[_Key, str] = {}
        self._submitted: dict[_Key, _Submitted] = {}
        self._answers: dict[str, _Answer] = {}

    async def set_interval(
        self, user_id: UserId, project_id: ProjectId, every: int | str | None
    ) -> Project:
        """Keep how often the project's remote is asked for news; return the project.

        Args:
            user_id: whose project it is.
            project_id: which one.
            every: 10 to 604,800 seconds, ``auto``, or None for never.

        Raises:
            ProjectNotFoundError: there is none.
            ValidationError: there is no such interval (`UnknownJobTypeError`: no syncs either).
        """
        if every is not None and every != AUTO:
            is_whole = isinstance(every, int) and not isinstance(every, bool)
            if not is_whole or not MIN_SYNC_SECONDS <= int(every) <= MAX_SYNC_SECONDS:
                message = f"it is {MIN_SYNC_SECONDS} to {MAX_SYNC_SECONDS}, {AUTO!r} or null"
                raise ValidationError.at("/sync_every_seconds", message)
        if self._remotes is None:
            raise UnknownJobTypeError(SYNC)
        projects = self._store.projects
        await projects.set_sync_interval(user_id, project_id, every)
        project = await projects.load_project(user_id, project_id)
        if project is None:
            raise ProjectNotFoundError(project_id)
        await self._plan(project)
        return project

    def list_notes(self) -> list[Finding]:
        """List the projects whose remotes could not be asked the last time."""
        return [
            Finding(kind="poll", message=f"project {project_id} of {user_id}: {fault}")
            for (user_id, project_id), fault in sorted(self._faults.items())
        ]

    async def start(self) -> None:
        """Begin, where there are syncs at all."""
        if self._remotes is not None:
            await super().start()

    def ring_due(self) -> None:
        """Begin the polls whose moments have come, as far as there is room."""
        if self._board.reasons.is_stopping:
            return
        now = self._clock.now()
        while self._has_room() and (key := self._dues.take_due(now)) is not None:
            if key not in self._tasks:
                self._begin(key, self._poll(key), name=f"poll-{key[1]}")

    def find_next_due(self) -> datetime | None:
        """Return when the next poll is."""
        return self._dues.find_first()

    def _has_room(self) -> bool:
        return len(self._tasks) < MOST_AT_ONCE

    def _forget(self, key: _Key) -> None:
        super()._forget(key)
        # There is room for one more.
        self._changed.set()

    async def _plan_all(self) -> None:
        now = self._clock.now()
        for project in await self._store.projects.list_followed_projects():
            interval = await self._find_interval(project, now)
            if interval is not None:
                key = project.user_id, project.project_id
                self._plan_at(key, catch_up(project, interval, self._stopped_at, now))

    async def _plan(self, project: Project) -> None:
        now = self._clock.now()
        key = project.user_id, project.project_id
        interval = await self._find_interval(project, now)
        if interval is None:
            self._faults.pop(key, None)
            self._dues.discard(key)
        else:
            self._plan_at(key, find_next_poll(project, interval, now))

    def _plan_at(self, key: _Key, due: datetime) -> None:
        self._dues.set(key, due)
        self._changed.set()

    async def _find_interval(self, project: Project, now: datetime) -> timedelta | None:
        is_told = project.sync_every_seconds == AUTO and await self._is_told_of_pushes(project)
        return find_interval(project, now, is_told_of_pushes=is_told)

    async def _is_told_of_pushes(self, project: Project) -> bool:
        hooks = self._store.push_hooks
        hook = await hooks.find_hook_of(project.user_id, project.project_id)
        if hook is None:
            return False
        return any(one.verdict in _TOLD for one in await hooks.list_deliveries(hook.hook_id))

    async def _poll(self, key: _Key) -> None:
        try:
            project = await self._store.projects.load_project(*key)
        except CidxJobsError as error:
            _log.warning("poll_failed", project_id=key[1], user_id=key[0], code=error.code)
            self._plan_at(key, self._soon(LONGEST_NAP_SECONDS))
            return
        if project is None or project.sync_every_seconds is None:
            self._faults.pop(key, None)
            return
        remotes = self._remotes
        if remotes is None or not self._is_idle(project):
            await self._plan(project)
        elif not await self._ask_if_there_is_room(project, remotes):
            self._plan_at(key, self._soon(_WITHOUT_ROOM_SECONDS))
        else:
            await self._plan(project)

    def _soon(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _is_idle(self, project: Project) -> bool:
        """Tell whether a poll makes sense: nothing is paused, and no sync is on its way."""
        pauses = self._board.pauses
        if pauses.draining or pauses.everything or SYNC in pauses.job_types:
            return False
        if project.user_id in pauses.users:
            return False
        line = project.user_id, project.project_id, SYNC, Place.HEAD
        return self._board.live.in_place(*line) is None

    async def _ask_if_there_is_room(self, project: Project, remotes: Remotes) -> bool:
        """Ask the project's remote, if its host has room for it; False when it has none."""
        try:
            if (known := self._find_answer(project)) is not None:
                await self._learn(project, await known)
                return True
            host = remotes.find_host(project)
            if host is None:
                await self._learn(project, await self._ask(project, remotes, None))
                return True
            return await self._ask_host(project, remotes, key_of_host(host))
        except CidxJobsError as error:
            self._note_fault(project, error)
            return True

    async def _ask_host(self, project: Project, remotes: Remotes, key: LimitKey) -> bool:
        if self._board.outages.find(key) is not None:
            # Those who wait for the host ask it; the next poll is as good as this one.
            return True
        keys = self._board.slots.keys
        if not keys.has_room(key) or keys.count(key) >= self._per_host:
            return False
        keys.take(key)
        self._board.gates.refresh_keys((key,))
        try:
            commit = await self._ask(project, remotes, key)
        finally:
            keys.give_back(key)
            self._board.gates.refresh_keys((key,))
            self._board.look_again.set()
        await self._learn(project, commit)
        return True

    def _find_answer(self, project: Project) -> "asyncio.Future[str] | None":
        """Return what another project with the same copy has just learned, or is about to."""
        group = find_group(project)
        known = self._answers.get(group)
        if known is None or (known.until is not None and self._now() >= known.until):
            return None
        return asyncio.shield(known.commit)

    async def _ask(self, project: Project, remotes: Remotes, key: LimitKey | None) -> str:
        def tell() -> None:
            if key is not None:
                self._board.outages.answer(key)

        now = self._now()
        self._answers = {
            group: each
            for group, each in self._answers.items()
            if each.until is None or now < each.until
        }
        answer = _Answer(asyncio.get_running_loop().create_future())
        self._answers[find_group(project)] = answer
        try:
            commit = await remotes.ask_commit(project, tell)
        except BaseException as error:
            del self._answers[find_group(project)]
            if isinstance(error, CidxJobsError):
                answer.commit.set_exception(error)
                # Whether or not anybody waits for it, too.
                answer.commit.exception()
            else:
                answer.commit.cancel()
            raise
        answer.commit.set_result(commit)
        answer.until = self._now() + timedelta(seconds=MIN_SYNC_SECONDS / 2)
        return commit

    async def _learn(self, project: Project, commit: str) -> None:
        key = project.user_id, project.project_id
        self._faults.pop(key, None)
        if commit == project.last_commit:
            self._submitted.pop(key, None)
        elif self._is_news(project, commit):
            await self._submit(project)

    def _now(self) -> datetime:
        return self._clock.now()

    def _is_news(self, project: Project, commit: str) -> bool:
        """Tell whether to submit a sync of the commit: again and again rarer, where it fails."""
        key = project.user_id, project.project_id
        now = self._clock.now()
        before = self._submitted.get(key)
        if before is None or before.commit != commit:
            self._submitted[key] = _Submitted(commit, now, _FIRST_AGAIN)
            return True
        if now < before.at + before.again_after:
            return False
        longer = min(2 * before.again_after, _LONGEST_AGAIN)
        self._submitted[key] = _Submitted(commit, now, longer)
        return True

    async def _submit(self, project: Project) -> None:
        request = SubmitRequest(user_id=project.user_id, project_id=project.project_id)
        submission = await self._admission.admit(request)
        _log.debug("news_found", project_id=project.project_id, job_id=submission.job.job_id)

    def _note_fault(self, project: Project, error: CidxJobsError) -> None:
        key = project.user_id, project.project_id
        if key not in self._faults:
            code = getattr(error, "failure_code", error.code)
            _log.warning("poll_failed", project_id=key[1], user_id=key[0], code=code)
        self._faults[key] = str(error)
