"""How a submit becomes a job: checks, defaults, idempotency, and the line of its project."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextvars import copy_context
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.counts import decrease
from cidx_jobs.engine.run.scheduler import Scheduler
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.engine.submit.checks import check_request, highest_priority
from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.error_codes import make_error
from cidx_jobs.model.errors import (
    Fault,
    IdempotencyKeyReusedError,
    JobExpiredError,
    JobNotFoundError,
    ProjectBusyError,
    QueueFullError,
    StaleVersionError,
    UserQueueFullError,
    ValidationError,
)
from cidx_jobs.model.ids import JobId, UserId, make_job_id
from cidx_jobs.model.job.events import Cancel, Enqueue, Event, RequestCancel, Revise, Submit
from cidx_jobs.model.job.job import Job, JobStatus, JsonObject, Place
from cidx_jobs.model.job.key_limits import KeyLimits, make_key_limits
from cidx_jobs.model.job.lifecycle import record_progress
from cidx_jobs.model.job.packed import pack
from cidx_jobs.model.job.submit import OnConflict, Submission, SubmitRequest
from cidx_jobs.model.limits import MAX_KEYS, MAX_LABELS
from cidx_jobs.model.listing import KEY_LIFETIME, Change, IdempotencyRecord, Project
from cidx_jobs.model.schedules.schedule import ScheduleState
from cidx_jobs.model.schedules.settlement import Firing
from cidx_jobs.model.webhooks.notify_url import MAX_URLS, find_fault
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.shares import Shares
from cidx_jobs.settings import Settings

_NOBODY: Mapping[UserId, int] = MappingProxyType({})
CHECKS_PER_USER = 1
"""How many options of one user are held against a JSON Schema at a time."""


class Admission:
    """Takes submits: each is answered with a stored job, or refused with nothing stored."""

    def __init__(
        self, *, settings: Settings, store: JobStore, projects: ProjectStore, board: Board,
        ledger: JobLedger, scheduler: Scheduler,
        job_types: JobTypes, notices: EndNoticeStore,
    ) -> None:  # fmt: skip
        """Take the parts."""
        self._settings = settings
        self._store = store
        self._projects = projects
        self._board = board
        self._ledger = ledger
        self._scheduler = scheduler
        self._job_types = job_types
        self._notices = notices
        self._checks = Shares(CHECKS_PER_USER)
        self._admitting: Counter[UserId] = Counter()
        self._admitting_total = 0
        self._ids = 0

    async def find_replay(self, request: SubmitRequest) -> Submission | None:
        """Return the job that was stored when the request's key came for the first time.

        Raises:
            IdempotencyKeyReusedError: it came with another request.
            JobExpiredError: the job was deleted since.
        """
        key = request.request_key
        if key is None:
            return None
        not_before = self._board.clock.now() - KEY_LIFETIME
        record = await self._store.find_idempotency_record(request.user_id, key.key, not_before)
        if record is None:
            return None
        if record.fingerprint != key.fingerprint:
            raise IdempotencyKeyReusedError
        try:
            job = await self._ledger.load(record.job_id)
        except JobNotFoundError as error:
            raise JobExpiredError(record.job_id) from error
        return Submission(job=job, is_replayed=True)

    async def check(self, request: SubmitRequest, *, as_of_now: bool = True) -> None:
        """Check a request as `admit` does, and store nothing: a schedule will make it later.

        Args:
            request: what it will submit.
            as_of_now: also hold it against what may be otherwise by then: what is known of its
                project, and its user's secret for notices.

        Raises:
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
        """
        job_type = self._job_types[request.job_type]
        check_request(request, self._board.slots.limits, self._settings.max_timeout_seconds)
        if not as_of_now:
            await self._check_options(request, job_type)
            return
        await self._check_notify(request)
        await self._admit_options(request, job_type)

    async def admit(self, request: SubmitRequest, firing: Firing | None = None) -> Submission:
        """Store the job that the request asks for, or find the one that serves it already.

        The request is no replay, as far as `find_replay` could tell a moment ago. The *firing* of
        the schedule that asks is stored in the same transaction.

        Raises:
            StaleScheduleError: the schedule has changed meanwhile; nothing is stored.
        """
        job_type = self._job_types[request.job_type]
        check_request(request, self._board.slots.limits, self._settings.max_timeout_seconds)
        if request.notify is not None:
            await self._check_notify(request)
        if job_type.admit is None and not job_type.checks_slowly:
            options, project = job_type.check_options(request.options), None
        else:
            options, project = await self._admit_options(request, job_type)
        if options is not request.options:
            request = replace(request, options=options)
        while True:
            try:
                return await self._store_once(request, job_type, project, firing)
            except StaleVersionError:
                # Somebody else moved the line of the project, or took the key, first.
                continue
            except IdempotencyKeyReusedError:
                # The same request was stored in the same moment.
                replay = await self.find_replay(request)
                if replay is None:
                    raise
                return replay

    async def _check_notify(self, request: SubmitRequest) -> None:
        if request.notify is None:
            return
        fault = find_fault(request.notify, self._settings.webhook_allowed_hosts)
        if fault is None and await self._notices.find_secret(request.user_id) is None:
            how = "cidx-jobs notify-secret, or POST /api/notify-secret"
            fault = f"there is no secret to sign it with: make one first ({how})"
        if fault is not None:
            raise ValidationError.at("/notify", fault)

    async def admit_all(self, requests: Sequence[SubmitRequest]) -> Sequence[Submission]:
        """Store the jobs of all requests in one transaction, or none of them.

        Of requests for the same line of an exclusive type the later ones join the first, as they
        would one after the other.

        Raises: what `admit` raises; pointers begin with the number of the request.
        """
        wanted = [await self._admitted(request, n) for n, request in enumerate(requests)]
        while True:
            try:
                return await self._store_all(wanted)
            except StaleVersionError:
                # Somebody else moved the line of a project first.
                continue

    async def _admitted(self, request: SubmitRequest, number: int) -> "_Admitted":
        try:
            job_type = self._job_types[request.job_type]
            check_request(request, self._board.slots.limits, self._settings.max_timeout_seconds)
            await self._check_notify(request)
            options, project = await self._admit_options(request, job_type)
        except ValidationError as error:
            error.faults = tuple(
                Fault(f"/{number}{fault.pointer}", fault.message) for fault in error.faults
            )
            raise
        return _Admitted(replace(request, options=options), job_type, project)

    async def _store_all(self, wanted: Sequence["_Admitted"]) -> Sequence[Submission]:
        lines: dict[tuple[str, ...], int] = {}
        made: list[Submission] = []
        changes: list[Change] = []
        new: list[UserId] = []
        for each in _merged(wanted, lines):
            line = self._line(each.request, each.job_type)
            waits = each.request.hold or self._is_later(each.request)
            joined = None if waits else self._choose_joined(each.request, line)
            if joined is not None:
                goes_first = joined is line.follower and line.is_between_attempts
                change = self._join(joined, each.request, goes_first=goes_first)
                changes += self._ledger.with_line(change, joined)
            else:
                moved, place = self._choose_place(each.request, each.job_type, line, waits=waits)
                change = replace(
                    self._new_job(each.request, each.job_type, place, None, waits=waits),
                    max_user_bytes=self._settings.max_stored_bytes_per_user,
                )
                new.append(each.request.user_id)
                self._check_room(each.request.user_id, Counter(new))
                changes += [*moved, change]
            made.append(Submission(job=change.job, is_joined=joined is not None))
        projects = [each.project for each in wanted if each.project is not None]
        job_ids = [one.job.job_id for one in made if not one.is_joined]
        for job_id in job_ids:
            self._keep_origin(job_id)
        try:
            await self._store_many(new, changes, projects)
        except BaseException:
            for job_id in job_ids:
                self._forget_origin(job_id)
            raise
        return [made[number] for number in _numbers(wanted, lines)]

    async def _store_many(
        self, new: Sequence[UserId], changes: Sequence[Change], projects: Sequence[Project]
    ) -> None:
        def give_room() -> None:
            for user_id in new:
                self._give_room(user_id)

        self._admitting.update(new)
        self._admitting_total += len(new)
        await self._ledger.commit(
            changes, projects=projects, on_commit=give_room, on_refuse=give_room
        )

    async def _admit_options(
        self, request: SubmitRequest, job_type: JobType
    ) -> tuple[JsonObject, Project | None]:
        options = await self._check_options(request, job_type)
        if job_type.admit is None:
            return options, None
        known = await self._projects.load_project(request.user_id, request.project_id)
        admitted = job_type.admit(
            options,
            known or Project(user_id=request.user_id, project_id=request.project_id),
        )
        return admitted.options, admitted.project

    async def _check_options(self, request: SubmitRequest, job_type: JobType) -> JsonObject:
        if not job_type.checks_slowly:
            return job_type.check_options(request.options)
        async with self._checks.turn(request.user_id):
            return await in_own_thread(job_type.check_options, request.options)

    async def _store_once(
        self,
        request: SubmitRequest,
        job_type: JobType,
        project: Project | None,
        firing: Firing | None,
    ) -> Submission:
        line = self._line(request, job_type)
        waits = request.hold or self._is_later(request)
        is_child = request.parent_id is not None
        # Who has its time to come neither joins nor is joined: no acknowledged time is lost. Nor
        # does a child, which its parent knows by a key.
        joined = None if waits or is_child else self._choose_joined(request, line)
        if joined is not None:
            goes_first = joined is line.follower and line.is_between_attempts
            change = self._join(joined, request, goes_first=goes_first)
            record = self._record_key(request, joined.job_id)
            changes = self._ledger.with_line(change, joined)
            served = firing.end(joined.job_id, is_joined=True) if firing else None
            await self._ledger.commit(changes, record, project, served)
            return Submission(job=change.job, is_joined=True)
        if not is_child:
            # A parent that waited for room, in a slot, could keep its own children from running.
            self._check_room(request.user_id)
        changes, place = self._choose_place(request, job_type, line, waits=waits)
        changes += self._mark_parent(request)
        change = replace(
            self._new_job(request, job_type, place, firing, waits=waits),
            max_user_bytes=self._settings.max_stored_bytes_per_user,
        )
        job_id = change.job.job_id
        record = self._record_key(request, job_id)
        served = firing.end(job_id, is_joined=False) if firing else None
        # What becomes of others is stored first: a job that moves them is not the next to start.
        may_start = not changes and change.job.status is JobStatus.QUEUED
        self._keep_origin(job_id)
        try:
            start = self._scheduler.start_with_submit(change) if may_start else None
            if start is None:
                changes = [*changes, change]
                await self._store_waiting(request.user_id, changes, record, project, served)
            else:
                await self._ledger.commit(
                    [start.change],
                    record,
                    project,
                    served,
                    on_commit=start.stored,
                    on_refuse=start.refused,
                )
        except BaseException:
            self._forget_origin(job_id)
            raise
        return Submission(job=change.job)

    def _keep_origin(self, job_id: JobId) -> None:
        """Keep the caller's context variables for the job's runs."""
        # Before it is stored: its run may begin before the caller hears of it.
        self._board.origins[job_id] = copy_context()

    def _forget_origin(self, job_id: JobId) -> None:
        """Keep nothing for a job that is not stored."""
        self._board.origins.pop(job_id, None)

    def _line(self, request: SubmitRequest, job_type: JobType) -> "_Line":
        if not job_type.exclusive:
            return _NOBODY_IN_LINE
        key = (request.user_id, request.project_id, request.job_type)
        live = self._board.live
        return _Line(live.in_place(*key, Place.HEAD), live.in_place(*key, Place.FOLLOWER))

    def _choose_joined(self, request: SubmitRequest, line: "_Line") -> Job | None:
        head = line.head
        if head is None or request.on_conflict is OnConflict.REPLACE:
            return None
        if request.on_conflict is OnConflict.REJECT:
            raise ProjectBusyError(request.project_id, head.job_id)
        return head if head.has_never_started else line.follower

    def _choose_place(
        self, request: SubmitRequest, job_type: JobType, line: "_Line", *, waits: bool
    ) -> tuple[list[Change], Place | None]:
        """Return a new job's place in its line, and what becomes of those that are in it."""
        head = line.head
        if head is not None and request.on_conflict is OnConflict.REPLACE:
            changes = self._make_way(head, line.follower, request.actor)
            place = Place.FOLLOWER if head.status is JobStatus.RUNNING else Place.HEAD
            return changes, None if waits else place
        if not job_type.exclusive or waits:
            return [], None
        if head is None:
            return [], Place.HEAD
        if request.parent_id is not None and line.follower is not None:
            return [], None
        if head.is_between_attempts:
            # A corrected request does not wait for the back-off of the broken one.
            return [self._ledger.move_back(head)], Place.HEAD
        return [], Place.FOLLOWER

    def _mark_parent(self, request: SubmitRequest) -> list[Change]:
        """Return the change by which a running job is known to have children, at the first."""
        parent = None if request.parent_id is None else self._board.live.find(request.parent_id)
        if parent is None or parent.has_children:
            return []
        marked = record_progress(parent, self._board.clock.now(), has_children=True)
        return [Change(job=marked, base_version=parent.version, before=parent)]

    def _is_later(self, request: SubmitRequest) -> bool:
        return request.start_at is not None and request.start_at > self._board.clock.now()

    def _join(self, job: Job, request: SubmitRequest, *, goes_first: bool) -> Change:
        """Return the change by which a waiting job serves the request, too (api.md 1.3).

        Where it *goes first*, the head of its line waits for a back-off, and they change places.
        """
        priority = max(job.priority, self._priority(request))
        labels = {**job.labels, **request.labels}
        if len(labels) > MAX_LABELS:
            message = f"at most {MAX_LABELS} labels, those of the job that it joins among them"
            raise ValidationError.at("/labels", message)
        options = _merged_options(job.options, request.options)
        needs_key = job.status is JobStatus.QUEUED and priority != job.priority
        events: list[Event] = [
            Revise(
                priority=priority,
                labels=labels,
                options=pack(options),
                limits=self._joined_limits(job, request, options),
                notify=_joined_urls(job, request),
                key=self._board.make_key(job, priority) if needs_key else None,
                end_backoff=job.is_between_attempts,
                from_start=options != job.options,
                reason="joined",
            )
        ]
        if goes_first:
            events.append(self._ledger.promotion(job))
        return self._ledger.advance(job, job, events, actor=request.actor)

    def _limits(self, request: SubmitRequest, job_type: JobType) -> KeyLimits:
        own, shared = request.limits, job_type.find_limits(request.options)
        if not own and not shared:
            return ()
        now = self._board.engine_clock.seconds()
        return (
            *make_key_limits(own, request.user_id, now),
            *make_key_limits(shared, None, now),
        )

    def _joined_limits(self, job: Job, request: SubmitRequest, options: JsonObject) -> KeyLimits:
        """Return the limits of a job that serves the request, too: it keeps its user's keys."""
        job_type = self._job_types[job.job_type]
        new = self._limits(replace(request, options=options), job_type)
        keys = {each.key for each in new}
        kept = [each for each in job.limits if each.key.owner and each.key not in keys]
        if len(kept) + len(request.limits) > MAX_KEYS:
            message = f"at most {MAX_KEYS} keys, those of the job that it joins among them"
            raise ValidationError.at("/limits", message)
        return (*kept, *new)

    def _make_way(self, head: Job, follower: Job | None, actor: UserId | None) -> list[Change]:
        reason = "replaced by a newer request"
        changes = []
        if head.status is not JobStatus.RUNNING:
            changes.append(self._cancel_waiting(head, reason, actor))
        elif head.cancel_requested_at is None:
            event = RequestCancel(reason=reason)
            changes.append(self._ledger.advance(head, head, [event], actor=actor))
        else:
            self._board.stop_run(head, again=True)
        if follower is not None:
            changes.append(self._cancel_waiting(follower, reason, actor))
        return changes

    def _cancel_waiting(self, job: Job, reason: str, actor: UserId | None) -> Change:
        error = make_error("CANCELLED", reason, at=self._board.clock.now())
        event = Cancel(error=error, reason=reason)
        return self._ledger.advance(job, job, [event], actor=actor)

    async def _store_waiting(
        self,
        user_id: UserId,
        changes: list[Change],
        record: IdempotencyRecord | None,
        project: Project | None,
        served: ScheduleState | None,
    ) -> None:
        # It gives its room back in the moment in which the memory counts it, or nobody ever will:
        # whoever waits for the answer goes on later, and would count it twice until then.
        give_room = partial(self._give_room, user_id)
        self._admitting[user_id] += 1
        self._admitting_total += 1
        await self._ledger.commit(
            changes, record, project, served, on_commit=give_room, on_refuse=give_room
        )

    def _check_room(self, user_id: UserId, new: Mapping[UserId, int] = _NOBODY) -> None:
        # What is being stored counts already: many submits at once cannot overfill the queue.
        # Of those that come together, *new* counts this one, too.
        limits = self._board.slots.limits
        live = self._board.live
        before = max(0, new.get(user_id, 1) - 1)
        own = live.count_waiting(user_id) + self._admitting[user_id] + before
        if own >= limits.max_queued_per_user:
            raise UserQueueFullError(limits.max_queued_per_user)
        all_before = max(0, sum(new.values()) - 1)
        if live.waiting_total + self._admitting_total + all_before >= limits.max_queued_total:
            raise QueueFullError(limits.max_queued_total)

    def _give_room(self, user_id: UserId) -> None:
        self._admitting_total -= 1
        decrease(self._admitting, user_id)

    def _new_job(
        self,
        request: SubmitRequest,
        job_type: JobType,
        place: Place | None,
        firing: Firing | None,
        *,
        waits: bool,
    ) -> Change:
        now = self._board.clock.now()
        settings = self._settings
        attempts = request.max_attempts or job_type.max_attempts or settings.default_max_attempts
        job = Job(
            job_id=self._make_id(now),
            job_type=job_type.name,
            user_id=request.user_id,
            project_id=request.project_id,
            status=JobStatus.CREATED,
            version=1,
            priority=self._priority(request),
            labels=request.labels,
            options=pack(request.options),
            limits=self._limits(request, job_type),
            notify=() if request.notify is None else (request.notify,),
            max_attempts=attempts,
            attempts_granted=attempts,
            timeout_seconds=request.timeout_seconds
            or job_type.timeout_seconds
            or settings.default_timeout_seconds,
            place=place,
            hold=request.hold,
            schedule=firing.state.schedule.name if firing else None,
            scheduled_at=firing.scheduled_at if firing else None,
            parent_id=request.parent_id,
            child_key=request.child_key,
            traceparent=request.traceparent,
            start_at=request.start_at,
            created_at=now,
            updated_at=now,
        )
        events: list[Event] = [Submit()]
        has_place = place is Place.HEAD or not job_type.exclusive
        if not waits and has_place:
            events.append(Enqueue(key=self._board.make_key(job)))
        return self._ledger.advance(None, job, events, now, request.actor)

    def _priority(self, request: SubmitRequest) -> int:
        if request.priority is not None:
            return request.priority
        own = self._settings.user_priorities.get(request.user_id)
        usual = self._settings.default_priority if own is None else own
        return min(usual, highest_priority(request.user_id, self._board.slots.limits))

    def _make_id(self, now: datetime) -> JobId:
        self._ids += 1
        milliseconds = int(now.timestamp() * 1000)
        return make_job_id(milliseconds, self._ids, int.from_bytes(os.urandom(8)))

    def _record_key(self, request: SubmitRequest, job_id: JobId) -> IdempotencyRecord | None:
        if request.request_key is None:
            return None
        return IdempotencyRecord(
            user_id=request.user_id,
            key=request.request_key.key,
            fingerprint=request.request_key.fingerprint,
            job_id=job_id,
            created_at=self._board.clock.now(),
        )


class _Admitted(msgspec.Struct, frozen=True):
    """A request that is taken, of a type, with what it says of its project."""

    request: SubmitRequest
    job_type: JobType
    project: Project | None

    @property
    def line(self) -> tuple[str, ...] | None:
        """The line that it stands in, if it is for one."""
        request = self.request
        if not self.job_type.exclusive or request.hold or request.start_at is not None:
            return None
        return request.user_id, request.project_id, request.job_type

    def joined_by(self, other: "_Admitted") -> "_Admitted":
        """Return the request that stands for both."""
        old, new = self.request, other.request
        priorities = [one.priority for one in (old, new) if one.priority is not None]
        merged = replace(
            old,
            options=_merged_options(old.options, new.options),
            priority=max(priorities, default=None),
            labels={**old.labels, **new.labels},
            limits={**old.limits, **new.limits},
        )
        return _Admitted(merged, self.job_type, other.project)


def _merged(wanted: Sequence[_Admitted], lines: dict[tuple[str, ...], int]) -> Sequence[_Admitted]:
    """Return one request for each job that is to be; *lines* learns which stands for a line."""
    found: list[_Admitted] = []
    for each in wanted:
        line = each.line
        if line is None or line not in lines:
            if line is not None:
                lines[line] = len(found)
            found.append(each)
        else:
            found[lines[line]] = found[lines[line]].joined_by(each)
    return found


def _numbers(wanted: Sequence[_Admitted], lines: Mapping[tuple[str, ...], int]) -> Iterator[int]:
    """Yield which of the merged requests stands for each."""
    seen: set[tuple[str, ...]] = set()
    number = -1
    for each in wanted:
        if each.line is None or each.line not in seen:
            number += 1
            yield number
            if each.line is not None:
                seen.add(each.line)
        else:
            yield lines[each.line]


class _Line(msgspec.Struct, frozen=True):
    """Who stands in the line of a type in a project."""

    head: Job | None
    follower: Job | None

    @property
    def is_between_attempts(self) -> bool:
        """True while the head waits for its back-off."""
        return self.head is not None and self.head.is_between_attempts


_NOBODY_IN_LINE = _Line(None, None)


def _joined_urls(job: Job, request: SubmitRequest) -> tuple[str, ...]:
    """Return where a job that serves the request, too, tells its end."""
    if request.notify is None or request.notify in job.notify:
        return job.notify
    if len(job.notify) >= MAX_URLS:
        message = f"at most {MAX_URLS} URLs, those of the job that it joins among them"
        raise ValidationError.at("/notify", message)
    return (*job.notify, request.notify)


def _merged_options(old: Mapping[str, Any], new: Mapping[str, Any]) -> JsonObject:
    if old.get("full_reindex") and "full_reindex" in new:
        return {**new, "full_reindex": True}
    return dict(new)
