"""Which repository URLs and branch names are taken (security.md); pure rules, no look-ups.

Refused here is whatever git, curl, the resolver and a reader could understand differently from
us. What a name leads to is checked when the run starts.
"""

import os.path
import re
from enum import StrEnum
from pathlib import Path
from typing import NoReturn
from unicodedata import bidirectional, category
from urllib.parse import quote, unquote, unquote_to_bytes

import msgspec

from cidx_jobs.model.errors import ValidationError
from cidx_jobs.settings import Settings

HEAD = "HEAD"
"""What names no branch, and the default one where a remote is asked."""
URL_POINTER = "/options/repository_url"
BRANCH_POINTER = "/options/branch"
MAX_URL_CHARACTERS = 1_024
MAX_BRANCH_BYTES = 255

_HOST = r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_PATH = r"(?P<path>(?:/[A-Za-z0-9._~+%-]+)+)/?"
_WEB_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}{_PATH}")
_SSH_URL = re.compile(rf"ssh://(?:(?P<user>[a-z_][a-z0-9_-]*)@)?{_HOST}{_PATH}")
_SCP_FORM = re.compile(
    r"(?P<user>[a-z_][a-z0-9_-]*)@(?P<host>[A-Za-z0-9.-]+):(?!/)"
    r"(?P<path>[A-Za-z0-9._~+][A-Za-z0-9._~+-]*(?:/[A-Za-z0-9._~+-]+)*)"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MAX_HOST_CHARACTERS = 253
_MAX_PORT = 65_535
_MIN_LABELS = 2

_AUTHORITY = re.compile(r"[A-Za-z]+://([^/?#]*)([^?#]*)([?#]?)")
_NOT_IN_PATHS = re.compile(r"[^A-Za-z0-9._~+%/-]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ONLY_DOTS = re.compile(r"\.+")

_WRONG_IN_BRANCHES = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
# What breaks a line, or turns the direction of what follows it: nobody could read the name.
_UNREADABLE_KINDS = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class Scheme(StrEnum):
    """How a repository is reached; the value is git's name for the transport."""

    HTTPS = "https"
    HTTP = "http"
    SSH = "ssh"
    LOCAL = "file"


WEB = frozenset({Scheme.HTTPS, Scheme.HTTP})
DEFAULT_PORTS = {Scheme.HTTPS: 443, Scheme.HTTP: 80, Scheme.SSH: 22, Scheme.LOCAL: 0}


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A repository URL that keeps the rules."""

    scheme: Scheme
    url: str
    """As git is given it."""
    host: str = ""
    """In lower case; empty for a local path."""
    port: int = 0
    is_allowed_inside: bool = False
    """The operator lists this host: it may lead to any address."""

    @property
    def host_name(self) -> str:
        """The host's name, with ``:port`` unless it is the scheme's own; empty for a path."""
        is_usual = self.port == DEFAULT_PORTS[self.scheme]
        return self.host if is_usual else f"{self.host}:{self.port}"


class RemoteRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator allows beyond public https hosts."""

    allowed_hosts: frozenset[str] = frozenset()
    """``host[:port]`` in lower case; if there are any, no other host is taken."""
    local_roots: tuple[Path, ...] = ()
    allows_ssh: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "RemoteRules":
        """Take the rules from the settings."""
        return cls(
            allowed_hosts=frozenset(host.lower() for host in settings.git_allowed_hosts),
            local_roots=settings.git_local_roots,
            allows_ssh=settings.git_ssh,
        )

    def read(self, url: str) -> Remote:
        """Return the remote that *url* names.

        Raises:
            ValidationError: it is not a URL that is taken here; the pointer is `URL_POINTER`.
        """
        if len(url) > MAX_URL_CHARACTERS:
            _refuse_url(f"it has more than {MAX_URL_CHARACTERS} characters")
        if url.startswith(("/", "file://")):
            return self._read_local(url)
        if match := _WEB_URL.fullmatch(url):
            _check_path(match["path"])
            return self._read_web(match)
        if match := _SSH_URL.fullmatch(url) or _SCP_FORM.fullmatch(url):
            _check_path(match["path"])
            return self._read_ssh(match)
        raise ValidationError.at(URL_POINTER, _find_fault(url))

    def _read_web(self, match: re.Match[str]) -> Remote:
        scheme = Scheme(match["scheme"])
        host, port = match["host"].lower(), _port(match, scheme)
        is_listed = self._is_listed(host, port, scheme)
        if not is_listed:
            self._check_public(host, port, scheme)
        place = host if port == DEFAULT_PORTS[scheme] else f"{host}:{port}"
        return Remote(
            scheme=scheme,
            url=f"{scheme}://{place}{match['path']}",
            host=host.strip("[]"),
            port=port,
            is_allowed_inside=is_listed,
        )

    def _read_ssh(self, match: re.Match[str]) -> Remote:
        if not self.allows_ssh:
            _refuse_url("ssh is not enabled on this server; use https")
        host, port = match["host"].lower(), _port(match, Scheme.SSH)
        is_listed = self._is_listed(host, port, Scheme.SSH)
        if not is_listed:
            self._check_public(host, port, Scheme.SSH)
        user = f"{match['user']}@" if match["user"] else ""
        place = host if port == DEFAULT_PORTS[Scheme.SSH] else f"{host}:{port}"
        return Remote(
            scheme=Scheme.SSH,
            url=f"ssh://{user}{place}/{match['path'].removeprefix('/')}",
            host=host,
            port=port,
            is_allowed_inside=is_listed,
        )

    def _read_local(self, url: str) -> Remote:
        path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
        path = path.removesuffix("/") or "/"
        is_plain = path.startswith("/") and path.isprintable() and os.path.normpath(path) == path
        roots = [Path(os.path.normpath(root.absolute())) for root in self.local_roots]
        if not is_plain or not any(Path(path).is_relative_to(root) for root in roots):
            _refuse_url("local paths are taken only where the operator allows it; use https")
        return Remote(scheme=Scheme.LOCAL, url=path, is_allowed_inside=True)

    def _is_listed(self, host: str, port: int, scheme: Scheme) -> bool:
        names = {f"{host}:{port}"}
        if port == DEFAULT_PORTS[scheme]:
            names.add(host)
        return not names.isdisjoint(self.allowed_hosts)

    def _check_public(self, host: str, port: int, scheme: Scheme) -> None:
        if self.allowed_hosts:
            _refuse_url("the operator does not allow this host")
        if scheme is Scheme.HTTP:
            _refuse_url("http sends everything in clear text; use https")
        if port != DEFAULT_PORTS[scheme]:
            _refuse_url("only the scheme's own port is taken")
        labels = host.split(".")
        if (
            len(host) > _MAX_HOST_CHARACTERS
            or len(labels) < _MIN_LABELS
            or not all(_LABEL.fullmatch(label) for label in labels)
            or not labels[-1][0].isalpha()
        ):
            _refuse_url("the host must be a full public name, not an address or a short name")


def check_branch(branch: str) -> None:
    """Check a branch name by git's own rules (git-check-ref-format) and some of ours.

    Ours: nothing that reads as an option, a refspec or HEAD, and only what can be read.

    Raises:
        ValidationError: it is not taken; the pointer is `BRANCH_POINTER`.
    """
    if not 0 < _count_bytes(branch) <= MAX_BRANCH_BYTES:
        _refuse_branch(f"it must have 1 to {MAX_BRANCH_BYTES} bytes")
    if not is_branch(branch):
        _refuse_branch("it is not a branch name")


def is_branch(name: str) -> bool:
    """Return whether *name*, a user's or a remote's word, is a branch name that is taken here."""
    parts = name.split("/")
    return (
        0 < _count_bytes(name) <= MAX_BRANCH_BYTES
        and not _WRONG_IN_BRANCHES.search(name)
        and not any(map(_is_unreadable, name))
        and name[0] not in "-+/"
        and name[-1] not in "/."
        and name not in {HEAD, "@"}
        and not any(part.startswith(".") or part.endswith(".lock") for part in parts)
    )


def _count_bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _is_unreadable(character: str) -> bool:
    return category(character) in _UNREADABLE_KINDS or bidirectional(character) in _TURNS


def _check_path(path: str) -> None:
    """Check what the parts of a path mean once their percent escapes are undone."""
    if _BAD_ESCAPE.search(path):
        _refuse_url("a % in it is not followed by two hex digits")
    for part in path.removeprefix("/").split("/"):
        try:
            meant = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            _refuse_url("a percent escape in it is no UTF-8")
        if not meant.isprintable() or "/" in meant or "\\" in meant:
            _refuse_url("a percent escape in it stands for a character that no name may have")
        if _ONLY_DOTS.fullmatch(meant):
            _refuse_url("a part of its path is made of dots alone")


def _find_fault(url: str) -> str:
    """Return what is wrong with a URL that has not the form of one."""
    match = _AUTHORITY.match(url)
    if match is None or not url.startswith(("https://", "http://", "ssh://")):
        return "it must begin with https://, in small letters"
    authority, path, rest = match.groups()
    if "@" in authority and not url.startswith("ssh://"):
        return "it must not hold a user or password: the operator keeps credentials"
    if rest:
        return "it must have no query (?) and no fragment (#)"
    if not path.strip("/"):
        return "it must have a path behind the host: https://host/path"
    if "//" in path:
        return "its path has an empty part (//)"
    if odd := _NOT_IN_PATHS.search(path):
        shown = quote(odd[0].encode("utf-8", "replace"), safe="")
        return f"a character in its path must be written as a percent escape: {shown}"
    return "its host is not one that is understood: it must be https://host/path"


def _port(match: re.Match[str], scheme: Scheme) -> int:
    text = match.groupdict().get("port")
    port = int(text) if text else DEFAULT_PORTS[scheme]
    if not 0 < port <= _MAX_PORT:
        _refuse_url("there is no such port")
    return port


def _refuse_url(message: str) -> NoReturn:
    raise ValidationError.at(URL_POINTER, message)


def _refuse_branch(message: str) -> NoReturn:
    raise ValidationError.at(BRANCH_POINTER, message)
