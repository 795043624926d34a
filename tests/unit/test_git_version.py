"""Which git is found, with programs in the place of git that say what many a git says."""

import os
from pathlib import Path

import pytest

from cidx_jobs.handlers.git.version import InstalledGit
from cidx_jobs.handlers.process.children import Children
from tests.sync_kit import install_git


@pytest.fixture
def git() -> InstalledGit:
    """Return what asks git for its version."""
    return InstalledGit(Children("test:1"))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that programs are looked for in first."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "is_fit"),
    [
        ("git version 2.38.0", True),
        ("git version 2.39.5 (Apple Git-154)", True),
        ("git version 2.45.1.windows.1", True),
        ("git version 2.100.0-rc1", True),
        ("git version 3.0", True),
        ("git version 2.37.7", False),
        ("git version 2.4.11", False),
        ("git version 1.99.0", False),
        ("git version v2.39", False),
        ("jit version 2.39.5", False),
        ("", False),
    ],
)
async def test_a_git_before_2_38_is_too_old(
    git: InstalledGit, directory: Path, said: str, *, is_fit: bool
) -> None:
    """One that does not say its version is taken for an old one."""
    install_git(directory, said)

    fault = await git.find_fault()

    assert (fault is None) is is_fit
    if fault is not None:
        assert fault.code == "git_too_old"
        assert said in fault.message


async def test_git_is_asked_once(git: InstalledGit, directory: Path) -> None:
    """What it said is kept."""
    asked = install_git(directory, "git version 2.34.1")

    first = await git.find_fault()
    second = await git.find_fault()

    assert first == second
    assert asked.read_text() == "\n"


async def test_a_missing_git_is_looked_for_again(
    git: InstalledGit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is there and runs nothing is missing any more."""
    found = install_git(tmp_path, "git version 2.39.5").parent / "git"
    found.chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = await git.find_fault()
    found.write_text("#!/bin/sh\nexit 1\n")
    found.chmod(0o755)
    broken = await git.find_fault()
    found.write_text("#!/bin/sh\necho git version 2.39.5\n")
    mended = await git.find_fault()

    assert missing is not None
    assert missing.code == "git_missing"
    assert broken == missing
    assert mended is None
