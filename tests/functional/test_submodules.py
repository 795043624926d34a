"""Submodules, fetched where the operator lets them be, with real git."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidx_jobs.handlers.git.commands import Git
from cidx_jobs.handlers.git.shields import Access
from cidx_jobs.handlers.repository_sync import submodules
from cidx_jobs.handlers.repository_sync.submodules import parse_modules, resolve_url
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

URL = "https://host.example/group/code.git"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings under which submodules are fetched."""
    return sync_settings(tmp_path, git_submodules=True)


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system."""
    async with syncing(settings) as opened:
        yield opened


def make(tmp_path: Path, name: str, text: str) -> Repository:
    """Give a repository with one file that may be synced."""
    repository = Repository(tmp_path / "remotes" / name)
    repository.commit({f"{name}.txt": text})
    return repository


def link(outer: Repository, path: str, url: str, commit: str) -> None:
    """Commit a submodule."""
    with (outer.path / ".gitmodules").open("a") as file:
        file.write(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    outer.git("add", ".gitmodules")
    outer.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    outer.git("commit", "-qm", "link")


@pytest.mark.slow
async def test_the_files_of_submodules_are_found(syncs: Syncs, tmp_path: Path) -> None:
    """Files of submodules, and of theirs, are indexed below their paths."""
    inner = make(tmp_path, "inner", "words of the inner one\n")
    middle = make(tmp_path, "middle", "words of the middle one\n")
    link(middle, "deep", "../inner", inner.git("rev-parse", "HEAD"))
    outer = make(tmp_path, "outer", "words of the outer one\n")
    link(outer, "vendor/lib", str(middle.path), middle.git("rev-parse", "HEAD"))

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert job.warnings == ()
    assert await syncs.search("words of") == [
        ("outer.txt", 1, "words of the outer one"),
        ("vendor/lib/deep/inner.txt", 1, "words of the inner one"),
        ("vendor/lib/middle.txt", 1, "words of the middle one"),
    ]


@pytest.mark.slow
async def test_a_description_of_any_length_is_not_read(syncs: Syncs, tmp_path: Path) -> None:
    """What .gitmodules says is read up to a mebibyte; beyond it there is no description."""
    inner = make(tmp_path, "inner", "words\n")
    outer = make(tmp_path, "outer", "outer\n")
    with (outer.path / ".gitmodules").open("w") as file:
        file.write("".join(f"[long]\n\tvalue = {'x' * 900}\n" for _ in range(2_000)))
    link(outer, "lib", "../inner", inner.git("rev-parse", "HEAD"))

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("words") == []
    assert "SUBMODULE_LEFT_OUT" in [warning.code for warning in job.warnings]


@pytest.mark.slow
async def test_a_moved_submodule_is_followed(syncs: Syncs, tmp_path: Path) -> None:
    """When the outer repository names another commit, that one is indexed, and only that kept."""
    library = make(tmp_path, "library", "old words\n")
    outer = make(tmp_path, "outer", "outer\n")
    link(outer, "lib", "../library", library.git("rev-parse", "HEAD"))
    await syncs.sync(outer.url)
    commit = library.commit({"library.txt": "new words\n"})
    outer.git("update-index", "--cacheinfo", f"160000,{commit},lib")
    outer.git("commit", "-qm", "move")

    job = await syncs.sync()

    assert job.result is not None
    assert job.result["files_modified"] == 1
    assert await syncs.search("words") == [("lib/library.txt", 1, "new words")]
    copy = f"--git-dir={syncs.directory / 'repo.git'}"
    refs = outer.git(copy, "for-each-ref", "--format=%(refname)", "refs/cidx/modules")
    assert refs == f"refs/cidx/modules/{commit}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch PWNED",
        "ext::sh -c touch% PWNED",
        "file:///etc",
        "../../../../etc",
        "https://127.0.0.1/x",
        "../missing",
        "-x",
    ],
)
async def test_a_submodule_that_cannot_be_had_is_left_out(
    syncs: Syncs, tmp_path: Path, url: str
) -> None:
    """Its URL is checked like any other; the rest is indexed, and a warning says why."""
    outer = make(tmp_path, "outer", "outer words\n")
    link(outer, "lib", url, "1" * 40)

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert {warning.code for warning in job.warnings} == {
        "SUBMODULE_LEFT_OUT",
        "SKIPPED_SUBMODULE",
    }
    assert ("outer.txt", 1, "outer words") in await syncs.search("outer words")
    assert not (await asyncio.to_thread(lambda: [*tmp_path.rglob("PWNED")]))


@pytest.mark.slow
async def test_a_link_to_what_is_no_commit_is_left_out(syncs: Syncs, tmp_path: Path) -> None:
    """Git itself never links a file; who writes such a link loses that submodule alone."""
    library = make(tmp_path, "library", "library words\n")
    outer = make(tmp_path, "outer", "outer words\n")
    link(outer, "lib", "../library", library.git("rev-parse", "HEAD:library.txt"))

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert "SUBMODULE_LEFT_OUT" in {warning.code for warning in job.warnings}
    assert ("outer.txt", 1, "outer words") in await syncs.search("outer words")


@pytest.mark.slow
async def test_a_link_without_a_description_is_left_out(syncs: Syncs, tmp_path: Path) -> None:
    """A link that no .gitmodules explains is named in a warning."""
    outer = make(tmp_path, "outer", "outer words\n")
    outer.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    outer.git("commit", "-qm", "link")

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert "SUBMODULE_LEFT_OUT" in {warning.code for warning in job.warnings}


@pytest.mark.slow
async def test_a_repository_that_holds_itself_comes_to_an_end(
    syncs: Syncs, tmp_path: Path
) -> None:
    """Nesting is bounded."""
    outer = make(tmp_path, "outer", "outer words\n")
    for _ in range(6):
        link(outer, "self", "../outer", outer.git("rev-parse", "HEAD"))

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert len(await syncs.search("outer words")) == 5


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("https://other.example/x", "https://other.example/x"),
        ("../lib.git", "https://host.example/group/lib.git"),
        ("./lib.git", "https://host.example/group/code.git/lib.git"),
        ("../../other/lib", "https://host.example/other/lib"),
        ("../../../../x", "https:/x"),
    ],
)
def test_a_relative_url_counts_from_the_repository(url: str, resolved: str) -> None:
    """As git does it: each ../ takes one part off."""
    assert resolve_url(URL, url) == resolved


def test_only_path_and_url_of_a_module_count() -> None:
    """What is no whole module is left out, and nothing else of it is read."""
    listed = (
        b"core.fsmonitor\ntouch x\0submodule.a.path\nlib/a\0submodule.a.url\n../a\0"
        b"submodule.a.update\n!id\0submodule.x.y.path\np\0submodule.x.y.url\nu=\nv\0"
        b"submodule.half.path\nhalf\0"
    )

    assert parse_modules(listed) == {"lib/a": "../a", "p": "u=\nv"}


@pytest.mark.slow
async def test_a_submodule_below_a_name_that_is_no_utf8_is_had(
    syncs: Syncs, tmp_path: Path
) -> None:
    """Names of trees go through as the bytes that they are."""
    library = make(tmp_path, "library", "library words\n")
    outer = make(tmp_path, "outer", "outer words\n")
    commit = library.git("rev-parse", "HEAD")
    inner = outer.git("mktree", "-z", "--missing", data=f"160000 commit {commit}\tsub\0".encode())
    described = b'[submodule "s"]\n\tpath = "caf\xe9/sub"\n\turl = ../library\n'
    modules = outer.add_object("blob", described)
    listed = f"100644 blob {modules}\t.gitmodules\x00040000 tree {inner}\tcaf".encode()
    outer.commit_tree(outer.git("mktree", "-z", "--missing", data=listed + b"\xe9\0"))

    job = await syncs.sync(outer.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert [path for path, _, _ in await syncs.search("library words")] == [
        "caf\\xe9/sub/library.txt"
    ]


@pytest.mark.slow
async def test_a_dead_host_of_submodules_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_block: None
) -> None:
    """Each submodule has its warning, the sync goes on, and nobody waits for it again."""
    outer = make(tmp_path, "outer", "outer words\n")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for name in ("one", "two", "three"):
        link(outer, name, f"http://127.0.0.1:{port}/{name}", "1" * 40)
    asked = []
    greet = Git.greet

    async def noted(git: Git, access: Access) -> None:
        asked.append(access.remote.url)
        await greet(git, access)

    monkeypatch.setattr(Git, "greet", noted)
    settings = sync_settings(
        tmp_path, git_submodules=True, git_allowed_hosts=(f"127.0.0.1:{port}",)
    )
    async with syncing(settings) as syncs:
        job = await syncs.sync(outer.url)

        assert job.status is JobStatus.COMPLETED, job.error
        assert await syncs.search("outer words") == [("outer.txt", 1, "outer words")]
    assert len(asked) == 1
    left_out = [some for some in job.warnings if some.code == "SUBMODULE_LEFT_OUT"]
    assert len(left_out) == 3


@pytest.mark.slow
async def test_more_submodules_than_are_taken_are_named(
    syncs: Syncs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one warning."""
    monkeypatch.setattr(submodules, "_MAX_MODULES", 1)
    library = make(tmp_path, "library", "library words\n")
    outer = make(tmp_path, "outer", "outer words\n")
    first = library.git("rev-parse", "HEAD")
    link(outer, "a", "../library", first)
    for name in ("b", "c"):
        link(outer, name, "../library", library.commit({"new.txt": name}))

    job = await syncs.sync(outer.url)

    (warning,) = [some for some in job.warnings if some.code == "SUBMODULE_LEFT_OUT"]
    assert warning.message == "this server takes 1 submodules; not indexed: b, c"
