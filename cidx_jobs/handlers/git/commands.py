"""Running git: every call behind all its shields (`shields`).

Nothing from outside becomes an option, a command, a configuration or a path of this server.
Repositories are bare and never checked out: what they hold is read object by object.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from cidx_jobs.handlers.git.errors import (
    HOST_KEY_SETTING,
    NOT_GIT,
    asks_proxy,
    find_failure,
    is_answer,
    is_of_git,
    is_traced,
)
from cidx_jobs.handlers.git.shields import (
    NOWHERE,
    Access,
    configure,
    make_environment,
    name_upload_pack,
)
from cidx_jobs.handlers.git.url_rules import HEAD, Remote, Scheme, is_branch
from cidx_jobs.handlers.git.version import MISSING, TOO_OLD, InstalledGit
from cidx_jobs.handlers.process.children import Bounds, Children, ChildStream
from cidx_jobs.handlers.process.output import OnLine
from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.errors import HostDownError, JobFailure
from cidx_jobs.model.foreign import printable

MEMORY_BYTES = 512 * 1024 * 1024
"""What each git may take, where nobody says otherwise."""
LOCAL_SECONDS = 120.0
"""The longest that a command may take which asks no remote."""
LISTING_SECONDS = 600.0
"""The longest that a tree may be listed."""
RENAME_SECONDS = 10.0
"""The longest that is looked for renames."""
LOW_SPEED_SECONDS = 60.0
"""How long a remote may send nearly nothing."""
_UNFIT = {MISSING: "CFG-001", TOO_OLD: "CFG-004"}
_ASK_SECONDS = 120.0
"""How long a command may take that asks a remote and fetches nothing."""
ANSWER_SECONDS = 15.0
"""How long a host may take to answer the first request of a command."""
# What a failure with one of these codes says of the host: that nobody is there.
_SILENCE = {"NET-001", "NET-002", "NET-004"}
_OF_A_HOST = ("AUTH-", "GIT-", "NET-")
_FOR_WANT_OF_RIGHTS = {"AUTH-001", "AUTH-002"}
_NOT_SAID_BY_IT = {*_SILENCE, "NET-005", "GIT-006"}
_BRANCHES = "refs/heads/"
_SYMBOLIC = f"ref: {_BRANCHES}"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHOWN_NAMES = 5
"""So many branches are named in the error for one that is not there."""
_SHOWN_CHARACTERS = 80
# Each of so many files is compared with each: half a million pairs.
_MAX_RENAMES = 700


class RemoteHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a remote offers: the branch to follow, its newest commit, and the default branch."""

    commit: str
    """In hex: 40 digits, or 64 of a SHA-256 repository."""
    ref: str
    """What to fetch."""
    default_branch: str | None
    """None where the remote's HEAD names no branch that may be told of."""


class FetchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a fetch may bring and how long it may take."""

    depth: int
    """Commits of history; 0 is all."""
    max_bytes: int
    timeout: float
    """In seconds."""


class Git:
    """Runs git commands."""

    def __init__(
        self,
        children: Children,
        installed: InstalledGit,
        *,
        low_speed_seconds: float = LOW_SPEED_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Take who starts processes, and how to meet remotes.

        Args:
            children: starts and ends the processes.
            installed: knows whether the git may be sent to the web.
            low_speed_seconds: a remote that sends nearly nothing for so long has failed.
            memory_bytes: the most address space that each process of git may take.
            answer_seconds: how long a host may take to answer the first request of a command.
        """
        self._children = children
        self._installed = installed
        self._low_speed_seconds = low_speed_seconds
        self._memory_bytes = memory_bytes
        self._answer_seconds = answer_seconds

    async def ask_remote(self, access: Access, branch: str | None) -> RemoteHead:
        """Find out the newest commit of *branch*, or of the default branch for None.

        Raises:
            JobFailure: the remote cannot be read, is empty (GIT-004), or has no such branch
                (GIT-002); `HostDownError` where its host does not answer.
        """
        refs = _Refs(branch)
        await self._list_remote(access, ["--symref"], refs.wanted, refs.take)
        head = refs.head()
        if head is None:
            await self._explain(access, branch)
        return head

    async def _explain(self, access: Access, branch: str | None) -> NoReturn:
        """Raise what it means that a remote answers and does not have what is wanted."""
        # A path of this machine is shown to nobody: the message would begin with a gap.
        url = access.remote.url if access.remote.host else "the repository"
        refs = _Refs(None)
        ended = await self._list_remote(access, [], [], refs.take)
        if refs.count == 0 and access.is_web and not is_of_git(ended.stderr):
            message = f"{url} answers, but not as git does: there is no repository"
            raise JobFailure(message, code=NOT_GIT)
        if refs.count == 0:
            message = f"{url} is empty: it has no commit yet"
            raise JobFailure(message, code="GIT-004")
        if refs.branches == 0:
            message = f"{url} has no branch, only tags or other refs"
        else:
            names = ", ".join(printable(name, _SHOWN_CHARACTERS) for name in refs.first_branches)
            left = refs.branches - len(refs.first_branches)
            lacking = "default branch that exists" if branch is None else f"branch {branch}"
            message = f"{url} has no {lacking}; it has {names}" + (
                f" and {left} more" if left else ""
            )
        raise JobFailure(message, code="GIT-002")

    async def init(self, repository: Path, object_format: str) -> None:
        """Make an empty bare repository."""
        arguments = ["init", "--quiet", "--bare", "--template=", "--initial-branch=cidx"]
        arguments += [f"--object-format={object_format}", "--", str(repository)]
        await self._run(arguments, git_dir=repository)

    async def fetch(
        self,
        access: Access,
        repository: Path,
        refspec: str,
        bounds: FetchBounds,
        on_line: OnLine,
    ) -> None:
        """Bring what *refspec* names into *repository*; *on_line* gets git's progress.

        Raises:
            JobFailure: with the code of what went wrong; `HostDownError` where its host does not
                answer.
        """
        arguments = ["fetch", "--progress", "--no-tags", "--no-write-fetch-head"]
        arguments += ["--no-auto-maintenance", "--no-recurse-submodules", "--update-shallow"]
        arguments += await self._depth(repository, bounds.depth)
        arguments += [*name_upload_pack(access), "--", access.source, refspec]
        await self._run(
            arguments,
            git_dir=repository,
            access=access,
            timeout=bounds.timeout,
            on_error_line=on_line,
            file_bytes=bounds.max_bytes,
        )

    async def find_commit(self, repository: Path, ref: str) -> str | None:
        """Return the commit that *ref* names; None where there is none or it cannot be read."""
        try:
            result = await self._run(
                ["rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}"],
                git_dir=repository,
            )
        except JobFailure:
            return None
        return result.stdout.strip()

    async def point(self, repository: Path, ref: str, commit: str) -> None:
        """Let *ref* name *commit*."""
        await self._run(["update-ref", "--", ref, commit], git_dir=repository)

    async def forget(self, repository: Path, ref: str) -> None:
        """Let *ref* name nothing, if it is there at all."""
        await self._run(["update-ref", "-d", "--", ref], git_dir=repository)

    async def pack_up(self, repository: Path, bounds: FetchBounds) -> None:
        """Put all packs together and drop what no ref reaches, within the time and the bytes."""
        await self._run(
            ["gc", "--quiet", "--prune=now"],
            git_dir=repository,
            timeout=bounds.timeout,
            file_bytes=bounds.max_bytes,
        )

    async def count_renames(self, repository: Path, old: str, new: str) -> int:
        """Count files that were moved with their content changed a little or not at all.

        Raises:
            JobFailure: it took longer than `RENAME_SECONDS`, or more memory than there is.
        """
        found = 0

        def count(line: str) -> None:
            nonlocal found
            found += line.startswith("R")

        arguments = ["diff-tree", "-r", "--name-status", "-M", f"-l{_MAX_RENAMES}"]
        arguments += ["--no-ext-diff"]
        arguments += ["--no-textconv", "--diff-filter=R", "--end-of-options", old, new]
        await self._run(arguments, git_dir=repository, timeout=RENAME_SECONDS, on_line=count)
        return found

    @contextlib.asynccontextmanager
    async def stream(
        self, repository: Path, arguments: Sequence[str], seconds: float | None
    ) -> AsyncIterator[ChildStream]:
        """Run a command that another thread feeds and reads (`Children.stream`).

        It takes at most *seconds*; None is for what is bounded by what it is asked.
        """
        async with self._children.stream(
            self._argv(arguments, repository, None),
            timeout=seconds,
            cwd=Path("/"),
            env=make_environment(None, self._memory_bytes),
            bounds=Bounds(memory_bytes=self._memory_bytes),
        ) as child:
            yield child

    async def greet(self, access: Access) -> None:
        """Ask a remote for anything, to learn soon whether it answers.

        Raises:
            JobFailure: it does not, or not as git does.
        """
        refs = _Refs(None)
        await self._list_remote(access, [], [HEAD], refs.take, seconds=self._answer_seconds)

    async def _list_remote(
        self,
        access: Access,
        options: Sequence[str],
        patterns: Sequence[str],
        on_line: OnLine,
        *,
        seconds: float = _ASK_SECONDS,
    ) -> ChildResult:
        arguments = ["ls-remote", *options, *name_upload_pack(access), "--"]
        arguments += [access.source, *patterns]
        # Without an explicit git directory git would look for one around it, and believe it.
        return await self._run(
            arguments,
            git_dir=Path(NOWHERE),
            access=access,
            timeout=seconds,
            on_line=on_line,
        )

    async def _depth(self, repository: Path, depth: int) -> list[str]:
        if depth:
            return [f"--depth={depth}"]
        result = await self._run(["rev-parse", "--is-shallow-repository"], git_dir=repository)
        return ["--unshallow"] if result.stdout.strip() == "true" else []

    async def _run(
        self,
        arguments: Sequence[str],
        *,
        git_dir: Path,
        access: Access | None = None,
        timeout: float = LOCAL_SECONDS,  # noqa: ASYNC109 - the child is killed at its end
        on_line: OnLine | None = None,
        on_error_line: OnLine | None = None,
        file_bytes: int | None = None,
    ) -> ChildResult:
        if access is not None and access.is_web:
            await self._check_shields()
        url = access.remote.url if access else "the repository"
        hearing = _Hearing(access, self._answer_seconds, on_line, on_error_line)
        async with hearing.listening():
            try:
                result = await self._children.execute(
                    self._argv(arguments, git_dir, access),
                    timeout=timeout,
                    cwd=Path("/"),
                    env=make_environment(access, self._memory_bytes),
                    on_line=hearing.on_line if on_line else None,
                    on_error_line=hearing.on_error_line if access or on_error_line else None,
                    bounds=Bounds(file_bytes=file_bytes, memory_bytes=self._memory_bytes),
                )
            except JobFailure as failure:
                if failure.failure_code != "TIMEOUT" or access is None:
                    raise
                message = f"{url} did not answer within {timeout:g} seconds"
                raise JobFailure(message, code="NET-004") from failure
            if result.returncode != 0:
                raise _tell_rights(find_failure(result, url), access)
        return result

    async def _check_shields(self) -> None:
        fault = await self._installed.find_fault()
        if fault is not None:
            raise JobFailure(fault.message, code=_UNFIT[fault.code])

    def _argv(
        self, arguments: Sequence[str], git_dir: Path, access: Access | None
    ) -> Sequence[str]:
        configured = configure(access, self._low_speed_seconds)
        flags = [part for option in configured for part in ("-c", option)]
        return ["git", *flags, f"--git-dir={git_dir}", *arguments]


def _tell_rights(failure: JobFailure, access: Access | None) -> JobFailure:
    """Return a failure for want of rights with what rights this server has, and where they are."""
    code = failure.failure_code
    if access is None or code not in _FOR_WANT_OF_RIGHTS or HOST_KEY_SETTING in failure.message:
        return failure
    if access.remote.scheme is Scheme.SSH and access.ssh_key is not None:
        hint = "the host refused this server's key, which the operator gives it in git_ssh_key"
    elif access.remote.scheme is Scheme.SSH:
        hint = "this server was given no key for ssh, which the operator names in git_ssh_key"
    elif access.credential is not None:
        hint = (
            "the host refused this server's credential for it, of the operator's git_credentials"
        )
    else:
        hint = "this server has no credential for it; the operator puts one into git_credentials"
    return JobFailure(f"{failure.message}: {hint}", code=code)


class _Hearing:
    """Whether the host answers a command of git: heard in the lines that git writes."""

    def __init__(
        self,
        access: Access | None,
        seconds: float,
        on_line: OnLine | None,
        on_error_line: OnLine | None,
    ) -> None:
        """Take whom to hear and how long at the most, and who gets the lines."""
        self._remote = access.remote if access is not None else None
        self._tell = access.on_answer if access is not None else None
        self._seconds = seconds
        self._hand_on = on_line
        self._hand_error_on = on_error_line
        self._began = time.monotonic()
        self._patience: asyncio.Timeout | None = None
        self._has_answered = False
        self._is_proxys = False
        """True where the next answer is that of a proxy, which was asked for the host."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while git runs, if somebody wants to know of the host.

        Raises:
            HostDownError: the host did not answer in time, or could not be spoken to.
        """
        if self._tell is None or self._remote is None:
            yield
            return
        try:
            async with asyncio.timeout(self._seconds) as self._patience:
                yield
        except TimeoutError as error:
            message = f"{self._remote.url} did not answer within {self._seconds:g} seconds"
            raise self._make_error(self._remote, message, "NET-002") from error
        except JobFailure as failure:
            code = failure.failure_code
            if code in _SILENCE and not self._has_answered:
                raise self._make_error(self._remote, failure.message, code) from failure
            # What is over cannot be put off.
            self._patience = None
            if code.startswith(_OF_A_HOST) and code not in _NOT_SAID_BY_IT:
                self._note_answer()
            raise

    def on_line(self, line: str) -> None:
        """Take a line of stdout: there are none before an answer."""
        self._note_answer()
        if self._hand_on is not None:
            self._hand_on(line)

    def on_error_line(self, line: str) -> None:
        """Take a line of stderr."""
        if asks_proxy(line):
            self._is_proxys = True
        elif is_answer(line):
            if not self._is_proxys:
                self._note_answer()
            self._is_proxys = False
        if self._hand_error_on is not None and not is_traced(line):
            self._hand_error_on(line)

    def _note_answer(self) -> None:
        if self._has_answered or self._tell is None:
            return
        self._has_answered = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(None)
        self._tell()

    def _make_error(self, remote: Remote, message: str, code: str) -> HostDownError:
        silent = time.monotonic() - self._began
        return HostDownError(remote.host_name, message, code=code, silent_seconds=silent)


class _Refs:
    """What a remote lists, taken line by line and counted: there may be millions."""

    def __init__(self, branch: str | None) -> None:
        """Look for a branch, or for HEAD."""
        self._ref = f"{_BRANCHES}{branch}" if branch else HEAD
        self._commit: str | None = None
        self._default_branch: str | None = None
        self.count = 0
        self.branches = 0
        self.first_branches: list[str] = []

    @property
    def wanted(self) -> Sequence[str]:
        """The patterns to ask for; git also lists whatever ends in one of them."""
        return list(dict.fromkeys((HEAD, self._ref)))

    def take(self, line: str) -> None:
        """Take a line of ``git ls-remote --symref``."""
        value, _, name = line.partition("\t")
        if value.startswith(_SYMBOLIC):
            named = value.removeprefix(_SYMBOLIC)
            if name == HEAD and is_branch(named):
                self._default_branch = named
        elif _COMMIT.fullmatch(value):
            self._count(name)
            if name == self._ref:
                self._commit = value

    def head(self) -> RemoteHead | None:
        """Return what was looked for, if it was listed."""
        if self._commit is None:
            return None
        return RemoteHead(commit=self._commit, ref=self._ref, default_branch=self._default_branch)

    def _count(self, name: str) -> None:
        self.count += 1
        if name.startswith(_BRANCHES):
            self.branches += 1
            if len(self.first_branches) < _SHOWN_NAMES:
                self.first_branches.append(name.removeprefix(_BRANCHES))
