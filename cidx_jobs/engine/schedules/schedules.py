"""`Schedules`: all that is asked of schedules in the process that fires them."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import attrs
from msgspec.structs import replace

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.schedules.requests import make_request
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.model.errors import (
    Fault,
    JobNotFoundError,
    ScheduleDeclaredError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    StaleScheduleError,
    TooManySchedulesError,
    ValidationError,
    pointer_step,
)
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.schedules.schedule import (
    MAX_SCHEDULES_PER_USER,
    Schedule,
    ScheduleKey,
    ScheduleState,
)
from cidx_jobs.model.schedules.settlement import Firing
from cidx_jobs.model.schedules.view import MEMBERS, ScheduleView
from cidx_jobs.runtime.log import get_logger

_FIXED = frozenset({"name", "user_id"})
_TIMING = ("cron", "every_seconds", "timezone", "enabled")
_LOOKS = 3
"""A schedule that fires meanwhile looks like a fault once, and not each time."""
_LOOK_AGAIN_SECONDS = 0.1

_log = get_logger("schedules")


class Schedules:
    """Adds schedules, reads, changes, removes and runs them; every change is stored first."""

    def __init__(
        self, store: ScheduleStore, board: Board, admission: Admission, manager: SyncJobManager
    ) -> None:
        """Take the parts."""
        self._store = store
        self._board = board
        self._book = board.schedules
        self._admission = admission
        self._manager = manager
        self._adding = asyncio.Lock()

    async def add(self, schedule: Schedule) -> ScheduleView:
        """Store a new schedule, by the rules of `ScheduleCalls.add`; it fires from now on."""
        _check_kind(schedule)
        await self._admission.check(make_request(schedule))
        async with self._adding:
            user_id = UserId(schedule.user_id)
            if self._book.find((user_id, schedule.name)) is not None:
                raise ScheduleExistsError(schedule.name)
            if self._book.count(user_id) >= MAX_SCHEDULES_PER_USER:
                raise TooManySchedulesError(MAX_SCHEDULES_PER_USER)
            state = self._new(schedule)
            try:
                await self._save(state)
            except StaleScheduleError as error:
                # It is stored, and cannot be read any more.
                raise ScheduleExistsError(schedule.name) from error
        return await self._view(state)

    async def get(self, user_id: str, name: str) -> ScheduleView:
        """Return the user's schedule; `ScheduleNotFoundError` when there is none."""
        return await self._view(self._find((UserId(user_id), name)))

    async def list(
        self,
        user_id: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> Sequence[ScheduleView]:
        """Return at most *limit* schedules of a user, or of all, by name, behind *after*."""
        user, name = after or ("", "")
        if user_id is not None:
            found = self._book.of_user(UserId(user_id), name)
        else:
            found = self._book.of_all((UserId(user), name))
        return [await self._view(state) for state in tuple(islice(found, limit))]

    async def change(self, user_id: str, name: str, **members: Any) -> ScheduleView:
        """Change what a schedule says, by the rules of `ScheduleCalls.change`."""
        _check_names(members)
        key = UserId(user_id), name
        while True:
            state = self._find_own(key)
            schedule = _evolve(state.schedule, members)
            if schedule == state.schedule:
                return await self._view(state)
            await self._admission.check(make_request(schedule))
            changed = self._changed(state, schedule)
            try:
                await self._save(changed)
            except StaleScheduleError:
                continue
            return await self._view(changed)

    async def remove(self, user_id: str, name: str) -> None:
        """Remove a schedule, by the rules of `ScheduleCalls.remove`."""
        key = UserId(user_id), name
        self._find_own(key)
        await self._delete(key)

    async def run(self, user_id: str, name: str, *, actor: str | None = None) -> Job:
        """Submit the job of a schedule now, by the rules of `ScheduleCalls.run`, and return it."""
        key = UserId(user_id), name
        while True:
            state = self._find(key)
            firing = Firing(
                state=replace(state, version=state.version + 1),
                scheduled_at=None,
                served_at=self._board.clock.now(),
            )
            try:
                request = make_request(state.schedule, actor=UserId(actor or user_id))
                submission = await self._manager.create_job(request, firing)
            except StaleScheduleError:
                continue
            return submission.job

    async def load(self) -> None:
        """Take what is stored into memory."""
        self._book.restore(await self._store.load_schedules())

    async def declare(self, schedules: Iterable[Schedule]) -> None:
        """Make the declared schedules those that stand in the application's code, and no others.

        One that says what it said goes on where it was; another takes a schedule's place that
        somebody made by the same name.

        Raises:
            ValidationError: two have one name, or a job type would not take what one submits.
        """
        wanted = tuple(schedules)
        for one in wanted:
            _check_kind(one)
        declared = {(UserId(one.user_id), one.name): one for one in wanted}
        if len(declared) < len(wanted):
            raise ValidationError.at("/name", "two declared schedules of a user have one name")
        for key, schedule in declared.items():
            # A project that is not known yet, or no more, is no reason not to start.
            await self._admission.check(make_request(schedule), as_of_now=False)
            await self._declare(key, schedule)
        for state in tuple(self._book.of_all()):
            if state.is_declared and state.key not in declared:
                await self._delete(state.key)
                _log.info("schedule_withdrawn", user_id=state.key[0], schedule=state.key[1])

    async def remove_of_user(self, user_id: UserId) -> None:
        """Remove all schedules of a user who is removed, but for declared ones."""
        for state in tuple(self._book.of_user(user_id)):
            if not state.is_declared:
                await self._delete(state.key)

    async def examine(self) -> Sequence[Finding]:
        """Compare the memory with the store; return what does not fit together, if anything."""
        found = await self._look()
        for _ in range(_LOOKS - 1):
            if not found:
                break
            # Schedules fire while they are compared: only what stays is told.
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            again = set(await self._look())
            found = [finding for finding in found if finding in again]
        return found

    async def mend(self) -> None:
        """Let the memory follow the store again."""
        stored = {state.key: state for state in await self._store.load_schedules()}
        for state in tuple(self._book.of_all()):
            if state.key not in stored:
                self._book.drop(state.key)
        for state in stored.values():
            self._book.put(state)

    def list_notes(self) -> Sequence[Finding]:
        """List the schedules whose last time was refused: somebody should change them."""
        return [
            Finding(
                kind="schedule",
                message=f"schedule {name} of {user_id} was refused: {state.last_error}",
            )
            for state in self._book.of_all()
            if state.last_error is not None
            for user_id, name in [state.key]
        ]

    async def _look(self) -> Sequence[Finding]:
        stored = {state.key: state for state in await self._store.load_schedules()}
        known = {state.key: state for state in self._book.of_all()}
        return [
            Finding(
                kind="schedule",
                message=f"schedule {key[1]} of {key[0]} is not in memory as it is stored",
            )
            for key in sorted(stored.keys() | known.keys())
            if key not in known or key not in stored or known[key].version < stored[key].version
        ]

    async def _declare(self, key: ScheduleKey, schedule: Schedule) -> None:
        state = self._book.find(key)
        if state is not None and state.is_declared and state.schedule == schedule:
            return
        new = self._new(schedule) if state is None else self._changed(state, schedule)
        await self._save(replace(new, is_declared=True))
        _log.info("schedule_declared", user_id=key[0], schedule=key[1])

    def _new(self, schedule: Schedule) -> ScheduleState:
        now = self._board.clock.now()
        return ScheduleState(schedule=schedule, created_at=now, changed_at=now, settled_at=now)

    def _changed(self, state: ScheduleState, schedule: Schedule) -> ScheduleState:
        now = self._board.clock.now()
        old = state.schedule
        # An interval counts from each change on; the times of a cron line are what they were.
        is_moved = schedule.cron is None or any(
            getattr(old, name) != getattr(schedule, name) for name in _TIMING
        )
        return replace(
            state,
            schedule=schedule,
            version=state.version + 1,
            changed_at=now,
            settled_at=now if is_moved else state.settled_at,
            owed_at=None if is_moved else state.owed_at,
            last_error=None,
        )

    def _find(self, key: ScheduleKey) -> ScheduleState:
        state = self._book.find(key)
        if state is None:
            raise ScheduleNotFoundError(key[1])
        return state

    def _find_own(self, key: ScheduleKey) -> ScheduleState:
        state = self._find(key)
        if state.is_declared:
            raise ScheduleDeclaredError(key[1])
        return state

    async def _save(self, state: ScheduleState) -> None:
        await self._store.save_schedule(state, lambda: self._book.put(state))

    async def _delete(self, key: ScheduleKey) -> None:
        await self._store.delete_schedule(key, lambda: self._book.drop(key))

    async def _view(self, state: ScheduleState) -> ScheduleView:
        status = None
        if state.last_job_id is not None:
            try:
                status = (await self._manager.get_job(state.last_job_id)).status
            except JobNotFoundError:
                status = None
        now = self._board.clock.now()
        return ScheduleView.of(state, self._book.times_of(state), now, status)


def _check_kind(schedule: object) -> None:
    if not isinstance(schedule, Schedule):
        message = f"a Schedule is wanted, not {type(schedule).__name__}"
        raise ValidationError.at("", message)


def _check_names(members: Iterable[str]) -> None:
    faults = [
        Fault(f"/{pointer_step(name)}", "there is no such member, or it cannot be changed")
        for name in members
        if name not in MEMBERS or name in _FIXED
    ]
    if faults:
        raise ValidationError(faults)


def _evolve(schedule: Schedule, members: dict[str, Any]) -> Schedule:
    """Return the schedule with other members; one kind of time takes the other's place."""
    changes = dict(members)
    for given, other in (("cron", "every_seconds"), ("every_seconds", "cron")):
        if changes.get(given) is not None:
            changes.setdefault(other, None)
    return attrs.evolve(schedule, **changes)
