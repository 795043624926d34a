"""Push hooks: made and removed by users; a delivery that is signed becomes a sync, or a reason."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.webhooks import code_hosts, signatures, standard
from cidx_jobs.engine.webhooks.code_hosts import Host, HostEvent, RefChange, RefKind
from cidx_jobs.engine.webhooks.secret_box import SecretBox
from cidx_jobs.engine.webhooks.signatures import Headers, Signed
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.model.errors import (
    CidxJobsError,
    ProjectNotFoundError,
    PushHookNotFoundError,
    SignatureRefusedError,
    StoreError,
    UnavailableError,
)
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.job.submit import RequestKey, Submission, SubmitRequest
from cidx_jobs.model.listing import Project
from cidx_jobs.model.webhooks.push_hook import PushDelivery, PushHook
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.wire.strict_json import MalformedBodyError

_ID_BYTES = 18
_SMALL_BODY_BYTES = 64 * 1024
"""A larger body is checked in a thread: its signature and its JSON take long enough to notice."""
_REFUSED = SignatureRefusedError.code
_REFUSAL_KEPT_EVERY = timedelta(minutes=1)
_MANY = 10_000

_log = get_logger("engine")


class NewPushHook(msgspec.Struct, frozen=True, kw_only=True):
    """A hook whose secret was just made: the only time that its text is told."""

    hook: PushHook
    secret: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a delivery."""

    code: str
    """As `PushDelivery.verdict`."""
    reason: str
    """The same in words."""
    job_id: JobId | None = None
    is_replayed: bool = False


class PushHooks:
    """The push hooks of all projects."""

    def __init__(
        self,
        *,
        store: PushHookStore,
        projects: ProjectStore,
        manager: SyncJobManager,
        box: SecretBox,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._store = store
        self._projects = projects
        self._manager = manager
        self._box = box
        self._clock = clock
        self._refusals: dict[str, float] = {}

    async def create(self, user_id: UserId, project_id: ProjectId) -> NewPushHook:
        """Make a hook for a project, or a new secret for the one that it has.

        Raises:
            ProjectNotFoundError: there is no such project.
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        secret = standard.make_secret()
        hook = PushHook(
            hook_id=secrets.token_urlsafe(_ID_BYTES),
            user_id=user_id,
            project_id=project_id,
            sealed_secret=await self._box.seal(secret),
            created_at=self._clock.now(),
        )
        stored = await self._store.save_hook(hook)
        if stored is None:
            raise ProjectNotFoundError(project_id)
        return NewPushHook(hook=stored, secret=secret)

    async def get_of(self, user_id: UserId, project_id: ProjectId) -> PushHook:
        """Return the hook of a project.

        Raises:
            ProjectNotFoundError: there is no such project.
            PushHookNotFoundError: it has none.
        """
        hook = await self._store.find_hook_of(user_id, project_id)
        if hook is None:
            await self._refuse_unknown(user_id, project_id)
            raise PushHookNotFoundError
        return hook

    async def list_deliveries(self, hook: PushHook) -> Sequence[PushDelivery]:
        """Return what came to a hook last, newest first."""
        return await self._store.list_deliveries(hook.hook_id)

    async def remove(self, user_id: UserId, project_id: ProjectId) -> None:
        """Remove the hook of a project: nothing is taken at its address from now on.

        Raises:
            ProjectNotFoundError: there is no such project.
            PushHookNotFoundError: it has none.
        """
        if not await self._store.delete_hook(user_id, project_id):
            await self._refuse_unknown(user_id, project_id)
            raise PushHookNotFoundError

    async def find(self, hook_id: str) -> PushHook:
        """Return the hook of this id.

        Raises:
            PushHookNotFoundError: there is none.
        """
        hook = await self._store.find_hook(hook_id)
        if hook is None:
            raise PushHookNotFoundError
        return hook

    async def receive(self, hook: PushHook, headers: Headers, body: bytes) -> Verdict:
        """Take a delivery: submit a sync for a push of the project's branch, else say why not.

        Args:
            hook: whose address it came to.
            headers: of the request; their letter case does not count.
            body: as it came.

        Raises:
            SignatureRefusedError: it is not signed with the secret of the hook.
            MalformedBodyError: it is, and no event can be read of it.
            CidxJobsError: the sync is refused as a submit is.
        """
        host = code_hosts.find_host(headers)
        try:
            event = await self._read(hook, host, headers, body)
        except CidxJobsError as error:
            await self._note_refusal(hook, host, error)
            raise
        try:
            verdict = await self._answer(hook, event, self._make_key(hook, host, headers, body))
        except CidxJobsError as error:
            await self._note(hook, event.sender, event.kind, error.code)
            raise
        await self._note(hook, event.sender, event.kind, verdict.code, verdict.job_id)
        return verdict

    async def refuse_unsigned(self, hook: PushHook, headers: Headers) -> None:
        """Raise for a delivery that nothing signs, before its body is read.

        Raises:
            SignatureRefusedError: none of the headers is there.
        """
        if signatures.find_way(headers) is None:
            error = SignatureRefusedError(signatures.HEADERS)
            await self._note_refusal(hook, code_hosts.find_host(headers), error)
            raise error

    async def find_lost_secrets(self) -> Sequence[Finding]:
        """Return the hooks whose secret nobody can read any more: all they get is refused."""
        found = []
        for hook in await self._store.list_hooks():
            if not await self._box.can_open(hook.sealed_secret):
                whose = f"{hook.project_id} of {printable(hook.user_id)}"
                text = (
                    f"the secret of the push hook of project {whose} cannot be read with the key "
                    "in secrets.key: make a new one (hook create)"
                )
                found.append(Finding(kind="secrets", message=text))
        return found

    async def _read(self, hook: PushHook, host: Host, headers: Headers, body: bytes) -> HostEvent:
        secret = await self._box.open(hook.sealed_secret)
        if secret is None:
            # A key that was made anew opens nothing of before; `find_lost_secrets` tells of it.
            raise SignatureRefusedError(signatures.HEADERS)
        now = self._clock.now()
        if len(body) <= _SMALL_BODY_BYTES:
            return _check(host, headers, body, secret, Signed(headers, body, now))
        return await in_own_thread(_check, host, headers, body, secret, Signed(headers, body, now))

    async def _answer(self, hook: PushHook, event: HostEvent, key: RequestKey | None) -> Verdict:
        if event.kind == code_hosts.PING:
            return Verdict(code="ping", reason="a ping: the signature is right")
        if event.kind != code_hosts.PUSH:
            return Verdict(code="other_event", reason=f"{event.kind} is no push")
        project = await self._projects.load_project(hook.user_id, hook.project_id)
        if project is None:
            raise PushHookNotFoundError
        why_not = _find_reason(event.changes, project)
        if why_not is not None:
            return why_not
        submission = await self._manager.create_job(
            SubmitRequest(user_id=hook.user_id, project_id=hook.project_id, request_key=key)
        )
        return _tell(submission)

    def _make_key(
        self, hook: PushHook, host: Host, headers: Headers, body: bytes
    ) -> RequestKey | None:
        delivery_id = code_hosts.find_delivery_id(host, headers)
        if delivery_id is None:
            return None
        digest = hashlib.sha256(delivery_id.encode("utf-8", "surrogateescape")).hexdigest()
        # No key of a request begins with a blank: the two kinds never meet.
        key = f" push {hook.hook_id} {digest}"
        return RequestKey(key=key, fingerprint=hashlib.sha256(body).hexdigest())

    async def _refuse_unknown(self, user_id: UserId, project_id: ProjectId) -> None:
        if await self._projects.load_project(user_id, project_id) is None:
            raise ProjectNotFoundError(project_id)

    async def _note_refusal(self, hook: PushHook, host: Host, error: CidxJobsError) -> None:
        if isinstance(error, MalformedBodyError):
            await self._note(hook, host.name, "unreadable", error.code)
            return
        if not isinstance(error, SignatureRefusedError):
            return
        # Whoever knows the address can send these without end: the newest is kept, and seldom.
        now = self._clock.monotonic()
        last = self._refusals.get(hook.hook_id)
        if last is not None and now - last < _REFUSAL_KEPT_EVERY.total_seconds():
            return
        if len(self._refusals) >= _MANY:
            self._refusals.clear()
        self._refusals[hook.hook_id] = now
        await self._note(hook, host.name, "unknown", _REFUSED)

    async def _note(
        self, hook: PushHook, sender: str, kind: str, verdict: str, job_id: JobId | None = None
    ) -> None:
        delivery = PushDelivery(
            at=self._clock.now(), sender=sender, kind=kind, verdict=verdict, job_id=job_id
        )
        try:
            await self._store.add_delivery(
                hook.hook_id, delivery, replaces_alike=verdict == _REFUSED
            )
        except (StoreError, UnavailableError) as error:
            # The sync is stored, and its sender must not be told otherwise.
            _log.warning("delivery_not_noted", hook_id=hook.hook_id, code=error.code)


def _check(host: Host, headers: Headers, body: bytes, secret: str, signed: Signed) -> HostEvent:
    way = signatures.find_way(headers)
    if way == "X-Gitea-Signature" and host.signs_payload:
        signed = msgspec.structs.replace(signed, body=_payload_or_nothing(headers, body))
    if not signatures.is_signed(secret, signed):
        raise SignatureRefusedError(signatures.HEADERS)
    return code_hosts.read_event(host, headers, code_hosts.unpack(headers, body))


def _payload_or_nothing(headers: Headers, body: bytes) -> bytes:
    try:
        return code_hosts.unpack(headers, body)
    except MalformedBodyError:
        # Nothing that anybody signs; who is not known is not told what is wrong with their form.
        return body


def _find_reason(changes: Sequence[RefChange], project: Project) -> Verdict | None:
    """Return why a push is none of the project's branch; None if it is."""
    branches = [change for change in changes if change.kind is RefKind.BRANCH]
    # Before the first good sync nobody may know the branch: then any may be it.
    wanted = project.branch or project.default_branch
    own = [change for change in branches if wanted is None or change.name == wanted]
    if any(not change.is_deleted for change in own):
        return None
    if own:
        return Verdict(code="deleted", reason="the branch was deleted")
    if branches:
        return Verdict(code="other_branch", reason=f"the project follows the branch {wanted}")
    if any(change.kind is RefKind.TAG for change in changes):
        return Verdict(code="tag", reason="a tag is no branch")
    return Verdict(code="no_branch", reason="no branch was pushed")


def _tell(submission: Submission) -> Verdict:
    job_id = submission.job.job_id
    if submission.is_replayed:
        return Verdict(
            code="replayed",
            reason="this delivery came before",
            job_id=job_id,
            is_replayed=True,
        )
    if submission.is_joined:
        return Verdict(code="joined", reason="a sync that waits serves it", job_id=job_id)
    return Verdict(code="submitted", reason="a sync was submitted", job_id=job_id)
