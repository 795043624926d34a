"""The repository sync over HTTP, against real servers that behave in every way."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import attrs
import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.job_types import JobType
from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.git_server import GitServer, serving_git
from tests.sync_kit import Repository, Syncs, install_git, sync_settings

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

NAME = "git.example.test"
"""A host name that no resolver knows."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository that the server shows as ``code``."""
    repository = Repository(tmp_path / "served" / "code")
    repository.commit({"a.txt": "over the wire\n"})
    return repository


@pytest.fixture
async def server(repository: Repository) -> AsyncIterator[GitServer]:
    """Serve the repository."""
    async with serving_git(repository.path.parent, password="b3BlbjpzZXNhbWU=") as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that allow no host yet: the port is not known."""
    return sync_settings(tmp_path)


@pytest.fixture
async def syncs(settings: Settings, server: GitServer, may_block: None) -> AsyncIterator[Syncs]:
    """Give a system that may reach the server, by address and by a name of our own."""
    # Settings look at their paths when they are made: here they are, with a loop running.
    allowed = (f"127.0.0.1:{server.port}", f"{NAME}:{server.port}")
    settings = attrs.evolve(settings, git_allowed_hosts=allowed)
    store = MemoryPersistence()
    async with JobSystem(settings, [sync_type(settings, store)], persistence=store) as jobs:
        yield Syncs(jobs)


def sync_type(settings: Settings, store: MemoryPersistence) -> JobType:
    """Give the sync with little patience, and a resolver that knows our name."""
    projects = DataDirectory(settings.data_dir).projects
    return make_repository_sync(
        settings,
        store.projects,
        FtsIndexer(projects),
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=resolve,
        low_speed_seconds=1,
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """Know our name and addresses, and nothing else."""
    if host in {NAME, "127.0.0.1"}:
        return ["127.0.0.1"]
    raise socket.gaierror(host, port)


def code_of(job: Job) -> str:
    """Give the code of a job that failed."""
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    return job.error.code


def credentials_file(syncs: Syncs) -> Path:
    """Give the place of the operator's credentials."""
    file = DataDirectory(syncs.jobs.settings.data_dir).git_credentials
    file.parent.mkdir(exist_ok=True)
    return file


async def test_a_repository_is_synced_over_http(
    syncs: Syncs, server: GitServer, repository: Repository
) -> None:
    """A listed inside host may be reached by plain http; a second sync brings only the change."""
    first = await syncs.sync(f"{server.url}/git/code")
    repository.commit({"b.txt": "and again\n"})
    second = await syncs.sync()

    assert first.status is second.status is JobStatus.COMPLETED
    assert second.result is not None
    assert second.result["files_added"] == 1
    assert await syncs.search("again") == [("b.txt", 1, "and again")]


async def test_a_name_is_pinned_to_the_address_that_was_checked(
    syncs: Syncs, server: GitServer
) -> None:
    """Git asks no resolver of its own: a name that only we know is reached."""
    job = await syncs.sync(f"http://{NAME}:{server.port}/git/code")

    assert job.status is JobStatus.COMPLETED, job.error


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("git/nothing", "GIT-001"),
        ("status/404", "GIT-001"),
        ("page/x", "GIT-003"),
        ("private/code", "AUTH-001"),
        ("status/403", "AUTH-002"),
        ("status/500", "NET-007"),
        ("status/429", "NET-007"),
    ],
)
async def test_each_answer_has_its_code(
    syncs: Syncs, server: GitServer, path: str, code: str
) -> None:
    """What a host answers is told apart, at once and without a prompt (G11); nothing is left."""
    job = await syncs.sync(f"{server.url}/{path}")

    assert code_of(job) == code
    assert syncs.leftovers() == []


@pytest.mark.parametrize(
    ("version", "code"), [("git version 2.34.1", "CFG-004"), (None, "CFG-001")]
)
async def test_no_git_without_the_shields_is_sent_to_a_host(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    syncs: Syncs,
    server: GitServer,
    *,
    version: str | None,
    code: str,
) -> None:
    """A git that passes over the pin asks nobody, and the job says why it failed."""
    place = tmp_path / "bin"
    place.mkdir()
    if version is not None:
        install_git(place, version)
    monkeypatch.setenv("PATH", str(place))

    job = await syncs.sync(f"{server.url}/git/code")

    assert code_of(job) == code
    assert job.error is not None
    assert version is None or version in job.error.message
    assert server.requests == []


async def test_an_old_git_may_read_what_is_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, syncs: Syncs
) -> None:
    """Only the web needs the shields that it lacks."""
    local = Repository(tmp_path / "remotes" / "local")
    local.commit({"a.txt": "harmless\n"})
    place = tmp_path / "bin"
    place.mkdir()
    install_git(place, "git version 2.34.1")
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")

    job = await syncs.sync(local.url)

    assert job.status is JobStatus.COMPLETED, job.error


async def test_a_redirect_is_not_followed(syncs: Syncs, server: GitServer) -> None:
    """No request reaches the place that a host redirects to (G09)."""
    job = await syncs.sync(f"{server.url}/redirect/code")

    assert code_of(job) == "NET-006"
    assert [path for path in server.requests if not path.startswith("/redirect/")] == []


async def test_a_host_that_sends_next_to_nothing_has_failed(
    syncs: Syncs, server: GitServer
) -> None:
    """A host that keeps the connection open and sends no more is given up (G10)."""
    job = await syncs.sync(f"{server.url}/silent/code")

    assert code_of(job) == "NET-004"
    assert syncs.leftovers() == []


async def test_a_host_that_is_down_is_told(syncs: Syncs, server: GitServer) -> None:
    """A refused connection has a code of its own."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        jobs = syncs.jobs
        settings = attrs.evolve(jobs.settings, git_allowed_hosts=(f"127.0.0.1:{port}",))
        store = MemoryPersistence()
        async with JobSystem(settings, [sync_type(settings, store)], persistence=store) as other:
            job = await Syncs(other).sync(f"http://127.0.0.1:{port}/code")

    assert code_of(job) == "NET-002"


async def test_the_operators_credentials_are_used_and_never_shown(
    syncs: Syncs, server: GitServer
) -> None:
    """A file of the operator lets a private repository in; git may not change it."""
    file = credentials_file(syncs)
    line = f"http://open:sesame@127.0.0.1:{server.port}\n"
    file.write_text(line)

    job = await syncs.sync(f"{server.url}/private/code")

    assert job.status is JobStatus.COMPLETED, job.error
    assert file.read_text() == line
    assert "sesame" not in repr(job)


async def test_wrong_credentials_are_told_and_kept(syncs: Syncs, server: GitServer) -> None:
    """Credentials that the host refuses have their code, and the operator's file stays."""
    file = credentials_file(syncs)
    line = f"http://open:wrong@127.0.0.1:{server.port}\n"
    file.write_text(line)

    job = await syncs.sync(f"{server.url}/private/code")

    assert code_of(job) == "AUTH-002"
    assert file.read_text() == line
    assert "wrong" not in repr(job)


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        ([], "NET-001"),
        (["127.0.0.1"], "NET-005"),
        (["203.0.114.7", "10.0.0.1"], "NET-005"),
        (["::ffff:192.168.0.1"], "NET-005"),
        (["64:ff9b::7f00:1"], "NET-005"),
        (["169.254.169.254"], "NET-005"),
    ],
)
async def test_a_public_name_must_lead_outside(
    settings: Settings, addresses: list[str], code: str
) -> None:
    """Every address of a host must be public, or git is not even started."""

    async def lead(host: str, port: int) -> Sequence[str]:
        if not addresses:
            raise socket.gaierror(host, port)
        return addresses

    store = MemoryPersistence()
    children = Children("test:1")
    sync = make_repository_sync(
        settings,
        store.projects,
        FtsIndexer(settings.data_dir),
        children,
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=lead,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        job = await Syncs(jobs).sync("https://inside.example.com/code")

    assert code_of(job) == code


async def test_only_listed_hosts_are_taken(syncs: Syncs) -> None:
    """Where the operator lists hosts, a public one that is not listed is refused at the submit."""
    with pytest.raises(ValidationError):
        await syncs.sync("https://github.com/someone/something")


@pytest.mark.parametrize("kind", ["page", "line", "nothing"])
async def test_a_page_is_no_empty_repository(syncs: Syncs, server: GitServer, kind: str) -> None:
    """A host that answers with something else has no repository there; nobody need push to it."""
    job = await syncs.sync(f"{server.url}/{kind}/code")
    assert code_of(job) == "GIT-003"


async def test_an_empty_repository_is_one(
    syncs: Syncs, server: GitServer, repository: Repository
) -> None:
    """A host that answers as git does, with no ref."""
    Repository(repository.path.parent / "empty")
    job = await syncs.sync(f"{server.url}/git/empty")
    assert code_of(job) == "GIT-004"


async def test_a_redirection_names_the_url_to_sync(syncs: Syncs, server: GitServer) -> None:
    """Where the host leads is told; it is not followed."""
    job = await syncs.sync(f"{server.url}/redirect/code")
    assert job.error is not None
    assert job.error.code == "NET-006"
    assert f"redirects to {server.url}/git/code" in job.error.message


async def test_plain_files_are_told_of(
    syncs: Syncs, server: GitServer, repository: Repository
) -> None:
    """A server that knows nothing of git gives no shallow copy."""
    repository.git("update-server-info")
    job = await syncs.sync(f"{server.url}/dumb/code/.git")
    assert job.error is not None
    assert job.error.code == "GIT-007"
    assert "served as plain files" in job.error.message
