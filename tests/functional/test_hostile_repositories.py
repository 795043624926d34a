"""Repositories that were made to hurt, synced with real git: the rows G of the hostile table."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

BOMB_LEVELS = 10
BOMB_WIDTH = 10
MEBIBYTE = 1024 * 1024


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with one harmless file."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.txt": "harmless\n"})
    return repository


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Give settings under which the repository may be synced, with those of the test."""
    return sync_settings(tmp_path, **getattr(request, "param", {}))


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system."""
    async with syncing(settings) as opened:
        yield opened


def trap(tmp_path: Path) -> tuple[Path, str]:
    """Give a file that must not come to be, and a command that makes it."""
    return tmp_path / "PWNED", f"touch {tmp_path / 'PWNED'}"


async def test_hooks_of_a_copy_do_not_run(
    tmp_path: Path, syncs: Syncs, repository: Repository
) -> None:
    """Whatever hooks lie in a copy or a remote, none runs (G01)."""
    victim, command = trap(tmp_path)
    await syncs.sync(repository.url)
    for directory in (repository.path / ".git", syncs.directory / "repo.git"):
        hooks = directory / "hooks"
        hooks.mkdir(exist_ok=True)
        for name in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
            (hooks / name).write_text(f"#!/bin/sh\n{command}\n")
            (hooks / name).chmod(0o755)
    repository.git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "x", "--allow-empty")

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED
    assert not victim.exists()


@pytest.mark.parametrize(
    "key",
    [
        "core.fsmonitor",
        "core.sshCommand",
        "core.askPass",
        "core.alternateRefsCommand",
        "credential.helper",
        "diff.external",
        "uploadpack.packObjectsHook",
        "core.pager",
        "gpg.program",
    ],
)
async def test_commands_in_a_configuration_do_not_run(
    tmp_path: Path, syncs: Syncs, repository: Repository, key: str
) -> None:
    """No program that a remote's or a copy's configuration names is run (G02)."""
    victim, command = trap(tmp_path)
    await syncs.sync(repository.url)
    repository.commit({"b.txt": "new\n"}, gone=["a.txt"])
    for directory in (repository.path / ".git", syncs.directory / "repo.git"):
        with (directory / "config").open("a") as file:
            section, name = key.split(".")
            file.write(f'[{section}]\n\t{name} = "{command}; false"\n')

    job = await syncs.sync()

    assert not victim.exists()
    assert job.status is JobStatus.COMPLETED, job.error


async def test_filters_and_drivers_of_attributes_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, repository: Repository
) -> None:
    """Attributes of a tree name drivers; the server account's definitions are not read (G06)."""
    victim, command = trap(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "x"]\n\tsmudge = {command}\n\tprocess = {command}\n'
        f'[diff "x"]\n\tcommand = {command}\n\ttextconv = {command}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", command)
    repository.commit({".gitattributes": "* filter=x diff=x\n"})

    async with syncing(settings) as syncs:
        await syncs.sync(repository.url)
        repository.commit({"c.txt": "harmless\n"}, gone=["a.txt"])
        job = await syncs.sync()

        assert job.status is JobStatus.COMPLETED
        assert not victim.exists()


async def test_a_bare_repository_in_the_tree_is_only_files(
    tmp_path: Path, syncs: Syncs, repository: Repository
) -> None:
    """A directory that looks like a repository is indexed as the files that it is (G03)."""
    victim, command = trap(tmp_path)
    config = f'[core]\n\tbare = true\n\tfsmonitor = "{command}"\n'
    repository.commit(
        {"sub.git/config": config, "sub.git/HEAD": "ref: refs/heads/x\n", "sub.git/refs/x": "y\n"}
    )

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED
    assert ("sub.git/config", 2, "\tbare = true") in await syncs.search("bare")
    assert not victim.exists()


async def test_a_symlink_leads_nowhere(
    tmp_path: Path, syncs: Syncs, repository: Repository
) -> None:
    """A link's target is never read, inside or outside (G04)."""
    (tmp_path / "secret").write_text("top secret words\n")
    (repository.path / "link").symlink_to(tmp_path / "secret")
    (repository.path / "dir").symlink_to(tmp_path)
    repository.commit()

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED
    assert await syncs.search("top secret") == []
    assert [warning.code for warning in job.warnings] == ["SKIPPED_SYMLINK"]


async def test_a_root_cannot_be_left_by_a_link(
    tmp_path: Path, syncs: Syncs, repository: Repository
) -> None:
    """A path below a root that leads out of it is refused when the run looks where it leads."""
    outside = Repository(tmp_path / "elsewhere")
    outside.commit({"x": "outside\n"})
    (repository.path.parent / "door").symlink_to(outside.path)

    job = await syncs.sync(str(repository.path.parent / "door"))

    assert job.error is not None
    assert job.error.code == "GIT-007"


async def test_a_submodule_is_not_fetched(syncs: Syncs, repository: Repository) -> None:
    """Submodules are named as skipped; what .gitmodules says of them is only text (G05)."""
    repository.write(
        {".gitmodules": '[submodule "s"]\n\tpath = ../x\n\turl = ../../other\n\tupdate = !id\n'}
    )
    repository.git("add", "--all")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor")
    repository.git("commit", "-qm", "module")

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert [(warning.code, warning.message) for warning in job.warnings] == [
        ("SKIPPED_SUBMODULE", "1 submodule is not indexed: vendor")
    ]


@pytest.mark.parametrize("settings", [{"max_files": 20_000}], indirect=True)
async def test_a_tree_bomb_is_refused(syncs: Syncs, repository: Repository) -> None:
    """A tree of 10,000,000,000 files in a dozen objects is refused by its count (G07).

    git lists such a tree for ever; after max_files entries nobody listens any more. The default
    of max_files is ten times as much: that takes a second more, and nothing else.
    """
    inner = repository.add_object("blob", b"x\n")
    mode = "100644"
    for _ in range(BOMB_LEVELS):
        inner = repository.make_tree((mode, inner, f"n{n}") for n in range(BOMB_WIDTH))
        mode = "040000"
    repository.commit_tree(inner)

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert (job.error.code, job.error.phase) == ("RES-003", "change_detection")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert (job.finished_at - job.started_at).total_seconds() < 5
    assert syncs.leftovers() == []


@pytest.mark.parametrize("settings", [{"max_files": 1_000}], indirect=True)
async def test_a_bomb_of_empty_directories_is_refused(
    syncs: Syncs, repository: Repository
) -> None:
    """Ten thousand million directories without one file are refused as so many files are.

    git goes through them for ever, and without a word unless it is asked to name them.
    """
    inner = repository.add_object("tree", b"")
    for _ in range(BOMB_LEVELS):
        inner = repository.make_tree(("040000", inner, f"n{n}") for n in range(BOMB_WIDTH))
    repository.commit_tree(inner)

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert (job.error.code, job.error.phase) == ("RES-003", "change_detection")
    assert syncs.leftovers() == []


async def test_a_path_without_an_end_is_refused(syncs: Syncs, repository: Repository) -> None:
    """Directories in each other, with long names, make paths that no system has."""
    inner = repository.make_tree([("100644", repository.add_object("blob", b"x\n"), "file")])
    for _ in range(20):
        inner = repository.make_tree([("040000", inner, "d" * 250)])
    repository.commit_tree(inner)

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert (job.error.code, job.error.phase) == ("RES-003", "change_detection")


async def test_a_blob_bomb_is_skipped(syncs: Syncs, repository: Repository) -> None:
    """A file of 64 MiB in a pack of 64 KiB is left out with a warning, never unpacked (G08).

    The row's 300 MB go the same way: from 16 MiB on git streams a file, and what is larger than
    max_file_bytes nobody asks it for.
    """
    repository.commit({"zeros": b"\0" * (64 * MEBIBYTE)})

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert [warning.code for warning in job.warnings] == ["SKIPPED_LARGE"]
    assert sum(f.stat().st_size for f in syncs.directory.rglob("*") if f.is_file()) < 2 * MEBIBYTE


@pytest.mark.parametrize("settings", [{"max_repository_bytes": MEBIBYTE}], indirect=True)
async def test_files_that_are_too_large_together_are_refused(
    syncs: Syncs, repository: Repository
) -> None:
    """The sum of all files is held against max_repository_bytes, however well they pack."""
    repository.commit({f"zeros{n}": bytes([n]) * 300_000 for n in range(4)})

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert (job.error.code, job.error.phase) == ("RES-004", "change_detection")


@pytest.mark.parametrize("settings", [{"max_repository_bytes": MEBIBYTE}], indirect=True)
async def test_a_pack_that_is_too_large_is_cut_off(syncs: Syncs, repository: Repository) -> None:
    """No file that git writes may be larger than max_repository_bytes."""
    repository.commit({"noise": os.urandom(3 * MEBIBYTE)})

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert (job.error.code, job.error.phase) == ("RES-004", "git_sync")
    assert syncs.leftovers() == []


async def test_hostile_file_names_are_escaped(syncs: Syncs, repository: Repository) -> None:
    """Control characters and direction marks reach no message, and names stay searchable (G12)."""
    name = "evil\x1b[2J\r\u202etxt.exe"
    repository.commit({name: "harmless too\n", f"{name}.bin": b"\0"})

    job = await syncs.sync(repository.url)

    said = [job.message, job.progress_detail.current_item, *(w.message for w in job.warnings)]
    said += [phase.message for phase in job.phases]
    assert all(text is None or text.isprintable() for text in said)
    assert "evil\\x1b[2J\\r\\u202etxt.exe.bin" in job.warnings[0].message
    assert (name, 1, "harmless too") in await syncs.search("harmless")


async def test_a_name_that_is_no_text_is_shown_escaped(
    syncs: Syncs, repository: Repository
) -> None:
    """A file whose name is no UTF-8 is found under an escaped name."""
    blob = repository.add_object("blob", b"odd name\n")
    line = f"100644 blob {blob}\tb".encode() + b"\xff\0"
    repository.commit_tree(repository.git("mktree", "-z", data=line))

    await syncs.sync(repository.url)

    assert await syncs.search("odd name") == [("b\\xff", 1, "odd name")]


async def test_a_name_that_is_anothers_escaped_form_is_no_trouble(
    syncs: Syncs, repository: Repository
) -> None:
    """Of two files whose names are shown alike the first is taken, whatever was synced before."""
    blobs = [repository.add_object("blob", text) for text in (b"escape\n", b"no text\n")]
    names = (b"b\\xff", b"b\xff")
    lines = [
        f"100644 blob {blob}\t".encode() + name + b"\0"
        for blob, name in zip(blobs, names, strict=True)
    ]
    repository.commit_tree(repository.git("mktree", "-z", data=lines[0]))
    await syncs.sync(repository.url)
    repository.commit_tree(repository.git("mktree", "-z", data=b"".join(lines)))

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("escape") == [("b\\xff", 1, "escape")]


async def test_the_same_name_twice_is_no_trouble(syncs: Syncs, repository: Repository) -> None:
    """A tree that names a file twice, which git itself would not write, is taken."""
    blobs = [repository.add_object("blob", text) for text in (b"first\n", b"second\n")]
    tree = b"".join(b"100644 same\0" + bytes.fromhex(blob) for blob in blobs)
    name = repository.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", data=tree)
    repository.commit_tree(name)

    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("first") == [("same", 1, "first")]
