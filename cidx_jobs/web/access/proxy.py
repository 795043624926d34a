"""Users whom a proxy names in a header: the way in ``auth = proxy``."""

from collections.abc import Mapping

from typing_extensions import override

from cidx_jobs.engine.operator_rules import is_user_id
from cidx_jobs.interfaces.access import Authenticator, Credentials, Identity
from cidx_jobs.settings import Settings
from cidx_jobs.web.access.proxy_peers import ProxyPeers
from cidx_jobs.web.access.scope_words import read_scopes


class ProxyAuthenticator(Authenticator):
    """Takes a user's name from the header of a listed proxy, and from nobody else."""

    def __init__(self, settings: Settings, peers: ProxyPeers) -> None:
        """Take the headers' names, and who may send them."""
        self._user_header = settings.proxy_header or ""
        self._scope_header = settings.proxy_scope_header
        self._peers = peers

    @override
    async def authenticate(self, credentials: Credentials) -> Identity | None:
        """Return the user in the header, if it came once and from a listed proxy."""
        if not self._peers.covers(credentials.peer):
            return None
        names = _values(credentials.headers, self._user_header)
        if len(names) != 1 or not is_user_id(names[0]):
            return None
        if self._scope_header is None:
            return Identity(user_id=names[0])
        said = _values(credentials.headers, self._scope_header)
        if len(said) > 1:
            return None
        scopes = read_scopes(said[0].replace(",", " ").split()) if said else frozenset({"write"})
        return Identity(user_id=names[0], scopes=scopes)


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Return all values of a header, whatever the case of its name."""
    lower = name.lower()
    return [value for found, value in headers.items() if found.lower() == lower]
