"""Which git this machine has, and whether it knows the shields that the web needs."""

import asyncio
import re

from cidx_jobs.handlers.process.children import Children
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.model.foreign import printable

MISSING = "git_missing"
TOO_OLD = "git_too_old"

# 2.37 brought http.curloptResolve, which pins a host to the addresses that were checked, and 2.38
# safe.bareRepository. An older git passes over both without a word.
_OLDEST = (2, 38)
_SECONDS = 10.0


class InstalledGit:
    """Finds out which git is installed."""

    def __init__(self, children: Children) -> None:
        """Take who starts processes; nothing is asked yet."""
        self._children = children
        self._asking = asyncio.Lock()
        self._version: str | None = None

    async def find_fault(self) -> ServerWarning | None:
        """Return why syncs fail with this git, or some of them; None when it will do.

        A git that was found is asked once, and one that is missing is looked for again.
        """
        async with self._asking:
            if self._version is None:
                self._version = await self._ask()
        return _judge(self._version)

    async def _ask(self) -> str | None:
        try:
            result = await self._children.execute(["git", "version"], timeout=_SECONDS)
        except JobFailure:
            return None
        return result.stdout.strip() if result.returncode == 0 else None


def _judge(version: str | None) -> ServerWarning | None:
    if version is None:
        message = "there is no git that runs: no repository can be synced"
        return ServerWarning(code=MISSING, message=message)
    number = re.match(r"git version (\d+)\.(\d+)", version)
    if number is not None and (int(number[1]), int(number[2])) >= _OLDEST:
        return None
    oldest = ".".join(map(str, _OLDEST))
    message = (
        f"{printable(version)} is installed: before {oldest} it cannot be kept to the addresses "
        "that were checked, so nothing is synced over http and https"
    )
    return ServerWarning(code=TOO_OLD, message=message)
