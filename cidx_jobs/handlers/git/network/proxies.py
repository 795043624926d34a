"""Which proxy a host is reached through: the setting's, else the one of the environment."""

import ipaddress

import attrs

from cidx_jobs.handlers.git.url_rules import WEB, Remote, Scheme


@attrs.frozen(kw_only=True)
class ProxyRules:
    """Through which proxy git speaks to the web, and to whom without it."""

    url: str | None = attrs.field(default=None, repr=False)
    """Of the setting `git_proxy`, for https and http."""
    environment_url: str | None = attrs.field(default=None, repr=False)
    """Of the variable HTTPS_PROXY, for https where the setting is not given."""
    exceptions: str = ""
    """Of the variable NO_PROXY: hosts, endings of names and networks, separated by commas."""

    def find(self, remote: Remote) -> str | None:
        """Return the url of the proxy for a remote; None for one that is spoken to directly."""
        if remote.scheme not in WEB:
            return None
        url = self.url
        if url is None and remote.scheme is Scheme.HTTPS:
            url = self.environment_url
        if url is None or any(_fits(part, remote) for part in self.exceptions.split(",")):
            return None
        return url


def _fits(part: str, remote: Remote) -> bool:
    """Return whether a part of NO_PROXY means the remote's host: as curl takes it."""
    name = part.strip().lower()
    head, _, port = name.rpartition(":")
    if head and port.isdecimal() and ":" not in head.strip("[]"):
        if int(port) != remote.port:
            return False
        name = head
    name = name.removeprefix("*.").lstrip(".").strip("[]")
    if not name:
        return False
    is_same = remote.host == name or remote.host.endswith(f".{name}")
    return name == "*" or is_same or _is_in_network(remote.host, name)


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
