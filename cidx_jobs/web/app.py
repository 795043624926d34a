"""The API as an aiohttp application, or as routes in somebody else's."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.system import JobSystem
from cidx_jobs.web.access.authenticators import (
    Authenticate,
    adapt,
    make_authenticator,
    make_token_authenticator,
)
from cidx_jobs.web.access.jwt import JwtAuthenticator
from cidx_jobs.web.access.members import Members
from cidx_jobs.web.access.origin_check import OriginCheck
from cidx_jobs.web.access.proxy_peers import ProxyPeers
from cidx_jobs.web.access.rate_limit import Rates
from cidx_jobs.web.http.body import MAX_BODY_BYTES
from cidx_jobs.web.http.call import Api, is_known
from cidx_jobs.web.http.endpoint import Endpoint
from cidx_jobs.web.http.parked import Waiters
from cidx_jobs.web.http.relay import Handing, Relay
from cidx_jobs.web.keys import API, JOBS
from cidx_jobs.web.routes.owner.calls import answer_call, wake_waiters
from cidx_jobs.web.routes.owner.messages import PATH
from cidx_jobs.web.routes.table import add_routes

PREFIX = "/api"

_NOBODY_SAID = (
    "auth: an application must say who may come in: give `authenticate`, or set auth to tokens, "
    "or to none for everybody on this machine"
)


def create_app(jobs: JobSystem, *, authenticate: Authenticate | None = None) -> web.Application:
    """Build an application with all routes; it can be served, or mounted as a sub-application.

    Args:
        jobs: opened at startup and closed again if it is not open by then; else it stays the
            caller's to close.
        authenticate: who makes a request, in place of the way that the settings choose; None
            from it is a 401.

    Raises:
        SettingsError: neither *authenticate* nor the setting `auth` says who may come in.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    _install(app, jobs, PREFIX, authenticate, is_own=True)
    return app


def setup(
    app: web.Application,
    jobs: JobSystem,
    prefix: str = PREFIX,
    authenticate: Authenticate | None = None,
) -> None:
    """Add the routes below *prefix* to an application that has not started.

    Nothing outside the prefix is touched. The rest is as in `create_app`.

    Raises:
        ValueError: the prefix is not of the form ``/path``.
        SettingsError: as in `create_app`.
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        message = f"a prefix begins with a slash and does not end in one: {prefix!r}"
        raise ValueError(message)
    _install(app, jobs, prefix, authenticate, is_own=False)


def check_way_in(jobs: JobSystem, authenticate: object) -> None:
    """Check that an application says who may come in, by a function or by the settings.

    Raises:
        SettingsError: it says neither.
    """
    if authenticate is None and jobs.settings.auth is None:
        raise SettingsError(_NOBODY_SAID)


def _install(
    app: web.Application,
    jobs: JobSystem,
    prefix: str,
    authenticate: Authenticate | None,
    *,
    is_own: bool,
) -> None:
    settings = jobs.settings
    check_way_in(jobs, authenticate)
    authenticator = tokens = None
    if authenticate is None:
        tokens = make_token_authenticator(jobs)
        authenticator = make_authenticator(jobs, tokens)
        authenticate = adapt(authenticator, tokens, settings.data_dir)
    directory = DataDirectory(settings.data_dir)
    peers = ProxyPeers(settings)
    members = Members(tokens or make_token_authenticator(jobs), directory) if is_own else None
    takes_everybody = authenticator is not None and settings.auth_mode == "none"
    api = Api(
        jobs=jobs,
        authenticate=authenticate,
        authenticator=authenticator,
        tokens=tokens,
        peers=peers,
        origins=OriginCheck(settings, peers, takes_everybody=takes_everybody),
        waiters=Waiters(
            settings.max_waiters_per_user,
            settings.max_waiters_total,
            # A host application is asked once for each request, and everybody is one user here.
            None
            if authenticator is None or takes_everybody
            else partial(is_known, authenticate, members),
        ),
        members=members,
        relay=Relay(directory, wake_waiters) if jobs.is_shared else None,
        rates=_make_rates(jobs),
        prefix=prefix,
        public_path=urlsplit(settings.public_url or "").path,
        root="" if is_own else prefix,
    )
    if is_own:
        # For the other processes of a shared directory; before the routes, of which the last
        # takes everything.
        app.router.add_post(
            PATH, Endpoint(api, answer_call, "admin", PATH, Handing(base="")).serve
        )
    app[JOBS] = jobs
    app[API] = api
    life = _Life(api, add_routes(app, api, prefix, is_own=is_own))
    app.cleanup_ctx.append(life.run)
    app.on_shutdown.append(life.wake)


def _make_rates(jobs: JobSystem) -> Rates | None:
    settings = jobs.settings
    if not settings.rate_limit_per_second:
        return None
    return Rates(settings.rate_limit_per_second, settings.rate_limit_burst, jobs.clock.monotonic)


@attrs.define(eq=False)
class _Life:
    """The API's part in the life of its application."""

    _api: Api
    _jobs_resource: web.Resource
    _is_owner: bool = False

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Open the system if nobody did; at the end close what was opened here."""
        api = self._api
        # Mounted in another application, the routes stand deeper than they were added.
        given, api.prefix = api.prefix, self._jobs_resource.canonical.removesuffix("/jobs")
        api.root = api.prefix.removesuffix(given) + api.root
        api.mount = api.root
        self._is_owner = not (api.jobs.is_open or api.jobs.is_member)
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(api.authenticator, JwtAuthenticator):
                await api.authenticator.open()
            if self._is_owner:
                await stack.enter_async_context(api.jobs)
            if api.members is not None:
                stack.push_async_callback(api.members.close)
            if api.tokens is not None:
                stack.push_async_callback(api.tokens.close)
            stack.push_async_callback(api.waiters.close)
            if api.relay is not None:
                stack.push_async_callback(api.relay.close)
            yield

    async def wake(self, _: web.Application) -> None:
        """Answer all who wait: nothing may delay the end (aiohttp cancels handlers late)."""
        if self._is_owner:
            await self._api.jobs.begin_stop()
        self._api.waiters.stop()
