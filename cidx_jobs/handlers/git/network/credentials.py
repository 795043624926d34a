"""The operator's credentials for the web: which of them is for a repository.

The file has the form of ``git credential-store``: a line ``https://USER:PASSWORD@HOST[:PORT]`` for
all of a host, or with a path for what lies at it and below. The longest path wins; of equal ones
the first. (git's own store knows either whole hosts or whole paths.)
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from cidx_jobs.handlers.git.shields import Credential
from cidx_jobs.handlers.git.url_rules import DEFAULT_PORTS, WEB, Remote, Scheme

_SUFFIX = ".git"


class _Line(msgspec.Struct, frozen=True):
    """What one line of the file says."""

    scheme: str
    host: str
    port: int
    path: str
    credential: Credential

    def fits(self, remote: Remote) -> bool:
        place = self.scheme, self.host, self.port
        if place != (str(remote.scheme), remote.host, remote.port):
            return False
        path = _plain_path(urlsplit(remote.url).path)
        return not self.path or path == self.path or path.startswith(f"{self.path}/")


def find_credential(file: Path, remote: Remote) -> Credential | None:
    """Return the credential of the file that is for the remote, if one is; it blocks.

    Raises:
        OSError: the file cannot be read.
    """
    if remote.scheme not in WEB:
        return None
    fitting = [line for line in _read_lines(file) if line.fits(remote)]
    return max(fitting, key=lambda line: len(line.path)).credential if fitting else None


def _read_lines(file: Path) -> Iterator[_Line]:
    for text in file.read_text("utf-8", "replace").splitlines():
        line = _read_line(text.strip())
        if line is not None:
            yield line


def _read_line(text: str) -> _Line | None:
    """Return what a line says; None for one that is no credential, as a comment."""
    try:
        parts = urlsplit(text)
        scheme = Scheme(parts.scheme)
        port = parts.port or DEFAULT_PORTS[scheme]
    except ValueError:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    # What breaks a line would end the answer to git, and begin another.
    is_plain = not any(mark in f"{user}{password}" for mark in "\r\n\0")
    if scheme not in WEB or not parts.hostname or not is_plain or not (user or password):
        return None
    path = _plain_path(parts.path)
    return _Line(str(scheme), parts.hostname, port, path, Credential(user, password))


def _plain_path(path: str) -> str:
    return unquote(path).strip("/").removesuffix(_SUFFIX)
