"""`GitRemotes`: asks a project's remote for the commit of its branch, and nothing else."""

import time
from collections.abc import Callable, Sequence

import attrs
from typing_extensions import override

from cidx_jobs.handlers.git.commands import Git
from cidx_jobs.handlers.git.network.approach import Approach
from cidx_jobs.handlers.git.network.host_addresses import HostLookup, Resolve
from cidx_jobs.handlers.git.url_rules import RemoteRules, Scheme
from cidx_jobs.handlers.git.version import InstalledGit
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.interfaces.remotes import Remotes
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import Settings

LOOKUP_SECONDS = 60.0
"""For how long polls take a host to be where it was: a look-up costs as much as a poll."""


class GitRemotes(Remotes):
    """Asks by ``git ls-remote``."""

    def __init__(
        self,
        settings: Settings,
        children: Children,
        installed_git: InstalledGit,
        *,
        resolve: Resolve | None = None,
    ) -> None:
        """Take what is allowed, who starts processes, and which git there is.

        Args:
            settings: what is allowed, and how hosts are reached.
            children: starts git.
            installed_git: knows which git there is.
            resolve: gives the addresses of a host name; the system's resolver if None.
        """
        self._rules = RemoteRules.of(settings)
        self._git = Git(children, installed_git, memory_bytes=settings.git_memory_bytes)
        self._approach = Approach(settings, _Remembered(resolve or HostLookup(children)))

    @override
    def find_host(self, project: Project) -> str | None:
        remote = self._rules.read(project.repository_url or "")
        return remote.host_name if remote.host else None

    @override
    async def ask_commit(self, project: Project, on_answer: Callable[[], None]) -> str:
        remote = self._rules.read(project.repository_url or "")
        access = await self._approach.find(remote)
        if remote.scheme is not Scheme.LOCAL:
            access = attrs.evolve(access, on_answer=on_answer)
        return (await self._git.ask_remote(access, project.branch)).commit


class _Remembered:
    """Looks names up (`Resolve`), and keeps what it found for a minute."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._found: dict[tuple[str, int], tuple[float, Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        now = time.monotonic()
        self._found = {key: each for key, each in self._found.items() if each[0] > now}
        known = self._found.get((host, port))
        if known is None:
            known = self._found[host, port] = (
                now + LOOKUP_SECONDS,
                await self._resolve(host, port),
            )
        return known[1]
