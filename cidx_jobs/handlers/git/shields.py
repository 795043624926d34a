"""The configuration and environment of every git (security.md): what it may do, and speak to.

A remote may tell git to get things elsewhere: packfile-uris do so unasked, bundle-uri and
promisors where they are believed, and each version learns more. So all its requests go to a dead
end, but for those to the scheme, host and port that were checked for this call.
"""

import shlex
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from cidx_jobs.handlers.git.errors import DEAD_END
from cidx_jobs.handlers.git.url_rules import DEFAULT_PORTS, WEB, Remote, Scheme

NOWHERE = "/dev/null"
"""What is named where git insists on a path."""

_LOW_SPEED_BYTES = 100
"""Bytes a second: a host that sends less for too long is given up (git-config, lowSpeedLimit)."""
_DEAD_END_PROXY = f"http://{DEAD_END}:9"
_NO_PROXY = ""
# How git keeps to the memory that it is given: it maps packs piece by piece, and has few threads.
_MODEST = {
    "core.packedGitWindowSize": "16m",
    "core.packedGitLimit": "128m",
    "core.deltaBaseCacheLimit": "32m",
    "pack.threads": "2",
    "pack.windowMemory": "32m",
    "pack.deltaCacheSize": "32m",
}
# What each of them does is said in git-config(1).
_SHIELDS = {
    # Both name programs that git would start.
    "core.hooksPath": NOWHERE,
    "core.fsmonitor": "false",
    # A link in a checkout could lead out of it.
    "core.symlinks": "false",
    "core.attributesFile": NOWHERE,
    "core.askPass": "",
    # Larger files are streamed, and never whole in memory.
    "core.bigFileThreshold": "16m",
    "core.sharedRepository": "0600",
    **_MODEST,
    # An empty one takes away those that are configured (gitcredentials(7)).
    "credential.helper": "",
    # A directory of a checkout that looks like a repository is none.
    "safe.bareRepository": "explicit",
    # When a copy is packed up is decided in `project_copy`, and which submodules are fetched in
    # `repository_sync.submodules`.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    # What comes stays a pack, however small: `project_copy` counts them.
    "fetch.unpackLimit": "1",
    # A host could send us on to others by these three, past the check of addresses.
    "fetch.uriProtocols": "",
    "transfer.bundleURI": "false",
    "promisor.acceptFromServer": "none",
    # A host then lists only the branches that it is asked for (gitprotocol-v2(5)).
    "protocol.version": "2",
    # Also keeps http-alternates from being followed.
    "http.followRedirects": "false",
    # Where no address was checked git speaks to nobody; `_open_web` lets it.
    "http.proxy": _DEAD_END_PROXY,
    "http.lowSpeedLimit": str(_LOW_SPEED_BYTES),
}
# What each of them does is said in git(1).
_ENVIRONMENT = {
    # What is configured on the machine, or by its user, does not count.
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": NOWHERE,
    "GIT_ATTR_NOSYSTEM": "1",
    # Nobody is there to be asked for a password.
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    # Refs of a repository could put other objects in the place of a commit's own.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PROTOCOL_FROM_USER": "0",
    # An object that is missing is an error, and no reason to speak to the remote again.
    "GIT_NO_LAZY_FETCH": "1",
    # For what asks no configuration of git; curl takes all_proxy where no other is named.
    "all_proxy": _DEAD_END_PROXY,
    "no_proxy": "",
    # What git says is read by its words (`errors`).
    "LC_ALL": "C",
    # Each arena of a thread takes address space that nothing is in.
    "MALLOC_ARENA_MAX": "2",
}
# Lets git write to stderr what a host answers; git leaves out what is secret.
_TRACE = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"}
# A local remote is read by a git of its own, which does not inherit the options of ours. The
# operator's roots are trusted, whoever owns the repositories in them. The directory was checked,
# and no other may be found in its place.
_UPLOAD_PACK_SHIELDS = {
    "safe.directory": "*",
    "core.hooksPath": NOWHERE,
    "core.fsmonitor": "false",
    **_MODEST,
}
_UPLOAD_PACK = " ".join(
    [
        "git",
        *(f"-c {name}={value}" for name, value in _UPLOAD_PACK_SHIELDS.items()),
        "upload-pack --strict",
    ]
)
# It says by itself when the host has let it in: that is the first answer that can be seen.
_SSH = (
    "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15"
    " -o LogLevel=VERBOSE"
)


# It answers what it was given, and forgets nothing that a host refused.
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n"'
    ' "$CIDXJ_GIT_USER" "$CIDXJ_GIT_PASSWORD"; }; f'
)


@attrs.frozen
class Credential:
    """Who the server is to a host."""

    user: str
    password: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Access:
    """A remote, where git is to look for it, and what its host was found to be."""

    remote: Remote
    source: str
    """The url, or the git directory of a local repository."""
    addresses: Sequence[str] = ()
    """None where a proxy looks the name up."""
    proxy: str | None = attrs.field(default=None, repr=False)
    """The url of the proxy to the web, if there is one."""
    ca_file: Path | None = None
    """Further CAs to trust."""
    credential: Credential | None = None
    """Who the server is to the host, over the web."""
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    on_answer: Callable[[], None] | None = None
    """Called whenever the host answers; one that does not is then told as down. None, as for the
    hosts of submodules: nobody wants to know."""

    @property
    def is_web(self) -> bool:
        """True where git speaks HTTP to the remote."""
        return self.remote.scheme in WEB


def configure(access: Access | None, low_speed_seconds: float) -> Sequence[str]:
    """Return the configuration of one call, each as ``name=value``.

    Args:
        access: the remote to speak to; None for none.
        low_speed_seconds: how long a remote may send nearly nothing.
    """
    options = [f"{name}={value}" for name, value in _SHIELDS.items()]
    options.append(f"http.lowSpeedTime={max(1, round(low_speed_seconds))}")
    if access is not None and access.is_web:
        options += [f"{name}={value}" for name, value in _open_web(access).items()]
        options += [f"{name}={value}" for name, value in _trust(access).items()]
        if access.credential is not None:
            options.append(f"credential.helper={_HELPER}")
    return options


def make_environment(access: Access | None, memory_bytes: int) -> Mapping[str, str]:
    """Return the variables of one call; those of the server are not among them.

    Args:
        access: the remote to speak to; None for none.
        memory_bytes: what the process may take, of which one piece may be half.
    """
    limit = str(memory_bytes // 2)
    traced = _TRACE if access is not None and access.is_web else {}
    secrets = _hand_secrets(access) if access is not None else {}
    opened = _open_transport(access)
    return {**_ENVIRONMENT, "GIT_ALLOC_LIMIT": limit, **traced, **secrets, **opened}


def _open_transport(access: Access | None) -> Mapping[str, str]:
    # Without a remote no transport is allowed at all.
    if access is None:
        return {"GIT_ALLOW_PROTOCOL": "", "HOME": "/nonexistent"}
    remote = access.remote
    if remote.scheme is not Scheme.SSH:
        return {"GIT_ALLOW_PROTOCOL": str(remote.scheme), "HOME": "/nonexistent"}
    # The name is pinned to the address that was checked; the key is still the name's.
    port = "" if remote.port == DEFAULT_PORTS[Scheme.SSH] else f":{remote.port}"
    alias = f"[{remote.host}]{port}" if port else remote.host
    options = [f"HostName={access.addresses[0]}", f"HostKeyAlias={alias}"]
    if access.known_hosts is not None:
        options += [f"UserKnownHostsFile={_quoted(access.known_hosts)}"]
        options += ["GlobalKnownHostsFile=none"]
    if access.ssh_key is not None:
        options += [f"IdentityFile={_quoted(access.ssh_key)}"]
        options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
    command = " ".join([_SSH, *(f"-o {shlex.quote(option)}" for option in options)])
    return {
        "GIT_ALLOW_PROTOCOL": "ssh",
        "GIT_SSH_COMMAND": command,
        "GIT_SSH_VARIANT": "ssh",
    }


def name_upload_pack(access: Access) -> list[str]:
    """Return the options by which git finds its other end: one is needed for a local remote."""
    local = access.remote.scheme is Scheme.LOCAL
    return [f"--upload-pack={_UPLOAD_PACK}"] if local else []


def _open_web(access: Access) -> Mapping[str, str]:
    """Return what lets git speak to the checked host, at its checked addresses alone."""
    remote = access.remote
    host, *addresses = (f"[{a}]" if ":" in a else a for a in (remote.host, *access.addresses))
    if access.proxy is not None:
        return {}
    opened = {_proxy_name(access): _NO_PROXY}
    # An address of IPv6 needs no pin, and curl takes none for it.
    if addresses and host == remote.host:
        opened["http.curloptResolve"] = f"{host}:{remote.port}:{','.join(addresses)}"
    return opened


def _proxy_name(access: Access) -> str:
    """Return the name of the configuration that says how the checked host alone is reached."""
    remote = access.remote
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    return f"http.{remote.scheme}://{host}:{remote.port}/.proxy"


def _trust(access: Access) -> Mapping[str, str]:
    """Return what lets git believe the operator's CAs besides those of the system."""
    if access.ca_file is None:
        return {}
    trusted = {"http.sslCAInfo": str(access.ca_file), "http.proxySSLCAInfo": str(access.ca_file)}
    systems = ssl.get_default_verify_paths().capath
    return {**trusted, "http.sslCAPath": systems} if systems else trusted


def _hand_secrets(access: Access) -> Mapping[str, str]:
    """Return what git is told by its environment, which other users cannot read."""
    handed: dict[str, str] = {}
    if access.proxy is not None:
        handed |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": _proxy_name(access)}
        handed["GIT_CONFIG_VALUE_0"] = access.proxy
    if access.credential is not None:
        handed["CIDXJ_GIT_USER"] = access.credential.user
        handed["CIDXJ_GIT_PASSWORD"] = access.credential.password
    return handed


def _quoted(path: Path) -> str:
    # ssh splits values at blanks, and takes percent signs for its own tokens.
    return '"{}"'.format(str(path).replace("%", "%%"))
