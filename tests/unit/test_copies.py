"""When the copy of a repository is made anew, and when what went wrong is not its fault."""

from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from cidx_jobs.handlers.git.commands import FetchBounds, Git, RemoteHead
from cidx_jobs.handlers.git.project_copy import ProjectCopy, _source
from cidx_jobs.handlers.git.shields import Access
from cidx_jobs.handlers.git.url_rules import Remote, Scheme
from cidx_jobs.model.errors import JobFailure

ACCESS = Access(remote=Remote(scheme=Scheme.LOCAL, url="/r"), source="/r")
HEAD = RemoteHead(commit="a" * 40, ref="refs/heads/main", default_branch="main")
BOUNDS = FetchBounds(depth=1, max_bytes=1, timeout=1.0)


@attrs.define
class FailingGit:
    """A git whose every fetch fails with one code."""

    code: str
    made: list[Path] = attrs.field(factory=list)

    async def find_commit(self, *_: Any) -> None:
        """Find none."""

    async def init(self, repository: Path, _: str) -> None:
        """Note that a new copy was begun."""
        self.made.append(repository)

    async def fetch(self, *_: Any) -> None:
        """Fail."""
        message = "planted"
        raise JobFailure(message, code=self.code)


@pytest.mark.parametrize(
    ("code", "is_made_anew"),
    [
        ("GIT-003", True),
        ("GIT-005", True),
        ("GIT-006", True),
        ("AUTH-002", False),
        ("NET-004", False),
        ("RES-001", False),
        ("RES-004", False),
    ],
)
async def test_only_what_may_be_the_copys_own_fault_makes_it_anew(
    tmp_path: Path, code: str, is_made_anew: bool
) -> None:
    """Else a remote that is away would be asked for everything; the failure is told either way."""
    git = FailingGit(code)
    copy = ProjectCopy(tmp_path, cast("Git", git), "one")
    copy.repository.mkdir()
    (copy.repository / "cidx-source.json").write_text(_source(ACCESS, HEAD), "utf-8")

    with pytest.raises(JobFailure, match="planted"):
        await copy.fetch(ACCESS, HEAD, BOUNDS, lambda _: None)

    assert len(git.made) == is_made_anew
