"""Members: the other processes of a shared directory, and whom they speak of.

Their word counts only over the socket in the data directory, with that directory's token.
"""

import attrs
from aiohttp import web

from cidx_jobs.interfaces.access import Credentials, Identity
from cidx_jobs.model.errors import AuthenticationRequiredError
from cidx_jobs.runtime.socket_paths import is_name_of
from cidx_jobs.settings import DataDirectory
from cidx_jobs.web.access.authenticators import TokenAuthenticator
from cidx_jobs.web.access.member_word import HEADER, WORD, MemberWord


@attrs.frozen
class Members:
    """Believes members, and knows whom they speak of."""

    _tokens: TokenAuthenticator
    _directory: DataDirectory

    async def admit(self, request: web.Request) -> None:
        """Believe what the header says, where it may be believed; from others it is nothing.

        Raises:
            AuthenticationRequiredError: whoever says it has not the directory's token.
        """
        here = request.protocol.sockname
        if request.remote or not is_name_of(here, self._directory.server_socket):
            return
        word = MemberWord.decode(request.headers[HEADER])
        bearer = "" if word is None else f"Bearer {word.token}"
        member = await self._tokens.authenticate(
            Credentials(authorization=bearer, headers=request.headers, peer=None)
        )
        if word is None or member is None or not member.is_admin:
            raise AuthenticationRequiredError
        request[WORD] = word

    async def identify(self, request: web.Request) -> Identity | None:
        """Return who made a request that a member has handed on."""
        word = request[WORD]
        if not word.is_unknown:
            return word.identity
        return await self._tokens.authenticate(
            Credentials(
                authorization=request.headers.get("Authorization"),
                headers=request.headers,
                peer=word.address,
            )
        )

    async def close(self) -> None:
        """Wait until what is being stored is stored."""
        await self._tokens.close()
