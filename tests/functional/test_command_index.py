"""A program of the operator in place of the built-in index, with real programs."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidx_jobs.model.errors import NotIndexedError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.index.program_files import FileTree
from tests.sync_kit import (
    ALICE,
    PROJECT,
    WAIT_SECONDS,
    Repository,
    Syncs,
    find_copy,
    sync_settings,
    syncing,
)

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

PROGRAM = """
find . -type f ! -path './.kept/*' | LC_ALL=C sort > LOG/files
env | grep CIDXJ_ | LC_ALL=C sort > LOG/told
mkdir -p .kept; echo run >> .kept/runs; cp .kept/runs LOG/runs
echo '3/3 files'
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give the directory that the program writes what it saw into."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


@pytest.fixture
def settings(tmp_path: Path, log: Path, request: pytest.FixtureRequest) -> Settings:
    """Give settings with the program, or with the one of the test."""
    script = getattr(request, "param", PROGRAM).replace("LOG", str(log))
    return sync_settings(tmp_path, index_command=("sh", "-ec", script))


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Give an open system."""
    async with syncing(settings) as opened:
        yield opened


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with three files."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a/b.txt": "one\n", "c.txt": "two\n", "same.txt": "one\n"})
    return repository


def tree_of(syncs: Syncs) -> Path:
    """Give the directory that the program works in."""
    directory = DataDirectory(syncs.jobs.settings.data_dir).programs
    return find_copy(directory) / "tree"


def code_of(job: Job) -> str:
    """Give the code of a job that failed."""
    assert job.error is not None
    return job.error.code


async def test_the_program_gets_the_files(syncs: Syncs, repository: Repository, log: Path) -> None:
    """It runs where the commit's files lie, and is told which commit it is."""
    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert (log / "files").read_text().split() == ["./a/b.txt", "./c.txt", "./same.txt"]
    told = dict(line.split("=", 1) for line in (log / "told").read_text().split())
    assert told["CIDXJ_COMMIT"] == repository.git("rev-parse", "HEAD")
    assert (told["CIDXJ_FULL"], told["CIDXJ_PROJECT"]) == ("1", "project")
    assert job.result is not None
    assert (job.result["files_added"], job.result["files_total"]) == (3, 3)


async def test_only_changed_files_are_written_anew(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """What did not change keeps its time, and what the program keeps stays."""
    await syncs.sync(repository.url)
    untouched = tree_of(syncs) / "same.txt"
    os.utime(untouched, (1, 1))
    repository.git("mv", "c.txt", "moved.txt")
    repository.commit({"new.txt": "four\n"}, gone=["a/b.txt"])

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED, job.error
    assert untouched.stat().st_mtime == 1
    assert (log / "files").read_text().split() == ["./moved.txt", "./new.txt", "./same.txt"]
    assert not (tree_of(syncs) / "a").exists()
    assert (log / "runs").read_text() == "run\nrun\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()


async def test_contents_that_are_gone_are_no_damage(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """A file that is changed or removed is a change like another: nothing is begun anew."""
    await syncs.sync(repository.url)
    repository.commit({"c.txt": "three\n"}, gone=["a/b.txt", "same.txt"])

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED, job.error
    assert job.warnings == ()
    assert (log / "runs").read_text() == "run\nrun\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()


async def test_a_full_reindex_begins_anew(syncs: Syncs, repository: Repository, log: Path) -> None:
    """Asked for, the program gets an empty place and all files."""
    await syncs.sync(repository.url)

    job = await syncs.sync(full_reindex=True)

    assert job.status is JobStatus.COMPLETED, job.error
    assert (log / "runs").read_text() == "run\n"
    assert "CIDXJ_FULL=1" in (log / "told").read_text()


async def test_files_and_directories_change_places(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """A file may become a directory, a directory a file, and a file a link."""
    await syncs.sync(repository.url)
    (repository.path / "same.txt").unlink()
    (repository.path / "same.txt").symlink_to("c.txt")
    (repository.path / "c.txt").unlink()
    (repository.path / "a" / "b.txt").unlink()
    (repository.path / "a").rmdir()
    repository.commit({"c.txt/inner": "deeper\n", "a": "a file\n"})

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED, job.error
    assert (log / "files").read_text().split() == ["./a", "./c.txt/inner"]


@pytest.mark.parametrize("settings", ["echo 'at 2 of 3'; sleep 0.6"], indirect=True)
async def test_its_progress_is_read(syncs: Syncs, repository: Repository) -> None:
    """Counts in the program's lines are the progress of the job while it runs."""
    jobs = syncs.jobs
    job = await jobs.submit(ALICE, PROJECT, options={"repository_url": repository.url})

    seen = await jobs.manager.wait(
        job.job_id, lambda now: now.done or now.message == "at 2 of 3", WAIT_SECONDS
    )

    assert (seen.phase, seen.message) == ("indexing", "at 2 of 3")
    assert (seen.progress_detail.done, seen.progress_detail.total) == (2, 3)
    assert (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    "settings",
    ["echo 'broken \x1b[31m thing'; exit 3", "echo 'broken \x1b[31m thing' >&2; exit 3"],
    indirect=True,
)
async def test_a_failure_of_the_program_is_told(syncs: Syncs, repository: Repository) -> None:
    """Its last words are in the error, and the next sync runs it again."""
    job = await syncs.sync(repository.url)
    again = await syncs.sync()

    assert code_of(job) == code_of(again) == "IDX-003"
    assert job.error is not None
    assert "broken ?[31m thing" in job.error.message


@pytest.fixture
def bounded(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Give settings with a program that tells how much it may take."""
    command = ("sh", "-c", f"ulimit -v > {tmp_path}/bound")
    return sync_settings(tmp_path, index_command=command, index_command_memory_bytes=request.param)


@pytest.mark.parametrize(
    ("bounded", "told"), [(2**29, "524288"), (0, "unlimited")], indirect=["bounded"]
)
async def test_the_memory_of_the_program_is_bounded(
    bounded: Settings, repository: Repository, tmp_path: Path, told: str
) -> None:
    """By the setting, for each of its processes; 0 is without a bound."""
    async with syncing(bounded) as syncs:
        assert (await syncs.sync(repository.url)).status is JobStatus.COMPLETED

    assert (tmp_path / "bound").read_text().strip() == told


async def test_a_relative_program_is_never_one_of_the_repository(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch, may_block: None
) -> None:
    """A relative path counts from where the server was started, not from the files."""
    for place, word in ((tmp_path, "operator"), (repository.path, "stranger")):
        program = place / "program"
        program.write_text(f"#!/bin/sh\necho {word} > {tmp_path}/ran\n")
        program.chmod(0o700)
    repository.commit()
    monkeypatch.chdir(tmp_path)

    async with syncing(sync_settings(tmp_path, index_command=("./program",))) as syncs:
        job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert (tmp_path / "ran").read_text() == "operator\n"


@pytest.mark.parametrize(
    "arguments",
    [("-m", "json.tool", "data.json"), ("-c", "import json, sys; json.load(open('data.json'))")],
)
async def test_python_takes_no_module_of_the_repository(
    tmp_path: Path, repository: Repository, may_block: None, arguments: tuple[str, ...]
) -> None:
    """What the program imports is installed, also where a file of the tree has its name."""
    evil = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    repository.commit({"json.py": evil, "json/tool.py": evil, "sitecustomize.py": evil})
    repository.commit({"data.json": "{}"})

    settings = sync_settings(tmp_path, index_command=(sys.executable, *arguments))
    async with syncing(settings) as syncs:
        job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert not (tmp_path / "ran").exists()


async def test_git_takes_no_repository_of_the_repository(
    tmp_path: Path, repository: Repository, may_block: None
) -> None:
    """A tree that looks like a bare repository is none to a git that the program runs."""
    config = f'[core]\n\tbare = false\n\tworktree = .\n\tfsmonitor = "touch {tmp_path}/ran"\n'
    repository.commit(
        {"HEAD": "ref: refs/heads/x\n", "config": config, "refs/x": "y\n", "objects/x": "y\n"}
    )

    settings = sync_settings(tmp_path, index_command=("sh", "-c", "git status; true"))
    async with syncing(settings) as syncs:
        job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert not (tmp_path / "ran").exists()


async def test_a_program_that_is_not_there_is_told(
    tmp_path: Path, repository: Repository, may_block: None
) -> None:
    """A program that is not installed has the code of the configuration."""
    settings = sync_settings(tmp_path, index_command=("no-such-program",))
    async with syncing(settings) as syncs:
        job = await syncs.sync(repository.url)

    assert code_of(job) == "CFG-001"


@pytest.mark.parametrize("settings", ["sleep 60 & echo 1 of 2; wait"], indirect=True)
async def test_the_program_ends_with_its_run(syncs: Syncs, repository: Repository) -> None:
    """When the run is told to stop, or its time is up, all that it started ends."""
    jobs = syncs.jobs
    job = await jobs.submit(ALICE, PROJECT, options={"repository_url": repository.url})
    await jobs.manager.wait(
        job.job_id, lambda now: now.done or now.progress_detail.total == 2, WAIT_SECONDS
    )
    await jobs.cancel(job.job_id)
    ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.CANCELLED
    # Among what is compared are the processes of this machine.
    assert await jobs.examine() == []


async def test_there_is_nothing_to_search(syncs: Syncs, repository: Repository) -> None:
    """What the program made is its own."""
    await syncs.sync(repository.url)

    with pytest.raises(NotIndexedError):
        await syncs.search("one")


async def test_a_torn_tree_is_mended(syncs: Syncs, repository: Repository, log: Path) -> None:
    """Files that an unfinished run changed are not believed; what the program keeps stays."""
    await syncs.sync(repository.url)
    (tree_of(syncs) / "c.txt").write_text("half\n")
    tree_of(syncs).with_suffix(".torn").touch()
    repository.commit({"new.txt": "four\n"})

    job = await syncs.sync()

    assert job.status is JobStatus.COMPLETED, job.error
    assert (tree_of(syncs) / "c.txt").read_text() == "two\n"
    assert (log / "runs").read_text() == "run\nrun\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()


FAILS_WHILE = PROGRAM + "test ! -e LOG/broken\n"
"""It has done its work, and fails as long as the file is there."""


@pytest.mark.parametrize("settings", [FAILS_WHILE], indirect=True)
async def test_what_the_program_keeps_stays_when_it_fails(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """Nothing is paid twice: not by the next attempt, and not when the commit moved on."""
    (log / "broken").touch()
    first = await syncs.sync(repository.url)
    untouched = tree_of(syncs) / "same.txt"
    os.utime(untouched, (1, 1))
    repository.commit({"new.txt": "four\n"}, gone=["a/b.txt"])
    second = await syncs.sync()
    (log / "broken").unlink()
    third = await syncs.sync()

    assert (code_of(first), code_of(second)) == ("IDX-003", "IDX-003")
    assert third.status is JobStatus.COMPLETED, third.error
    assert (log / "runs").read_text() == "run\nrun\nrun\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()
    assert untouched.stat().st_mtime == 1
    # What was laid out for a commit that never came to its end is removed, too.
    assert (log / "files").read_text().split() == ["./c.txt", "./new.txt", "./same.txt"]
    assert not (tree_of(syncs) / "a").exists()


@pytest.mark.parametrize("settings", [FAILS_WHILE], indirect=True)
async def test_a_full_reindex_empties_once(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """The second attempt of its job goes on with what the first one paid for."""
    await syncs.sync(repository.url)
    (log / "broken").touch()
    jobs = syncs.jobs
    job = await jobs.submit(ALICE, PROJECT, options={"full_reindex": True}, max_attempts=2)
    failed = await jobs.manager.wait(job.job_id, lambda now: len(now.attempts) == 1, WAIT_SECONDS)
    told = [(log / "told").read_text(), (log / "runs").read_text()]
    (log / "broken").unlink()
    if failed.is_between_attempts:
        await jobs.release(job.job_id)
    ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.COMPLETED, ended.error
    assert "CIDXJ_FULL=1" in told[0]
    assert told[1] == "run\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()
    assert (log / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize("settings", [PROGRAM + "echo 1/2; sleep 60 & wait\n"], indirect=True)
async def test_what_the_program_keeps_stays_when_its_job_is_cancelled(
    syncs: Syncs, repository: Repository, log: Path
) -> None:
    """It is the user's to stop it, and the operator who pays."""
    jobs = syncs.jobs
    for _ in range(2):
        job = await jobs.submit(ALICE, PROJECT, options={"repository_url": repository.url})
        await jobs.manager.wait(
            job.job_id, lambda now: now.done or now.progress_detail.total == 2, WAIT_SECONDS
        )
        await jobs.cancel(job.job_id)
        assert (await jobs.wait(job.job_id, timeout=WAIT_SECONDS)).status is JobStatus.CANCELLED

    assert (log / "runs").read_text() == "run\nrun\n"
    assert "CIDXJ_FULL=0" in (log / "told").read_text()


@pytest.mark.parametrize(
    "settings", ["for i in $(seq 60); do echo line $i; done; exit 3"], indirect=True
)
async def test_the_last_lines_of_a_program_that_fails_are_kept(
    syncs: Syncs, repository: Repository
) -> None:
    """Fifty of them are in the error."""
    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert job.error.message.endswith("line 60")
    assert job.error.output == tuple(f"line {number}" for number in range(11, 61))


@pytest.mark.parametrize(
    "settings",
    ["echo 'WARNING: c.txt has no words'; echo warn: old; echo warn: old"],
    indirect=True,
)
async def test_what_the_program_warns_of_is_kept(syncs: Syncs, repository: Repository) -> None:
    """Each once, with a job that is completed."""
    job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert [(each.code, each.message) for each in job.warnings] == [
        ("INDEX_PROGRAM_WARNED", "c.txt has no words"),
        ("INDEX_PROGRAM_WARNED", "old"),
    ]


async def test_the_result_names_what_the_program_was_given(
    syncs: Syncs, repository: Repository
) -> None:
    """And what was left out, with the reason."""
    (repository.path / "link").symlink_to("c.txt")
    repository.commit()

    job = await syncs.sync(repository.url)

    assert job.result is not None
    assert job.result["program"] == {
        "given": ["a/b.txt", "c.txt", "same.txt"],
        "given_total": 3,
        "left_out": [{"path": "link", "reason": "link"}],
        "left_out_total": 1,
    }


async def test_the_operators_variables_are_passed_on(
    tmp_path: Path, repository: Repository, may_block: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are named, and no other."""
    monkeypatch.setenv("PAID_KEY", "k-1")
    monkeypatch.setenv("OTHER_KEY", "k-2")
    settings = sync_settings(
        tmp_path,
        index_command=("sh", "-c", f"env > {tmp_path}/env"),
        index_command_environment=("PAID_KEY", "NOT_THERE"),
    )
    async with syncing(settings) as syncs:
        job = await syncs.sync(repository.url)

    assert job.status is JobStatus.COMPLETED, job.error
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert told["PAID_KEY"] == "k-1"
    assert not {"OTHER_KEY", "NOT_THERE"} & told.keys()


async def test_a_removed_project_leaves_no_files(syncs: Syncs, repository: Repository) -> None:
    """Those for the program go with the copy."""
    await syncs.sync(repository.url)

    await syncs.jobs.remove_project(ALICE, PROJECT)

    assert not tree_of(syncs).exists()
    assert not any(DataDirectory(syncs.jobs.settings.data_dir).programs.iterdir())


@pytest.mark.parametrize(
    "path",
    [
        *("../out", "a/../../out", ".git/config", "a/.GIT/hooks/x", "/out", "a//b"),
        *("n" * 300, "deep/" * 1_000 + "file"),
    ],
)
def test_a_hostile_path_is_not_written(tmp_path: Path, path: str) -> None:
    """Names that no checkout may have are left out."""
    tree = FileTree(tmp_path / "tree")
    tree.begin([], empties_for=JobId("j"))

    assert not tree.write(path, "100644", b"x")
    tree.remove(path)
    assert sorted(place.name for place in tmp_path.rglob("*")) == ["tree", "tree.torn"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link that lies in the directory is replaced, never written or removed through."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    tree = FileTree(tmp_path / "tree")
    tree.begin([], empties_for=JobId("j"))
    (tree.root / "dir").symlink_to(outside)
    (tree.root / "link").symlink_to(outside / "file")

    tree.remove("dir/file")
    assert (outside / "file").read_text() == "mine"
    assert tree.write("dir/file", "100755", b"theirs")
    assert tree.write("link", "100644", b"theirs")

    assert (outside / "file").read_text() == "mine"
    assert (tree.root / "dir" / "file").stat().st_mode & 0o777 == 0o700
