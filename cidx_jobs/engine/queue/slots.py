"""Slots: who may run. Bounded sets of holders by job id, per user, in all, per resource and key.

Slots are a cache of the running rows: a job holds one exactly while its row is ``running``. A
semaphore would not do: it does not know its holders and cannot be resized. Here a slot that is
given back twice raises, and the limits can change at any time: lowering one ends nothing, it only
keeps new holders out.

Nothing in here awaits between a look and a take, so on one event loop both are one step. Every
take checks the limits again before it counts (guarantees.md, G10).

A named resource is held by a job from start to end, because its type says so, or one unit at a
time inside a run (`Slots.hold_resource`); both are counted together. Where there are several, the
last free unit is for a user who has none of them, so that nobody takes all. Who asks inside a run
waits in line. A run that holds a resource since its start and would close a circle
of waiting runs gets an error instead, so no deadlock is possible.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import msgspec

from cidx_jobs.engine.counts import decrease, increase
from cidx_jobs.engine.queue.key_numbers import KeyNumbers
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.ids import JobId, UserId
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.job.key_limits import LimitKey, keys_of
from cidx_jobs.model.limits import Limits

Waiting = Callable[[], AbstractContextManager[None]]
"""Gives what surrounds the waiting of a run that does not get its unit at once."""


class SlotError(RuntimeError):
    """A slot or unit was taken twice, given back twice, or beyond a limit."""


class UnknownResourceError(JobFailure):
    """No limit names the resource: trying again helps nobody."""

    def __init__(self, name: str) -> None:
        """Say which."""
        super().__init__(f"there is no resource {name}", code="CFG-003")


class ResourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a named resource is in use."""

    used: int
    limit: int
    waiting: int
    """How many runs wait for a unit; jobs that have not started are not counted."""


class SlotUse(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds what, at one moment."""

    running: int
    max_running_total: int
    max_running_per_user: int
    users: Mapping[UserId, int]
    """How many slots each user holds, for those that hold any."""
    resources: Mapping[str, ResourceUse]
    holders: Mapping[JobId, UserId]


class Freed(msgspec.Struct, frozen=True):
    """What a job gave back with its slot."""

    user_id: UserId
    """Whose slot it was."""
    resources: tuple[str, ...]
    """Of which it had a unit each."""
    keys: tuple[LimitKey, ...]
    """In which it had a place each."""


class _Holder(msgspec.Struct, eq=False):
    """A job that holds a slot."""

    job_id: JobId
    user_id: UserId
    resources: tuple[str, ...]
    """Held since the start."""
    keys: tuple[LimitKey, ...] = ()
    """Held since the start, too."""
    inner: str | None = None
    """Held inside the run."""
    wanted: str | None = None
    """Waited for inside the run."""
    turn: "asyncio.Future[None] | None" = None
    """Done when the unit that is waited for was handed over."""


class Slots:
    """Gives out slots and takes them back, within the limits of the moment."""

    def __init__(self, limits: Limits) -> None:
        """Begin with every slot free."""
        self.keys: KeyNumbers = KeyNumbers()
        """Who may run with which key; told of every job, so that it knows the numbers."""
        self._limits = limits
        self._holders: dict[JobId, _Holder] = {}
        self._users: dict[UserId, int] = {}
        self._used: Counter[str] = Counter()
        self._units: dict[str, Counter[UserId]] = {}
        """How many units of a resource each user has, since the start of jobs or inside runs."""
        self._lines: dict[str, deque[_Holder]] = {}

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits

    def has_room(
        self, user_id: UserId, resources: Iterable[str] = (), keys: Iterable[LimitKey] = ()
    ) -> bool:
        """Tell whether a job of the user that needs these resources and keys could start now."""
        return (
            self.has_total_room()
            and self.has_user_room(user_id)
            and all(self.has_unit(name) and self.has_share(user_id, name) for name in resources)
            and all(map(self.keys.has_room, keys))
        )

    def holds(self, job_id: JobId) -> bool:
        """Tell whether the job holds a slot."""
        return job_id in self._holders

    def has_total_room(self) -> bool:
        """Tell whether there is a free slot at all."""
        return len(self._holders) < self._limits.max_running_total

    def has_user_room(self, user_id: UserId) -> bool:
        """Tell whether the user holds fewer slots than they may."""
        return self._users.get(user_id, 0) < self._limits.max_running_per_user

    def has_unit(self, name: str) -> bool:
        """Tell whether the resource has a free unit; an unknown one has none."""
        return self._used[name] < self._limits.resources.get(name, 0)

    def has_share(self, user_id: UserId, name: str) -> bool:
        """Tell whether a job of the user may start with a unit: the last free is for others.

        Whoever has a unit already waits for a second one to be free. Runs end, so that nobody
        waits for ever for what is kept free.
        """
        limit = self._limits.resources.get(name, 0)
        if limit - self._used[name] > 1 or limit <= 1:
            return True
        return user_id not in self.users_of(name)

    def users_of(self, name: str) -> Collection[UserId]:
        """Return who has units of the resource."""
        return self._units.get(name, ())

    def take(
        self,
        job_id: JobId,
        user_id: UserId,
        resources: Iterable[str] = (),
        keys: tuple[LimitKey, ...] = (),
    ) -> None:
        """Take a slot, a unit of each resource and a place in each key, for who starts now.

        Raises:
            SlotError: the job holds a slot already, or a limit is reached; nothing is taken.
        """
        wanted = tuple(dict.fromkeys(resources))
        if not self.has_room(user_id, wanted, keys):
            message = f"job {job_id} cannot take a slot: a limit is reached"
            raise SlotError(message)
        self._add(_Holder(job_id, user_id, wanted, keys))

    def give_back(self, job_id: JobId) -> Freed:
        """Give back all that the job holds, once; return what that was.

        Raises:
            SlotError: the job holds no slot.
        """
        holder = self._holders.pop(job_id, None)
        if holder is None:
            message = f"job {job_id} holds no slot to give back"
            raise SlotError(message)
        decrease(self._users, holder.user_id)
        self._leave_line(holder)
        inner = () if holder.inner is None else (holder.inner,)
        self._let_go(holder)
        for name in holder.resources:
            self._free_unit(name, holder.user_id)
        for key in holder.keys:
            self.keys.give_back(key)
        return Freed(holder.user_id, (*holder.resources, *inner), holder.keys)

    def restore(
        self, jobs: Iterable[Job], resources_of: Callable[[str], Sequence[str]] = lambda _: ()
    ) -> None:
        """Give slots to jobs that run already, whatever the limits are.

        Raises:
            SlotError: a job holds a slot already.
        """
        for job in jobs:
            resources = tuple(dict.fromkeys(resources_of(job.job_type)))
            self._add(_Holder(job.job_id, job.user_id, resources, keys_of(job.limits)))

    def set_limits(self, limits: Limits) -> None:
        """Put other limits in force: no holder loses anything, new room counts at once."""
        self._limits = limits
        for name in tuple(self._lines):
            self._serve(name)

    def count_running(self, user_id: UserId | None = None) -> int:
        """Count the slots that the user holds, or all."""
        return len(self._holders) if user_id is None else self._users.get(user_id, 0)

    def holders(self) -> Mapping[JobId, UserId]:
        """Return who holds a slot, and whose they are."""
        return {job_id: holder.user_id for job_id, holder in self._holders.items()}

    def snapshot(self) -> SlotUse:
        """Return who holds what now."""
        limits = self._limits
        names = sorted({*limits.resources, *self._used})
        return SlotUse(
            running=len(self._holders),
            max_running_total=limits.max_running_total,
            max_running_per_user=limits.max_running_per_user,
            users=dict(self._users),
            resources={name: self._use_of(name) for name in names},
            holders=self.holders(),
        )

    # Inside a run.

    @asynccontextmanager
    async def hold_resource(
        self, name: str, job_id: JobId, waiting: Waiting = nullcontext
    ) -> AsyncIterator[None]:
        """Hold one unit of the resource inside a run; wait for it in line, within *waiting*.

        Raises:
            UnknownResourceError: no limit names it.
            SlotError: the job does not run, or holds or waits for another inside its run, or
                waiting would close a circle of runs that wait for each other.
        """
        holder = self._holder(job_id, name)
        await self._wait_for_unit(holder, name, waiting)
        try:
            yield
        finally:
            # Nothing is left to give where the slot went back first, and this unit with it.
            self._let_go(holder)

    def _holder(self, job_id: JobId, name: str) -> _Holder:
        holder = self._holders.get(job_id)
        if holder is None:
            message = f"job {job_id} does not run: it cannot hold {name}"
            raise SlotError(message)
        if holder.inner or holder.wanted:
            message = f"a run holds one resource at a time: {holder.inner or holder.wanted}"
            raise SlotError(message)
        if name not in self._limits.resources:
            raise UnknownResourceError(name)
        return holder

    async def _wait_for_unit(self, holder: _Holder, name: str, waiting: Waiting) -> None:
        if self._may_take(holder, name):
            self._hand_over(holder, name)
            return
        if self._would_close_circle(holder, name):
            message = f"waiting for {name} would never end: runs wait for each other in a circle"
            raise SlotError(message)
        holder.wanted = name
        holder.turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(name, deque()).append(holder)
        try:
            with waiting():
                await holder.turn
        except BaseException:
            self._leave_line(holder)
            # The unit may have come in the same moment.
            self._let_go(holder)
            raise

    def _hand_over(self, holder: _Holder, name: str) -> None:
        self._use_unit(name, holder.user_id)
        holder.inner, holder.wanted = name, None

    def _let_go(self, holder: _Holder) -> None:
        name, holder.inner = holder.inner, None
        if name is not None:
            self._free_unit(name, holder.user_id)

    def _leave_line(self, holder: _Holder) -> None:
        name, holder.wanted = holder.wanted, None
        if name is None or holder.turn is None:
            return
        line = self._lines.get(name)
        # A unit that came in between has passed a cancelled waiter over, and out of the line.
        if line is not None and holder in line:
            line.remove(holder)
        holder.turn.cancel()

    def _would_close_circle(self, asker: _Holder, name: str) -> bool:
        """Tell whether the asker could never be served if it waited, too.

        Who does not wait will end some day and give all back; then those who can be served end,
        too, and so on. Whoever is left over waits for ever.
        """
        if not asker.resources:
            # A circle closes only through somebody who holds and waits.
            return False
        free = Counter({name: max(1, limit) for name, limit in self._limits.resources.items()})
        stuck = {holder: holder.wanted for holder in self._holders.values() if holder.wanted}
        stuck[asker] = name
        for holder in stuck:
            free.subtract(holder.resources)
        while served := [holder for holder, wanted in stuck.items() if free[wanted] > 0]:
            for holder in served:
                del stuck[holder]
                free.update(holder.resources)
        return asker in stuck

    # The books.

    def _add(self, holder: _Holder) -> None:
        if holder.job_id in self._holders:
            message = f"job {holder.job_id} holds a slot already"
            raise SlotError(message)
        self._holders[holder.job_id] = holder
        increase(self._users, holder.user_id)
        for name in holder.resources:
            self._count_unit(name, holder.user_id)
        for key in holder.keys:
            self.keys.take(key)

    def _use_unit(self, name: str, user_id: UserId) -> None:
        if not self.has_unit(name):
            message = f"{name} has no free unit"
            raise SlotError(message)
        self._count_unit(name, user_id)

    def _count_unit(self, name: str, user_id: UserId) -> None:
        self._used[name] += 1
        self._units.setdefault(name, Counter())[user_id] += 1

    def _free_unit(self, name: str, user_id: UserId) -> None:
        decrease(self._used, name)
        decrease(self._units[name], user_id)
        self._serve(name)

    def _serve(self, name: str) -> None:
        line = self._lines.get(name)
        if line is None:
            return
        for holder in tuple(line):
            if not self.has_unit(name):
                break
            is_waiting = holder.turn is not None and not holder.turn.done()
            if is_waiting and not self._may_take(holder, name):
                continue
            line.remove(holder)
            if holder.turn is not None and is_waiting:
                self._hand_over(holder, name)
                holder.turn.set_result(None)
        if not line:
            del self._lines[name]

    def _may_take(self, holder: _Holder, name: str) -> bool:
        """Tell whether a run may take a unit now: the last free one is for another user.

        Who uses a unit inside a run waits for nothing else, and gives it back: so nobody waits
        for ever for a unit that is kept free.
        """
        limit = self._limits.resources.get(name, 0)
        free = limit - self._used[name]
        if free != 1 or limit == 1:
            return free > 0
        return not any(
            other.inner == name and other.user_id == holder.user_id
            for other in self._holders.values()
        )

    def _use_of(self, name: str) -> ResourceUse:
        return ResourceUse(
            used=self._used[name],
            limit=self._limits.resources.get(name, 0),
            waiting=len(self._lines.get(name, ())),
        )
