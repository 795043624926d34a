"""The one timer of all schedules: it wakes for the next that is due, and settles its times."""

import asyncio
from datetime import datetime, timedelta
from typing import ClassVar

from cidx_jobs.engine.alarm_clock import AlarmClock
from cidx_jobs.engine.schedules.requests import make_request
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.submit.admission import Admission
from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.model.errors import (
    CidxJobsError,
    RequestError,
    StaleScheduleError,
    UnavailableError,
)
from cidx_jobs.model.schedules.schedule import ScheduleKey, ScheduleState
from cidx_jobs.model.schedules.settlement import Settlement, settle
from cidx_jobs.runtime.log import get_logger

_PLANNED_AT_ONCE = 200
"""How many schedules are looked at in one turn of the loop while the server starts."""
_AFTER_A_FAULT_SECONDS = 60
"""When a time is tried again whose submit was refused."""

_log = get_logger("schedules")


class ScheduleTimer(AlarmClock[ScheduleKey]):
    """Fires schedules when their times come, each in a task of its own that ends at once."""

    task_name: ClassVar[str] = "schedules"

    def __init__(self, store: ScheduleStore, board: Board, admission: Admission) -> None:
        """Take the parts."""
        super().__init__(board.clock, board.schedules.changed)
        self._store = store
        self._board = board
        self._book = board.schedules
        self._admission = admission
        self._since = board.clock.now()
        self._postponed: dict[ScheduleKey, datetime] = {}

    async def start(self) -> None:
        """Begin; times that have passed until now were missed."""
        self._since = self._board.clock.now()
        await super().start()

    def ring_due(self) -> None:
        """Settle all times that have come by now."""
        if self._board.reasons.is_stopping:
            return
        now = self._board.clock.now()
        # One that is at work still stays due: what it plans at its end must not be lost here.
        for key in self._book.dues.list_due(now):
            self._settle_in_task(key)
        for key in self._book.list_owed():
            state = self._book.find(key)
            is_postponed = key in self._postponed and now < self._postponed[key]
            if state is not None and not is_postponed and not self._is_paused(state):
                self._settle_in_task(key)

    def find_next_due(self) -> datetime | None:
        """Return when the next schedule is due."""
        return self._book.dues.find_first()

    async def _plan_all(self) -> None:
        for number, key in enumerate(self._book.list_keys(), start=1):
            self._book.plan(key)
            if number % _PLANNED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _settle_in_task(self, key: ScheduleKey) -> None:
        # One that is due and at work wakes the clock by its commit.
        if key not in self._tasks:
            self._begin(key, self._settle(key), name=f"schedule-{key[1]}")

    async def _settle(self, key: ScheduleKey) -> None:
        # While it is at work it is not due: the timer would not nap for it.
        self._book.dues.discard(key)
        wait_seconds = 0
        self._postponed.pop(key, None)
        try:
            while (settlement := self._find_settlement(key)) is not None:
                try:
                    await self._store_settlement(settlement)
                except StaleScheduleError:
                    # Somebody changed it meanwhile; what they stored is in memory already.
                    continue
        except UnavailableError as error:
            # The time stays to be settled, as one that is late.
            wait_seconds = error.retry_after_seconds
        except CidxJobsError as error:
            wait_seconds = _AFTER_A_FAULT_SECONDS
            _log.warning("schedule_not_fired", user_id=key[0], schedule=key[1], code=error.code)
        finally:
            if wait_seconds:
                not_before = self._board.clock.now() + timedelta(seconds=wait_seconds)
                self._postponed[key] = not_before
                self._book.plan(key, not_before)
            else:
                self._book.plan(key)

    def _find_settlement(self, key: ScheduleKey) -> Settlement | None:
        state = self._book.find(key)
        if state is None or not state.schedule.enabled or self._board.reasons.is_stopping:
            return None
        return settle(
            state,
            self._book.times_of(state),
            self._board.clock.now(),
            since=self._since,
            is_paused=self._is_paused(state),
        )

    async def _store_settlement(self, settlement: Settlement) -> None:
        firing = settlement.firing
        if firing is None:
            await self._save(settlement.state)
            return
        schedule = settlement.state.schedule
        try:
            await self._admission.admit(make_request(schedule), firing)
        except RequestError as error:
            # Asked again it would be refused again, until somebody changes what it submits.
            _log.warning(
                "schedule_refused",
                user_id=schedule.user_id,
                schedule=schedule.name,
                code=error.code,
            )
            await self._save(settlement.refuse(f"{error.code}: {error.message}"))

    async def _save(self, state: ScheduleState) -> None:
        await self._store.save_schedule(state, lambda: self._book.put(state))

    def _is_paused(self, state: ScheduleState) -> bool:
        """Tell whether no job of the schedule may be submitted now, though it is enabled."""
        pauses = self._board.pauses
        user_id, _ = state.key
        return (
            pauses.draining
            or pauses.everything
            or user_id in pauses.users
            or state.schedule.job_type in pauses.job_types
        )
