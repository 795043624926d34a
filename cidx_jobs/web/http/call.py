"""What the routes work with: the parts that all share, and one call."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from aiohttp import web

from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.engine.operator_rules import NAME_RULE, is_user_id
from cidx_jobs.interfaces.access import Authenticator, Identity
from cidx_jobs.model.errors import (
    AdminRequiredError,
    AuthenticationRequiredError,
    CidxJobsError,
    ForbiddenError,
    InvalidParameterError,
    JobNotFoundError,
    StoppingError,
    ValidationError,
)
from cidx_jobs.model.ids import JobId, UserId, is_job_id
from cidx_jobs.model.job.job import Job
from cidx_jobs.model.listing import EVERYBODY
from cidx_jobs.runtime.shares import Shares
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.authenticators import Authenticate, TokenAuthenticator
from cidx_jobs.web.access.member_word import word_of
from cidx_jobs.web.access.members import Members
from cidx_jobs.web.access.origin_check import OriginCheck
from cidx_jobs.web.access.proxy_peers import ProxyPeers
from cidx_jobs.web.access.rate_limit import Rates
from cidx_jobs.web.http.answer import answer_bytes, answer_document, answer_nothing
from cidx_jobs.web.http.body import LargeBodies
from cidx_jobs.web.http.page_cache import Page, PageCache
from cidx_jobs.web.http.parked import Waiters
from cidx_jobs.web.http.relay import Relay


@attrs.define(eq=False, kw_only=True)
class Api:
    """The parts that all routes of one application share."""

    jobs: JobSystem
    authenticate: Authenticate
    authenticator: Authenticator | None
    """None when the host application tells who makes a request."""
    tokens: TokenAuthenticator | None
    """What knows the tokens of this server, which are good at least over its own socket."""
    peers: ProxyPeers
    origins: OriginCheck
    waiters: Waiters
    members: Members | None = None
    """The other processes of the directory, whose requests come over its socket; None where it
    is not this application that listens there."""
    relay: Relay | None = None
    """Hands requests on while another process owns the directory; None where it cannot be."""
    reads: Shares = attrs.field(factory=lambda: Shares(READS_PER_USER))
    """Lists and pages of the log, which are read one after the other."""
    rates: Rates | None = None
    """None: everybody may ask as often as they like."""
    pages: PageCache = attrs.field(factory=PageCache)
    prefix: str = "/api"
    """The path that the routes stand under; known once the server starts."""
    public_path: str = ""
    """The path of `public_url`, below which a proxy serves all that."""
    root: str = ""
    """The path that what is not of the API stands under, likewise."""
    mount: str = ""
    """What the paths of requests begin with, before the routes as they were added."""
    large_bodies: LargeBodies = attrs.field(factory=lambda: LargeBodies(LARGE_BODIES))
    _manager: SyncJobManager | None = None

    @property
    def manager(self) -> SyncJobManager:
        """All that is asked of jobs; also while the system is closing, for what is read.

        Raises:
            StoppingError: the system was never open.
        """
        if self.jobs.is_open:
            self._manager = self.jobs.manager
        if self._manager is None:
            raise StoppingError
        return self._manager


LARGE_BODIES = 4
"""How many bodies of more than 64 KiB, where a route takes them, are in memory at a time."""

READS_PER_USER = 2
"""How many lists, or pages of the log, of one user are read at a time."""


class Stranger:
    """A connection of which nobody knows yet who is at its other end; a base of protocols."""

    __slots__ = ()

    def become_known(self) -> None:
        """Hear that it is known now; with each request on it anew."""
        raise NotImplementedError


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_NO_MEMBERS: Mapping[str, Any] = MappingProxyType({})


@attrs.define(eq=False, kw_only=True)
class Call:
    """One request to one route, by somebody who may make it."""

    request: web.Request
    request_id: str
    caller: Identity
    api: Api
    headers: Mapping[str, str] = _NO_HEADERS
    """What each answer to it carries besides."""
    members: Mapping[str, Any] = _NO_MEMBERS
    """What its body holds, as it came."""
    is_quiet: bool = False
    """It waited, and nothing happened."""
    _manager: SyncJobManager | None = None

    @property
    def manager(self) -> SyncJobManager:
        """All that is asked of jobs."""
        if self._manager is None:
            self._manager = self.api.manager
        return self._manager

    @property
    def open_jobs(self) -> JobSystem:
        """The system with all its parts, which go away one after the other while it closes.

        Raises:
            StoppingError: the server is closing.
        """
        if not self.api.jobs.is_open:
            raise StoppingError
        return self.api.jobs

    @property
    def user_id(self) -> UserId:
        """Who calls."""
        return UserId(self.caller.user_id)

    @property
    def address(self) -> str | None:
        """Where the request comes from, through listed proxies; None over a unix socket."""
        return self.api.peers.address(self.request)

    def act_for(self, user_id: str | None, scope: str | None = None) -> UserId:
        """Return whom the request is about: the user that its query names, else the caller.

        Args:
            user_id: the parameter of that name.
            scope: what the caller needs to name anybody; if it is None, ``audit`` to read, and
                ``admin`` to change something.

        Raises:
            ForbiddenError: they have it not.
            InvalidParameterError: there can be no such user.
        """
        if user_id is None:
            return self.user_id
        scope = scope or ("audit" if self._only_reads else "admin")
        if not self.caller.allows(scope):
            message = f"user_id: this needs a token with the scope {scope}"
            raise ForbiddenError(message, parameter="user_id")
        if not is_user_id(user_id):
            raise InvalidParameterError("user_id", f"it has {NAME_RULE}")
        return UserId(user_id)

    def list_for(self, user_id: str | None) -> UserId | None:
        """Return whose things are listed, as of `act_for`; None is everybody's.

        Raises: what `act_for` raises.
        """
        owner = self.act_for(user_id)
        return None if owner == EVERYBODY else owner

    def submit_for(self, user_id: str | None) -> UserId:
        """Return whose the job or the schedule in the body is to be; the caller's if it is None.

        Raises:
            ValidationError: the caller submits for nobody else, or there can be no such user.
        """
        if user_id is None:
            return self.user_id
        if not self.caller.is_admin:
            raise ValidationError.at("/user_id", "this needs a token with the scope admin")
        if not is_user_id(user_id):
            raise ValidationError.at("/user_id", f"it has {NAME_RULE}")
        return UserId(user_id)

    async def note_act(self, action: str, target: str | None = None) -> None:
        """Put into the admin log what the caller has done; it is stored when this returns."""
        await self.api.jobs.admin_log.note_act(
            self.caller.user_id, action, target, address=self.address
        )

    async def note_act_for(self, owner: str, action: str, name: str) -> None:
        """Put into the admin log what the caller has done to something of somebody else.

        What they do to their own is nobody's business.
        """
        if owner != self.user_id:
            await self.note_act(action, f"{name} of {owner}")

    @property
    def prefix(self) -> str:
        """The path below which the caller reaches the routes: what links begin with."""
        word = word_of(self.request)
        return self.outer_prefix + (self.api.prefix if word is None else word.prefix)

    @property
    def root(self) -> str:
        """The path, of this server, that what is not of the API stands under."""
        word = word_of(self.request)
        return self.api.root if word is None else word.root

    @property
    def outer_prefix(self) -> str:
        """The path below which a proxy serves all of the server."""
        word = word_of(self.request)
        if word is not None:
            # The member has looked at the same settings.
            return word.outer_prefix
        return self.api.peers.prefix(self.request) or self.api.public_path

    async def load_job(self) -> Job:
        """Return the job that the path names.

        Raises:
            JobNotFoundError: there is none that the caller may read, or change where the request
                changes one: another's job and none read the same.
        """
        text = self.request.match_info["job_id"]
        if not is_job_id(text):
            raise JobNotFoundError(text)
        job = await self.manager.get_job(JobId(text))
        if job.user_id != self.caller.user_id and not self._reaches_everybody:
            raise JobNotFoundError(text)
        return job

    @property
    def _reaches_everybody(self) -> bool:
        return self.caller.sees_everybody if self._only_reads else self.caller.is_admin

    @property
    def _only_reads(self) -> bool:
        return self.request.method in {"GET", "HEAD"}

    async def is_still_known(self) -> bool:
        """Tell whether the caller's token still holds, in an answer that goes on and on.

        A host application that tells who makes a request is asked once for each.
        """
        return self.api.authenticator is None or await is_known(
            self.api.authenticate, self.api.members, self.request
        )

    def answer(
        self, document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Return the answer with a document."""
        return answer_document(
            self.request, document, self.request_id, status=status, headers=self._all(headers)
        )

    def answer_bytes(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Return the answer with a document that is encoded already."""
        return answer_bytes(
            self.request, body, self.request_id, status=status, headers=self._all(headers)
        )

    def answer_page(self, page: Page, *, status: int = 200) -> web.Response:
        """Return the answer with a document that is kept, and its headers."""
        if self.headers:
            return self.answer_bytes(page.body, status=status, headers=page.headers)
        return answer_bytes(
            self.request,
            page.body,
            self.request_id,
            status=status,
            headers=page.headers,
            lines=page.lines,
        )

    def answer_nothing(
        self, *, status: int = 204, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Return an answer without a body."""
        return answer_nothing(self.request_id, status=status, headers=self._all(headers))

    def _all(self, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        return {**self.headers, **(headers or {})} if self.headers else headers


async def is_known(
    authenticate: Authenticate, members: Members | None, request: web.Request
) -> bool:
    """Tell whether whoever made the request may still come in."""
    try:
        if members is not None and word_of(request) is not None:
            return await members.identify(request) is not None
        return await authenticate(request) is not None
    except CidxJobsError:
        # Nobody can tell now: whoever comes back will be told why.
        return False


Answer = Callable[[Call], Awaitable[web.StreamResponse]]
"""What answers a call."""


def check_scope(caller: Identity | None, scope: str) -> Identity:
    """Return the caller if they may do what needs this scope.

    Raises:
        AuthenticationRequiredError: nobody knows who they are.
        AdminRequiredError, ForbiddenError: they may not.
    """
    if caller is None:
        raise AuthenticationRequiredError
    # The first two say at once what `allows` finds out for every kind of scope.
    if scope in caller.scopes or caller.is_admin or caller.allows(scope):
        return caller
    if scope in {"admin", "audit"}:
        raise AdminRequiredError
    message = f"this needs a token with the scope {scope}"
    raise ForbiddenError(message, scope=scope)
