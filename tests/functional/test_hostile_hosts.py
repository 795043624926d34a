"""Hosts that want the server to speak to somebody else, in each way that git knows."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import attrs
import pytest

from cidx_jobs.handlers.git.commands import MEMORY_BYTES
from cidx_jobs.handlers.git.shields import Access, configure, make_environment
from cidx_jobs.handlers.git.url_rules import RemoteRules
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import Settings
from tests.git_server import GitServer, serving_git
from tests.sync_kit import ALICE, PROJECT, Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

Opening = Callable[[], AbstractAsyncContextManager[Syncs]]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository that both servers show as ``code``."""
    repository = Repository(tmp_path / "served" / "code")
    repository.commit({"a.txt": "harmless\n"})
    return repository


@pytest.fixture
async def bystander(repository: Repository) -> AsyncIterator[GitServer]:
    """Serve what nobody may be made to ask for."""
    async with serving_git(repository.path.parent) as running:
        yield running


@pytest.fixture
async def host(repository: Repository, bystander: GitServer) -> AsyncIterator[GitServer]:
    """Serve the repository, from a host that sends its clients to the bystander."""
    async with serving_git(repository.path.parent) as running:
        running.elsewhere = f"{bystander.url}/status/200"
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings that allow no host yet: the port is not known."""
    return sync_settings(tmp_path, git_depth=0, git_submodules=True)


@pytest.fixture
def opening(settings: Settings, host: GitServer, may_block: None) -> Opening:
    """Return what opens a system that may speak to the host."""
    listed = attrs.evolve(settings, git_allowed_hosts=(f"127.0.0.1:{host.port}",))
    return partial(syncing, listed)


@pytest.fixture
async def syncs(opening: Opening) -> AsyncIterator[Syncs]:
    """Return an open system that may speak to the host."""
    async with opening() as opened:
        yield opened


def code_of(job: Job) -> str:
    """Return the code of a job that failed."""
    assert job.error is not None
    return job.error.code


async def test_a_pack_is_not_fetched_from_another_host(
    syncs: Syncs, host: GitServer, bystander: GitServer
) -> None:
    """A fetch whose answer names a pack elsewhere fails, and nothing is asked there."""
    job = await syncs.sync(f"{host.url}/uris/code")

    assert bystander.requests == []
    assert code_of(job) == "NET-006"
    assert syncs.leftovers() == []


@pytest.mark.parametrize(
    "place", ["http://localhost:{port}", "http://127.0.0.1:{port}@localhost:{port}"]
)
async def test_a_host_has_no_other_name(syncs: Syncs, host: GitServer, place: str) -> None:
    """The host and port of the URL are spoken to; the same server by another name is not."""
    host.elsewhere = f"{place.format(port=host.port)}/status/200"

    job = await syncs.sync(f"{host.url}/uris/code")

    assert "/status/200" not in host.requests
    assert code_of(job) == "NET-006"


async def test_a_host_may_name_a_pack_of_its_own(syncs: Syncs, host: GitServer) -> None:
    """What is asked of the checked host itself arrives there."""
    host.elsewhere = f"{host.url}/status/200"

    await syncs.sync(f"{host.url}/uris/code")

    assert "/status/200" in host.requests


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
async def test_exceptions_of_the_environment_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
    opening: Opening,
    host: GitServer,
    bystander: GitServer,
    name: str,
) -> None:
    """What the server's own environment excepts from proxies opens no way."""
    monkeypatch.setenv(name, "*")

    async with opening() as syncs:
        job = await syncs.sync(f"{host.url}/uris/code")

    assert bystander.requests == []
    assert code_of(job) == "NET-006"


@pytest.mark.parametrize("name", ["all_proxy", "http_proxy"])
async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
    opening: Opening,
    host: GitServer,
    bystander: GitServer,
    name: str,
) -> None:
    """The host is spoken to directly, whatever proxy the server's environment names."""
    monkeypatch.setenv(name, bystander.url)

    async with opening() as syncs:
        job = await syncs.sync(f"{host.url}/git/code")

    assert bystander.requests == []
    assert job.status is JobStatus.COMPLETED, job.error


async def test_a_redirect_to_another_host_is_not_followed(
    syncs: Syncs, host: GitServer, bystander: GitServer
) -> None:
    """Nothing is asked of the place that a host redirects to."""
    job = await syncs.sync(f"{host.url}/away/code")

    assert bystander.requests == []
    assert code_of(job) == "NET-006"


async def test_alternates_of_another_host_are_not_read(
    syncs: Syncs, host: GitServer, bystander: GitServer, repository: Repository
) -> None:
    """A repository of plain files has its own objects only, whatever others it names."""
    repository.git("update-server-info")
    hollow = repository.path.parent / "hollow"
    shutil.copytree(repository.path / ".git", hollow)
    shutil.rmtree(hollow / "objects")
    (hollow / "objects" / "info").mkdir(parents=True)
    named = f"{bystander.url}/dumb/code/.git/objects\n"
    (hollow / "objects" / "info" / "http-alternates").write_text(named)

    job = await syncs.sync(f"{host.url}/dumb/hollow")

    assert "/dumb/hollow/objects/info/http-alternates" in host.requests
    assert bystander.requests == []
    assert job.status is JobStatus.FAILED


async def test_a_bundle_of_another_host_is_not_fetched(
    tmp_path: Path, host: GitServer, bystander: GitServer, may_block: None
) -> None:
    """A git that begins with a bundle gets none from elsewhere: this stands for what it may learn.

    This git takes bundles in a clone only, which no sync makes; later ones do in a fetch.
    """
    url = f"{host.url}/git/code"
    remote = RemoteRules(allowed_hosts=frozenset({f"127.0.0.1:{host.port}"})).read(url)
    access = Access(remote=remote, source=url, addresses=["127.0.0.1"])
    options = [part for option in configure(access, 60) for part in ("-c", option)]
    bundle = f"--bundle-uri={bystander.url}/status/200"

    cloned = await Children("test:1").execute(
        ["git", *options, "clone", "--bare", bundle, "--", url, str(tmp_path / "cloned")],
        timeout=60,
        env=make_environment(access, MEMORY_BYTES),
    )

    assert bystander.requests == []
    assert cloned.returncode == 0, cloned.stderr
    assert "failed to download bundle" in cloned.stderr


async def test_a_submodules_host_is_let_in_for_itself_alone(
    settings: Settings,
    host: GitServer,
    bystander: GitServer,
    repository: Repository,
    may_block: None,
) -> None:
    """The host of a submodule cannot make us ask the host of the repository for something."""
    both = tuple(f"127.0.0.1:{server.port}" for server in (host, bystander))
    outer = Repository(repository.path.parent / "outer")
    outer.write({".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {host.url}/uris/code\n'})
    outer.git("add", "--all")
    commit = repository.git("rev-parse", "HEAD")
    outer.git("update-index", "--add", "--cacheinfo", f"160000,{commit},s")
    outer.git("commit", "-qm", "module")

    async with syncing(attrs.evolve(settings, git_allowed_hosts=both)) as syncs:
        job = await syncs.sync(f"{bystander.url}/git/outer")

    assert any(path.startswith("/uris/code/") for path in host.requests)
    assert "/status/200" not in bystander.requests
    assert "SUBMODULE_LEFT_OUT" in [warning.code for warning in job.warnings]


@pytest.mark.parametrize("name", ["a" * 50_000, "\x1b[31mred", "\u202egpj", "-x", "a..b", "HEAD"])
async def test_the_default_branch_is_named_only_by_a_name(
    syncs: Syncs, host: GitServer, name: str
) -> None:
    """A word that is no branch name is not kept; the commit that HEAD names is synced."""
    host.default_branch = name.encode()

    job = await syncs.sync(f"{host.url}/named/code")
    project = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)

    assert job.status is JobStatus.COMPLETED, job.error
    assert project is not None
    assert project.default_branch is None


async def test_an_ordinary_default_branch_is_kept(syncs: Syncs, host: GitServer) -> None:
    """A remote's own word for its branch stands in the project, also in other scripts."""
    host.default_branch = "größe/x".encode()

    await syncs.sync(f"{host.url}/named/code")
    project = await syncs.jobs.persistence.projects.load_project(ALICE, PROJECT)

    assert project is not None
    assert project.default_branch == "größe/x"
