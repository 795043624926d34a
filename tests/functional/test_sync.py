"""The repository sync, with real git against local repositories."""

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.handlers.process.children import Children
from cidx_jobs.model.errors import IndexDamagedError, NotIndexedError, ValidationError
from cidx_jobs.model.job.job import Job, JobStatus, PhaseStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import ALICE, PROJECT, Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

COUNTS = ("files_added", "files_modified", "files_renamed", "files_deleted")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with three files."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit(
        {
            "src/a.py": "def first():\n    return 1\n",
            "src/b.py": "second = 2\n",
            "README": "hello\n",
        }
    )
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


def counts(job: Job) -> tuple[int, ...]:
    """Give what changed: added, modified, renamed, deleted."""
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None
    return tuple(job.result[name] for name in COUNTS)


async def test_a_first_sync_indexes_everything(syncs: Syncs, repository: Repository) -> None:
    """All files of the default branch are found by their text, with their lines."""
    job = await syncs.sync(repository.url)

    assert counts(job) == (3, 0, 0, 0)
    assert job.result is not None
    assert job.result["commit_before"] is None
    assert job.result["commit_after"] == repository.git("rev-parse", "HEAD")
    assert job.result["files_indexed"] == job.result["files_total"] == 3
    assert job.result["bytes_received"] > 0
    assert job.result["resumed_from"] is None
    assert await syncs.search("RETURN") == [("src/a.py", 2, "    return 1")]
    assert syncs.leftovers() == []


async def test_the_phases_are_the_five_in_order(syncs: Syncs, repository: Repository) -> None:
    """A first sync goes through its phases with the shares of the contract."""
    job = await syncs.sync(repository.url)

    assert [(phase.name, phase.weight, phase.status) for phase in job.phases] == [
        ("preparing", 0.05, PhaseStatus.COMPLETED),
        ("git_sync", 0.35, PhaseStatus.COMPLETED),
        ("change_detection", 0.05, PhaseStatus.COMPLETED),
        ("indexing", 0.45, PhaseStatus.COMPLETED),
        ("validation", 0.10, PhaseStatus.COMPLETED),
    ]
    assert job.result is not None
    assert set(job.result["phase_seconds"]) == {phase.name for phase in job.phases}


async def test_later_shares_follow_what_the_phases_took(
    syncs: Syncs, repository: Repository
) -> None:
    """The second sync's weights come half from the first one's times, and sum to 1."""
    await syncs.sync(repository.url)
    repository.commit({"more": "more\n"})

    job = await syncs.sync()

    weights = [phase.weight for phase in job.phases]
    assert sum(weights) == pytest.approx(1.0, abs=0.001)
    assert weights != [0.05, 0.35, 0.05, 0.45, 0.10]


async def test_only_changes_are_indexed_again(syncs: Syncs, repository: Repository) -> None:
    """Added, modified, renamed and deleted files are told apart, and searching follows them."""
    before = (await syncs.sync(repository.url)).result
    repository.git("mv", "README", "README.md")
    repository.commit(
        {"src/a.py": "def changed():\n    pass\n", "new": "fourth\n"}, gone=["src/b.py"]
    )

    job = await syncs.sync()

    assert counts(job) == (1, 1, 1, 1)
    assert job.result is not None
    assert before is not None
    assert job.result["commit_before"] == before["commit_after"]
    assert job.result["files_indexed"] == 2
    assert job.result["files_total"] == 3
    assert await syncs.search("def ") == [("src/a.py", 1, "def changed():")]
    assert await syncs.search("second") == []
    assert await syncs.search("hello") == [("README.md", 1, "hello")]


async def test_a_file_that_was_moved_and_changed_a_little_is_renamed(
    syncs: Syncs, repository: Repository
) -> None:
    """Renames are found by likeness, not only by equal content."""
    repository.commit({"long": "".join(f"line {n}\n" for n in range(50))})
    await syncs.sync(repository.url)
    repository.git("mv", "long", "moved")
    repository.commit({"moved": "".join(f"line {n}\n" for n in range(49))})

    job = await syncs.sync()

    assert counts(job) == (0, 0, 1, 0)


async def test_changes_of_mode_and_kind_count_as_modified(
    syncs: Syncs, repository: Repository
) -> None:
    """A file that becomes executable, and one that becomes a link, are modified."""
    await syncs.sync(repository.url)
    (repository.path / "src/a.py").chmod(0o755)
    (repository.path / "src/b.py").unlink()
    (repository.path / "src/b.py").symlink_to("a.py")
    repository.commit()

    job = await syncs.sync()

    assert counts(job) == (0, 2, 0, 0)
    assert await syncs.search("second") == []
    assert [(warning.code, warning.message) for warning in job.warnings] == [
        ("SKIPPED_SYMLINK", "1 symbolic link is not indexed: src/b.py")
    ]


async def test_nothing_new_says_so(
    syncs: Syncs, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of what is indexed already changes nothing, and its message tells it.

    It is quick however large the repository is: the remote is asked for its commit, and no other
    process is started.
    """
    first = await syncs.sync(repository.url)
    started: list[Sequence[str]] = []
    start = Children._started

    def noted(children: Children, argv: Sequence[str], *rest: Any, **more: Any) -> Any:
        started.append(argv)
        return start(children, argv, *rest, **more)

    monkeypatch.setattr(Children, "_started", noted)

    job = await syncs.sync()

    assert ["ls-remote" in argv for argv in started] == [True]
    assert counts(job) == (0, 0, 0, 0)
    assert first.result is not None
    assert job.result is not None
    assert job.result["files_total"] == 3
    assert job.result["files_indexed"] == job.result["bytes_received"] == 0
    assert job.message is not None
    assert job.message.startswith("nothing new")


async def test_a_full_reindex_makes_the_index_anew(syncs: Syncs, repository: Repository) -> None:
    """Asked for, all files are indexed again, without any change."""
    await syncs.sync(repository.url)
    before = (syncs.directory / "index.current").read_text()

    job = await syncs.sync(full_reindex=True)

    assert counts(job) == (0, 0, 0, 0)
    assert job.result is not None
    assert job.result["files_indexed"] == 3
    assert (syncs.directory / "index.current").read_text() != before
    assert syncs.leftovers() == []


async def test_indexing_can_be_skipped(syncs: Syncs, repository: Repository) -> None:
    """With skip_indexing the commit is fetched and compared, and the index stays as it is."""
    job = await syncs.sync(repository.url, skip_indexing=True)

    assert counts(job) == (3, 0, 0, 0)
    assert [phase.name for phase in job.phases] == ["preparing", "git_sync", "change_detection"]
    with pytest.raises(NotIndexedError):
        await syncs.search("first")
    assert syncs.leftovers() == []
    assert counts(await syncs.sync()) == (3, 0, 0, 0)


@pytest.mark.parametrize("settings", [{"max_file_bytes": 1_000}], indirect=True)
async def test_what_is_no_text_is_skipped_and_told(syncs: Syncs, repository: Repository) -> None:
    """Binary and large files are left out, counted and named in one warning a kind."""
    files = {f"image{n}.png": bytes([n]) + b"\0\1\2" for n in range(5)}
    repository.commit({**files, "big.txt": "wide\n" * 1_000, "latin.txt": b"caf\xe9 noir\n"})

    job = await syncs.sync(repository.url)

    assert job.result is not None
    assert job.result["files_skipped"] == 6
    assert job.result["files_total"] == 10
    assert {warning.code: warning.message for warning in job.warnings} == {
        "SKIPPED_BINARY": (
            "5 binary files are not indexed: "
            "image0.png, image1.png, image2.png, image3.png, image4.png"
        ),
        "SKIPPED_LARGE": "1 file larger than max_file_bytes is not indexed: big.txt",
    }
    assert await syncs.search("wide") == []
    assert await syncs.search(" noir") == [("latin.txt", 1, "café noir")]


async def test_what_is_counted_is_what_changed(syncs: Syncs, repository: Repository) -> None:
    """Indexed and skipped are files of this job's changes; the total is the commit's files.

    Of the changed files (added, modified, renamed) each is indexed, or skipped with a warning
    that says why, or has a content that the index knows already.
    """
    repository.commit({"old.png": b"\0\1", "old.txt": "old\n"})
    await syncs.sync(repository.url)
    (repository.path / "link").symlink_to("README")
    repository.git("mv", "old.txt", "moved.txt")
    changed: dict[str, str | bytes] = {
        "new.png": b"\0\2",
        "new.txt": "new\n",
        "again.txt": "old\n",
        "README": "bye\n",
    }
    repository.commit(changed, gone=["src/b.py"])

    job = await syncs.sync()

    assert counts(job) == (4, 1, 1, 1)
    assert job.result is not None
    # new.txt and README; new.png and link; again.txt and moved.txt hold what is known.
    assert (job.result["files_indexed"], job.result["files_skipped"]) == (2, 2)
    assert job.result["files_total"] == 8
    assert {warning.code: warning.message for warning in job.warnings} == {
        "SKIPPED_BINARY": "1 binary file is not indexed: new.png",
        "SKIPPED_SYMLINK": "1 symbolic link is not indexed: link",
    }
    known = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)
    assert known is not None
    # All but two pictures and the link can be found.
    assert known.files_indexed == 5

    nothing = await syncs.sync()
    assert nothing.result is not None
    assert (nothing.result["files_indexed"], nothing.result["files_skipped"]) == (0, 0)
    assert nothing.result["files_total"] == 8


async def test_a_branch_is_followed_through_a_forced_push(
    syncs: Syncs, repository: Repository
) -> None:
    """A rewritten history is taken as it is: the index shows the new tree."""
    await syncs.sync(repository.url)
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.git("rm", "-rfq", ".")
    repository.commit({"only": "rewritten\n"})
    repository.git("branch", "-qM", "other", "main")

    job = await syncs.sync()

    assert counts(job) == (1, 0, 0, 3)
    assert await syncs.search("def ") == []
    assert await syncs.search("rewritten") == [("only", 1, "rewritten")]


async def test_a_commit_without_files_empties_the_index(
    syncs: Syncs, repository: Repository
) -> None:
    """An emptied tree is a tree: nothing is found, and the project is still indexed."""
    await syncs.sync(repository.url)
    repository.commit(gone=["src/a.py", "src/b.py", "README"])

    job = await syncs.sync()

    assert counts(job) == (0, 0, 0, 3)
    assert await syncs.search("first") == []


async def test_the_default_branch_is_found_out_each_time(
    syncs: Syncs, repository: Repository
) -> None:
    """Without a branch a sync follows the remote's default, also when that is renamed."""
    await syncs.sync(repository.url)
    repository.git("branch", "-qm", "main", "trunk")
    repository.commit({"trunk": "on the trunk\n"})

    job = await syncs.sync()

    assert counts(job) == (1, 0, 0, 0)
    project = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)
    assert project is not None
    assert (project.branch, project.default_branch) == (None, "trunk")


async def test_another_branch_can_be_asked_for(syncs: Syncs, repository: Repository) -> None:
    """A branch that is asked for is kept by the project, and a new url forgets it."""
    await syncs.sync(repository.url)
    repository.git("checkout", "-qb", "side/line")
    repository.commit({"side": "beside\n"})

    await syncs.sync(branch="side/line")
    kept = await syncs.sync()

    assert kept.options["branch"] == "side/line"
    assert await syncs.search("beside") == [("side", 1, "beside")]
    shutil.copytree(repository.path, repository.path.with_name("other"))
    moved = await syncs.sync(str(repository.path.with_name("other")))
    assert moved.options["branch"] is None


@pytest.mark.parametrize("given", [None, ""])
async def test_the_default_branch_can_be_gone_back_to(
    syncs: Syncs, repository: Repository, given: str | None
) -> None:
    """A project that was once asked for a branch follows the default one again."""
    repository.git("branch", "old")
    await syncs.sync(repository.url, branch="old")
    repository.git("branch", "-D", "old")
    failed = await syncs.sync()

    back = await syncs.sync(branch=given)
    later = await syncs.sync()

    assert failed.error is not None
    assert failed.error.code == "GIT-002"
    assert (back.status, back.options["branch"]) == (JobStatus.COMPLETED, None)
    assert (later.status, later.options["branch"]) == (JobStatus.COMPLETED, None)


@pytest.mark.parametrize("wrong", [{"branch": "nope"}, {"url": "nowhere"}])
async def test_a_wrong_url_or_branch_fails_no_later_sync(
    syncs: Syncs, repository: Repository, wrong: dict[str, str]
) -> None:
    """It stays with the job that was given it."""
    await syncs.sync(repository.url)
    if "url" in wrong:
        wrong = {"url": str(repository.path.with_name("nowhere"))}

    failed = await syncs.sync(**wrong)
    later = await syncs.sync()

    assert failed.status is JobStatus.FAILED
    assert later.status is JobStatus.COMPLETED
    assert later.options["repository_url"] == repository.url


async def test_a_detached_head_is_synced(syncs: Syncs, repository: Repository) -> None:
    """Where the remote's HEAD is a commit and no branch, that commit is synced."""
    repository.git("checkout", "--quiet", "--detach")
    repository.commit({"loose": "detached\n"})

    await syncs.sync(repository.url)

    assert await syncs.search("detached") == [("loose", 1, "detached")]


async def test_a_shallow_remote_is_synced(
    tmp_path: Path, syncs: Syncs, repository: Repository
) -> None:
    """A remote that is itself a shallow clone will do."""
    repository.commit({"later": "later\n"})
    shallow = tmp_path / "remotes" / "shallow"
    repository.git("clone", "-q", "--depth=1", f"file://{repository.path}", str(shallow))

    job = await syncs.sync(str(shallow))

    assert counts(job) == (4, 0, 0, 0)


@pytest.mark.parametrize("settings", [{"git_depth": n} for n in (0, 1, 2)], indirect=True)
async def test_as_much_history_is_kept_as_the_operator_wants(
    syncs: Syncs, settings: Settings, repository: Repository
) -> None:
    """git_depth bounds the history of the copy; 0 is all of it."""
    for number in range(3):
        repository.commit({"counter": f"number {number}\n"})
    repository.git("tag", "v1")

    await syncs.sync(repository.url)
    copy = f"--git-dir={syncs.directory / 'repo.git'}"
    history = repository.git(copy, "rev-list", "refs/cidx/head").splitlines()
    refs = repository.git(copy, "for-each-ref", "--format=%(refname)").splitlines()

    assert len(history) == (settings.git_depth or 4)
    assert refs == ["refs/cidx/head", "refs/cidx/indexed"]


@pytest.mark.parametrize("damage", ["objects", "HEAD", "refs/cidx/head", "cidx-source.json"])
async def test_a_damaged_copy_is_made_again(
    syncs: Syncs, repository: Repository, damage: str
) -> None:
    """A copy that lost files is noticed and cloned anew in the same job."""
    await syncs.sync(repository.url)
    copy = syncs.directory / "repo.git"
    if damage == "objects":
        shutil.rmtree(copy / "objects")
        (copy / "objects").mkdir()
    else:
        (copy / damage).write_bytes(b"nonsense \xff\n")
    repository.commit({"after": "afterwards\n"})

    job = await syncs.sync()

    assert counts(job) == (1, 0, 0, 0)
    assert await syncs.search("afterwards") == [("after", 1, "afterwards")]
    assert syncs.leftovers() == []


@pytest.mark.parametrize(
    ("damaged", "told"), [("the index", IndexDamagedError), ("its name", NotIndexedError)]
)
async def test_a_damaged_index_is_made_again(
    syncs: Syncs, repository: Repository, damaged: str, told: type[Exception]
) -> None:
    """An index that cannot be read is no index: the next sync makes it anew."""
    await syncs.sync(repository.url)
    pointer = syncs.directory / "index.current"
    current = syncs.directory / pointer.read_text()
    (current if damaged == "the index" else pointer).write_bytes(b"nonsense \xff" * 1_000)

    with pytest.raises(told):
        await syncs.search("first")
    job = await syncs.sync()

    assert counts(job) == (3, 0, 0, 0)
    assert len(await syncs.search("first")) == 1
    assert syncs.leftovers() == []


async def test_locks_of_a_killed_git_are_no_obstacle(syncs: Syncs, repository: Repository) -> None:
    """What a git that was killed left in the copy is removed before the next one."""
    await syncs.sync(repository.url)
    copy = syncs.directory / "repo.git"
    for name in ("shallow.lock", "refs/cidx/head.lock", "objects/pack/tmp_pack_x"):
        (copy / name).touch()
    (syncs.directory / "run-old.1").mkdir()
    (syncs.directory / "index-old.1.db").touch()
    repository.commit({"new": "newest\n"})

    job = await syncs.sync()

    assert counts(job) == (1, 0, 0, 0)
    assert syncs.leftovers() == []
    assert not list(copy.rglob("tmp_*"))


async def test_the_project_tells_what_is_known(syncs: Syncs, repository: Repository) -> None:
    """After a sync the project says commit, time, job, files and sizes."""
    job = await syncs.sync(repository.url)

    project = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)

    assert project is not None
    assert project.repository_url == repository.url
    assert project.default_branch == "main"
    assert project.last_commit == repository.git("rev-parse", "HEAD")
    assert project.last_synced_at is not None
    assert (project.last_job_id, project.files_indexed) == (job.job_id, 3)
    assert project.repository_bytes
    assert project.index_bytes


@pytest.mark.parametrize(
    ("name", "branch", "code"),
    [
        ("missing", None, "GIT-001"),
        ("code", "nowhere", "GIT-002"),
        ("unborn", None, "GIT-002"),
        ("plain", None, "GIT-003"),
        ("empty", None, "GIT-004"),
        ("empty", "main", "GIT-004"),
    ],
)
async def test_each_fault_has_its_code(
    syncs: Syncs, repository: Repository, name: str, branch: str | None, code: str
) -> None:
    """The job fails with a code of its own, a sentence and what to do; nothing is left behind."""
    remotes = repository.path.parent
    (remotes / "plain").mkdir()
    Repository(remotes / "empty")
    unborn = Repository(remotes / "unborn")
    unborn.commit({"a": "a\n"})
    unborn.git("symbolic-ref", "HEAD", "refs/heads/nobody")

    job = await syncs.sync(str(remotes / name), branch=branch)

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.phase, job.error.retryable) == (code, "git_sync", False)
    assert job.error.actions
    assert str(syncs.directory) not in job.error.message
    assert syncs.leftovers() == []


async def test_a_failed_sync_leaves_the_index_as_it_was(
    syncs: Syncs, repository: Repository
) -> None:
    """What was indexed stays searchable when the next sync fails."""
    await syncs.sync(repository.url)
    repository.git("symbolic-ref", "HEAD", "refs/heads/nobody")

    job = await syncs.sync()

    assert job.status is JobStatus.FAILED
    assert await syncs.search("second") == [("src/b.py", 1, "second = 2")]
    assert syncs.leftovers() == []


async def test_a_first_sync_needs_a_url(syncs: Syncs) -> None:
    """Without a repository there is nothing to sync: the submit is refused."""
    with pytest.raises(ValidationError) as refused:
        await syncs.sync()

    assert [fault.pointer for fault in refused.value.faults] == ["/options/repository_url"]


async def test_an_unknown_option_is_refused(syncs: Syncs, repository: Repository) -> None:
    """A misspelt option is an error of the submit, not ignored."""
    with pytest.raises(ValidationError):
        await syncs.sync(repository.url, full_reindx=True)


async def test_everything_in_the_data_directory_is_private(
    syncs: Syncs, repository: Repository
) -> None:
    """Nobody else on the machine can read a copy or an index."""
    await syncs.sync(repository.url)

    root = syncs.jobs.settings.data_dir
    open_to_others = [path for path in root.rglob("*") if path.stat().st_mode & 0o077]

    assert open_to_others == []


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_damaged_index_is_made_anew_by_the_next_sync(
    syncs: Syncs, repository: Repository, *, is_new: bool
) -> None:
    """Whether a search noticed it or not, and whether the repository changed or not."""
    await syncs.sync(repository.url)
    (path,) = syncs.directory.glob("index-*.db")
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[:4_096] + b"\xa5" * 60_000)
    if is_new:
        repository.commit({"new.txt": "a new line\n"})
    else:
        with pytest.raises(IndexDamagedError):
            await syncs.search("first")

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("first") != []
