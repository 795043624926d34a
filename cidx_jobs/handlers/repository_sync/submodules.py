"""Submodules, where the operator lets them be fetched: their trees in place of their links.

Each URL is checked as the repository's own is. What is fetched comes into the same copy, and a
tree is made that holds the files of all; nothing is checked out, and nothing of a submodule's
configuration is believed but its path and URL.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from cidx_jobs.handlers.git.commands import LISTING_SECONDS, LOCAL_SECONDS, FetchBounds, Git
from cidx_jobs.handlers.git.errors import find_failure
from cidx_jobs.handlers.git.objects import LIST_TREE, read_tree
from cidx_jobs.handlers.git.project_copy import ProjectCopy
from cidx_jobs.handlers.git.shields import Access
from cidx_jobs.handlers.git.url_rules import Remote, RemoteRules
from cidx_jobs.handlers.process.children import ChildStream
from cidx_jobs.handlers.process.output import OnLine
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.model.error_codes import GUIDANCE
from cidx_jobs.model.errors import JobFailure, ValidationError
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.job.job import Category
from cidx_jobs.runtime.blocking import in_own_thread

T = TypeVar("T")

MODULE_REFS = "refs/cidx/modules"

_MAX_MODULES = 100
_MAX_NESTING = 4
"""Submodules name submodules, and whoever made them may have meant ill."""
_MAX_DESCRIPTION_BYTES = 1024 * 1024
"""The most that the configuration in a ``.gitmodules`` may take."""
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_LINK = "160000"
_DIRECTORY = b"040000"
_NAMED = 20
# What the whole run ends with: its time is up, or a bound of the server is reached, which all
# submodules share.
_OF_THE_RUN = {"TIMEOUT"} | {
    code for code, guidance in GUIDANCE.items() if guidance.category is Category.RESOURCE
}
# After these a host is not waited for again.
_OF_A_HOST = {"NET-001", "NET-002", "NET-004"}


class SubmoduleParts(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to fetch a submodule."""

    git: Git
    copy: ProjectCopy
    """What is fetched comes into its quarantine."""
    rules: RemoteRules
    reach: Callable[[Remote], Awaitable[Access]]
    """Finds the addresses of a remote, each checked."""
    bounds: FetchBounds
    """Of all fetches of the run together, the repository's own included."""
    max_files: int


class Submodules:
    """Fetches the submodules of one commit."""

    def __init__(self, parts: SubmoduleParts, context: JobContext, on_line: OnLine) -> None:
        """Take the parts; *context* is warned of what is left out, *on_line* gets progress."""
        self._parts = parts
        self._context = context
        self._on_line = on_line
        self._fetched: set[str] = set()
        self._too_many: list[str] = []
        self._dead: set[tuple[str, int]] = set()

    async def graft(self, commit: str, remote: Remote, nesting: int = 0) -> str:
        """Return a tree with the files of *commit* and of its submodules, theirs included.

        A submodule that cannot be had is left as a link, with a warning: a repository is not
        held up by what others keep, or keep no more.

        Raises:
            JobFailure: the time is up, or a bound of the server is reached.
        """
        tree = commit
        links = await self._list_links(commit)
        urls = await self._read_urls(commit) if links else {}
        for path, module in links.items():
            url = urls.get(path)
            if url is None:
                self._warn(path, "no .gitmodules describes it")
                continue
            if nesting >= _MAX_NESTING:
                self._warn(path, f"it is nested deeper than {_MAX_NESTING}")
                continue
            if len(self._fetched) >= _MAX_MODULES:
                self._too_many.append(path)
                continue
            inner = await self._bring(path, url, module, remote, nesting)
            if inner is not None:
                tree = await self._put(tree, path, inner)
        if nesting == 0:
            self._warn_of_too_many()
        return tree

    async def forget_others(self) -> None:
        """Let go of the submodules of earlier commits, so that packing up drops them."""
        listed = await self._talk(["for-each-ref", "--format=%(refname)", MODULE_REFS])
        for ref in listed.decode().split():
            if ref.rpartition("/")[2] not in self._fetched:
                await self._talk(["update-ref", "-d", ref])

    async def _bring(
        self, path: str, url: str, module: str, remote: Remote, nesting: int
    ) -> str | None:
        try:
            theirs = self._parts.rules.read(resolve_url(remote.url, url))
            await self._fetch(theirs, module)
            return await self.graft(module, theirs, nesting + 1)
        except ValidationError:
            self._warn(path, "its URL is not taken here")
        except JobFailure as failure:
            if failure.failure_code in _OF_THE_RUN:
                raise
            self._warn(path, failure.message)
        return None

    async def _fetch(self, remote: Remote, commit: str) -> None:
        parts = self._parts
        self._fetched.add(commit)
        ref = f"{MODULE_REFS}/{commit}"
        if await parts.git.find_commit(parts.copy.repository, ref) == commit:
            return
        access = await self._reach(remote)
        await parts.copy.fetch_module(access, commit, ref, parts.bounds, self._on_line)

    async def _reach(self, remote: Remote) -> Access:
        """Find the remote, and let it answer within seconds; one that did not is not asked again.

        Raises:
            JobFailure: it does not answer, or not as git does.
        """
        place = remote.host, remote.port
        if remote.host and place in self._dead:
            message = f"the host {remote.host} did not answer for another submodule"
            raise JobFailure(message, code="NET-002")
        try:
            access = await self._parts.reach(remote)
            await self._parts.git.greet(access)
        except JobFailure as failure:
            if failure.failure_code in _OF_A_HOST:
                self._dead.add(place)
            raise
        return access

    async def _list_links(self, commit: str) -> Mapping[str, str]:
        """Return path and commit of each submodule."""
        read = partial(_read_links, max_files=self._parts.max_files)
        return await self._stream([*LIST_TREE, commit], LISTING_SECONDS, read)

    async def _read_urls(self, commit: str) -> Mapping[str, str]:
        arguments = ["config", "--blob", f"{commit}:.gitmodules", "--null", "--list"]
        try:
            return parse_modules(await self._talk(arguments, most=_MAX_DESCRIPTION_BYTES))
        except JobFailure:
            # There is no such file, it is no configuration, or larger than any can be.
            return {}

    async def _put(self, root: str, path: str, module: str) -> str:
        """Return the tree *root* with a module's tree in the place of its link."""
        made = await self._talk(["rev-parse", f"{module}^{{tree}}"])
        # Names go through as the bytes that they are: many are no UTF-8, and no argument.
        levels: list[tuple[list[bytes], int]] = []
        tree = root
        for name in path.split("/"):
            lines = (await self._talk(["ls-tree", "-z", tree])).split(b"\0")[:-1]
            place = next((n for n, line in enumerate(lines) if _name_of(line) == name), None)
            if place is None:
                self._warn(path, "its path cannot be followed")
                return root
            levels.append((lines, place))
            tree = lines[place].partition(b"\t")[0].split()[2].decode()
        for lines, place in reversed(levels):
            name_bytes = lines[place].partition(b"\t")[2]
            lines[place] = b"%s tree %s\t%s" % (_DIRECTORY, made.strip(), name_bytes)
            data = b"".join(line + b"\0" for line in lines)
            made = await self._talk(["mktree", "-z", "--missing"], data)
        return made.decode().strip()

    async def _talk(
        self, arguments: Sequence[str], data: bytes = b"", *, most: int = _MAX_ANSWER_BYTES
    ) -> bytes:
        return await self._stream(arguments, LOCAL_SECONDS, partial(_ask, data=data, most=most))

    async def _stream(
        self, arguments: Sequence[str], seconds: float, talk: Callable[[ChildStream], T]
    ) -> T:
        """Return what *talk* makes of a git command that ends well; it runs in a thread."""
        repository = self._parts.copy.repository
        async with self._parts.git.stream(repository, arguments, seconds) as child:
            answer = await in_own_thread(talk, child)
            ended = await child.wait()
        if ended.returncode != 0:
            raise find_failure(ended, "the repository")
        return answer

    def _warn_of_too_many(self) -> None:
        if self._too_many:
            named = ", ".join(printable(path, 80) for path in self._too_many[:_NAMED])
            left = len(self._too_many) - _NAMED
            more = f" and {left} more" if left > 0 else ""
            message = f"this server takes {_MAX_MODULES} submodules; not indexed: {named}{more}"
            self._context.warn("SUBMODULE_LEFT_OUT", message)

    def _warn(self, path: str, why: str) -> None:
        message = f"submodule {printable(path, 80)} is not indexed: {why}"
        self._context.warn("SUBMODULE_LEFT_OUT", message)


def resolve_url(base: str, url: str) -> str:
    """Return the URL of a submodule; one that begins with ``./`` or ``../`` counts from *base*.

    As git does it: each ``../`` takes one part off the end of the base.
    """
    if not url.startswith(("./", "../")):
        return url
    place = base.removesuffix("/")
    while True:
        if url.startswith("./"):
            url = url.removeprefix("./")
        elif url.startswith("../"):
            url = url.removeprefix("../")
            place = place.rpartition("/")[0]
        else:
            return f"{place}/{url}"


def parse_modules(listed: bytes) -> Mapping[str, str]:
    """Return the URL for each path, from ``git config --null --list`` of a ``.gitmodules``."""
    found: dict[str, dict[str, str]] = {}
    for record in listed.decode("utf-8", "backslashreplace").split("\0"):
        key, _, value = record.partition("\n")
        section, _, rest = key.partition(".")
        name, _, member = rest.rpartition(".")
        if section == "submodule":
            found.setdefault(name, {})[member] = value
    return {
        module["path"]: module["url"]
        for module in found.values()
        if "path" in module and "url" in module
    }


def _name_of(line: bytes) -> str:
    return line.partition(b"\t")[2].decode("utf-8", "backslashreplace")


def _read_links(child: ChildStream, max_files: int) -> Mapping[str, str]:
    links: dict[str, str] = {}
    for entry in read_tree(child.output, max_files):
        if entry.mode == _LINK:
            links.setdefault(entry.path, entry.blob)
    return links


def _ask(child: ChildStream, data: bytes, most: int) -> bytes:
    with contextlib.suppress(BrokenPipeError):
        child.input.write(data)
    child.input.close()
    answer = child.output.read(most + 1)
    if len(answer) > most:
        message = f"a directory with submodules is listed in more than {most} bytes"
        raise JobFailure(message, code="RES-003")
    return answer
