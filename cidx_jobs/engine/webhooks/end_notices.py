"""Notices of ends: each job's end told where its submits asked for it, until somebody takes it.

That a job wants to be told is stored with the job, and each try behind it: whatever is lost of the
memory is found again at the next start. Nothing here changes a job or holds a slot.
"""

import asyncio
import heapq
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import ClassVar

from cidx_jobs.engine.background import Background
from cidx_jobs.engine.webhooks import standard
from cidx_jobs.engine.webhooks.secret_box import SecretBox
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.notices import NoticeAnswer, NoticeSender
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.errors import CidxJobsError, StoreError, UnavailableError
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import Job, Transition
from cidx_jobs.model.webhooks.end_notice import EndNotice, NoticeTry, next_time
from cidx_jobs.model.webhooks.notify_url import find_fault, read_place
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.shielded import end_tasks
from cidx_jobs.wire.encode import encode
from cidx_jobs.wire.jobs import JobDocument

AT_A_TIME = 16
PER_HOST = 2
"""One host that takes its ten seconds for each holds up nobody else's notices for long."""

_ID_BYTES = 16
_PREFIX = "/api"
_LONGEST_NAP_SECONDS = 30.0
"""A wall clock that was set is noticed within this time."""
_AGAIN_SECONDS = 5.0
"""When it is tried again to store notices that the store could not take."""
_PAGE = 1_000

_log = get_logger("engine")

MakeSender = Callable[[], Awaitable[NoticeSender]]
"""Returns what sends: called with the first notice, since it brings a client of HTTP along."""


class EndNotices(Background):
    """Tells ends: at once, and again at the times of `end_notice.TRY_TIMES`."""

    task_name: ClassVar[str] = "end-notices"

    def __init__(
        self,
        *,
        store: Persistence,
        box: SecretBox,
        clock: Clock,
        allowed_hosts: Iterable[str],
        make_sender: MakeSender,
    ) -> None:
        """Take the parts, and which hosts may be told anything."""
        self._store = store
        self._box = box
        self._clock = clock
        self._allowed_hosts = frozenset(allowed_hosts)
        self._make_sender = make_sender
        self._sender: NoticeSender | None = None
        self._ended: deque[Job] = deque()
        self._due: list[tuple[datetime, str, str]] = []
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[str]] = {}
        self._posts: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()

    async def make_secret(self, user_id: UserId) -> str:
        """Return a new secret, which signs the user's notices from now on; it is told this once.

        Raises:
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        secret = standard.make_secret()
        sealed = await self._box.seal(secret)
        await self._store.end_notices.save_secret(user_id, sealed, self._clock.now())
        return secret

    async def list_tries(self, job: Job) -> Sequence[NoticeTry]:
        """Return the tries to tell of the job's ends, oldest first."""
        return await self._store.end_notices.list_tries(job.job_id) if job.notify else ()

    def note_end(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Take committed transitions; that of an end that is to be told becomes a notice."""
        if job.notify and any(transition.to_status.is_final for transition in transitions):
            self._ended.append(job)
            self._look.set()

    def look_again(self) -> None:
        """Look at the clock now; it is looked at every half minute anyway."""
        self._look.set()

    async def find_lost_secrets(self) -> Sequence[Finding]:
        """Return the users whose secret nobody can read any more: nothing is told for them."""
        found = []
        for user_id, sealed in await self._store.end_notices.list_secrets():
            if not await self._box.can_open(sealed):
                text = (
                    f"the secret of the notices of {printable(user_id)} cannot be read with the "
                    "key in secrets.key: make a new one (POST /api/notify-secret)"
                )
                found.append(Finding(kind="secrets", message=text))
        return found

    async def start(self) -> None:
        """Take up what was still to be told, and begin."""
        for notice in await self._store.end_notices.list_pending():
            self._push(notice)
        await super().start()

    async def stop(self) -> None:
        """End it; a post that is under way is sent again after the next start."""
        await super().stop()
        await end_tasks(self._posts)

    async def _go_on(self) -> None:
        await self._until_stored(self._take_up_untold)
        while True:
            self._look.clear()
            if self._ended:
                await self._until_stored(self._store_ended)
            self._post_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._nap()):
                    await self._look.wait()

    async def _until_stored(self, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await write()
            except (StoreError, UnavailableError) as error:
                _log.warning("notices_not_stored", code=error.code)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _take_up_untold(self) -> None:
        """Make the notices of ends that a server before this one could not store any more."""
        count = _PAGE
        while count >= _PAGE:
            job_ids = await self._store.end_notices.find_untold(_PAGE)
            jobs = [await self._store.jobs.load_job(job_id) for job_id in job_ids]
            count = await self._add([job for job in jobs if job is not None])

    async def _store_ended(self) -> None:
        jobs = tuple(self._ended)
        await self._add(jobs)
        for _ in jobs:
            self._ended.popleft()

    async def _add(self, jobs: Iterable[Job]) -> int:
        """Store the notices of these ends, and return how many are new."""
        notices = [notice for job in jobs for notice in _make_notices(job)]
        added = await self._store.end_notices.add_notices(notices)
        for notice in added:
            self._push(notice)
        return len(added)

    def _push(self, notice: EndNotice) -> None:
        if notice.next_at is not None:
            host = _host_of(notice.url)
            heapq.heappush(self._due, (notice.next_at, notice.webhook_id, host))

    def _nap(self) -> float:
        if not self._due or len(self._posts) >= AT_A_TIME:
            return _LONGEST_NAP_SECONDS
        seconds = (self._due[0][0] - self._clock.now()).total_seconds()
        return min(max(seconds, 0.0), _LONGEST_NAP_SECONDS)

    def _post_due(self) -> None:
        now = self._clock.now()
        while self._due and self._due[0][0] <= now and len(self._posts) < AT_A_TIME:
            _, webhook_id, host = heapq.heappop(self._due)
            if self._busy[host] >= PER_HOST:
                self._waiting.setdefault(host, deque()).append(webhook_id)
            else:
                self._begin_post(webhook_id, host)

    def _begin_post(self, webhook_id: str, host: str) -> None:
        self._busy[host] += 1
        post = asyncio.create_task(self._post(webhook_id, host), name=f"notice-{webhook_id}")
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)
        post.add_done_callback(lambda _: self._free(host))

    def _free(self, host: str) -> None:
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        waiting = self._waiting.get(host)
        if waiting and self.is_at_work:
            self._begin_post(waiting.popleft(), host)
        if not waiting:
            self._waiting.pop(host, None)
        self._look.set()

    async def _post(self, webhook_id: str, host: str) -> None:
        try:
            next_at = await self._try(webhook_id)
        except (StoreError, UnavailableError) as error:
            # Told, perhaps, and not known to be: told again, its receiver notices the repeat.
            _log.warning("notice_not_stored", webhook_id=webhook_id, code=error.code)
            next_at = self._clock.now() + timedelta(seconds=_LONGEST_NAP_SECONDS)
        if next_at is not None:
            heapq.heappush(self._due, (next_at, webhook_id, host))

    async def _try(self, webhook_id: str) -> datetime | None:
        """Tell a notice, and return when to do so again; None when it is over."""
        notice = await self._store.end_notices.load_notice(webhook_id)
        if notice is None or notice.next_at is None:
            return None
        at = self._clock.now()
        answer, is_final = await self._send(notice, at)
        tried = NoticeTry(at=at, url=notice.url, status=answer.status, error=answer.error)
        next_at = None
        if answer.error is not None and not is_final:
            next_at = next_time(at, len(notice.tries) + 1)
        await self._store.end_notices.save_try(webhook_id, tried, next_at)
        if answer.error is not None:
            _log.warning(
                "notice_not_taken",
                job_id=notice.job_id,
                host=_host_of(notice.url),
                status=answer.status,
                error=answer.error,
                is_given_up=next_at is None,
            )
        return next_at

    async def _send(self, notice: EndNotice, at: datetime) -> tuple[NoticeAnswer, bool]:
        """Return what a try was answered, and whether it makes no sense to try again."""
        fault = find_fault(notice.url, self._allowed_hosts)
        if fault is not None:
            return NoticeAnswer(error=fault), True
        sealed = await self._store.end_notices.find_secret(notice.user_id)
        if sealed is None:
            return NoticeAnswer(error="the user has no secret to sign it with"), True
        try:
            secret = await self._box.open(sealed)
        except CidxJobsError as error:
            return NoticeAnswer(error=error.message), False
        if secret is None:
            lost = "the secret was encrypted with a key that is gone: make a new one"
            return NoticeAnswer(error=lost), False
        timestamp = str(int(at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": notice.webhook_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": standard.sign(secret, notice.webhook_id, timestamp, notice.body),
        }
        if self._sender is None:
            self._sender = await self._make_sender()
        return await self._sender.send(notice.url, headers, notice.body), False


def _make_notices(job: Job) -> list[EndNotice]:
    """Return the notices of a job's end, one for each URL."""
    if job.finished_at is None:
        return []
    body = encode(
        {
            "type": f"job.{job.status}",
            "timestamp": job.finished_at,
            "data": JobDocument.of(job, None, _PREFIX),
        }
    )
    return [
        EndNotice(
            webhook_id=f"msg_{secrets.token_hex(_ID_BYTES)}",
            job_id=job.job_id,
            version=job.version,
            user_id=job.user_id,
            url=url,
            body=body,
            next_at=job.finished_at,
        )
        for url in job.notify
    ]


def _host_of(url: str) -> str:
    place = read_place(url)
    return "" if place is None else f"{place.host}:{place.port}"
