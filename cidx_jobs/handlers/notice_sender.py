"""Notices sent over HTTP: to the address that was looked up and checked, and nowhere else."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override
from yarl import URL

from cidx_jobs.handlers.git.network.host_addresses import Resolve, find_addresses
from cidx_jobs.handlers.git.url_rules import Remote, Scheme
from cidx_jobs.interfaces.notices import NoticeAnswer, NoticeSender
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.webhooks.notify_url import NotifyPlace, read_place

TRY_SECONDS = 10.0
"""How long a try may take, the look-up of the name included."""

_TAKEN = range(200, 300)
_REDIRECTS = range(300, 400)


class HttpNoticeSender(NoticeSender):
    """Posts each notice over a connection of its own."""

    def __init__(self, resolve: Resolve, *, seconds: float = TRY_SECONDS) -> None:
        """Take what looks names up, and how long a try may take."""
        self._resolve = resolve
        self._seconds = seconds

    @override
    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> NoticeAnswer:
        place = read_place(url)
        if place is None:
            return NoticeAnswer(error="this is no URL of a host")
        try:
            async with asyncio.timeout(self._seconds):
                status = await self._post(place, url, headers, body)
        except TimeoutError:
            return NoticeAnswer(error=f"no answer came within {self._seconds:g} seconds")
        except JobFailure as failure:
            return NoticeAnswer(error=str(failure))
        except aiohttp.ClientConnectorCertificateError:
            return NoticeAnswer(error="the host's certificate is not trusted")
        except aiohttp.ClientConnectorError:
            return NoticeAnswer(error="the host cannot be reached")
        except (aiohttp.ClientError, OSError, ValueError):
            return NoticeAnswer(error="the connection broke off, or spoke no HTTP")
        return NoticeAnswer(status=status, error=_describe(status))

    async def _post(
        self, place: NotifyPlace, url: str, headers: Mapping[str, str], body: bytes
    ) -> int:
        # The operator lists each host that is told anything: it may be one inside, as of git.
        remote = Remote(
            scheme=Scheme(place.scheme),
            url=url,
            host=place.host,
            port=place.port,
            is_allowed_inside=True,
        )
        found = await find_addresses(remote, self._resolve, seconds=self._seconds)
        _check(place, found)
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(found), use_dns_cache=False, force_close=True
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.post(
                URL(url, encoded=True),
                data=body,
                headers={**headers, "User-Agent": "cidx-jobs"},
                allow_redirects=False,
            ) as answer,
        ):
            # Of its body nothing is read: nobody asks what it says.
            return answer.status


class _Pinned(AbstractResolver):
    """Knows the addresses of one name; nothing is looked up a second time."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Take what was found and checked."""
        self._addresses = addresses

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    @override
    async def close(self) -> None:
        """Hold nothing."""


def _check(place: NotifyPlace, addresses: Sequence[str]) -> None:
    """Refuse a name that leads where no receiver is: to the link, as clouds tell secrets there.

    Raises:
        JobFailure: it does.
    """
    for text in addresses:
        address = ipaddress.ip_address(text)
        is_odd = address.is_link_local or address.is_multicast or address.is_unspecified
        if is_odd and text != place.host:
            message = f"the host {place.host} leads to an address of the link"
            raise JobFailure(message, code="NET-005")


def _describe(status: int) -> str | None:
    if status in _TAKEN:
        return None
    if status in _REDIRECTS:
        return f"it was answered with {status}: redirects are not followed"
    return f"it was answered with {status}"
