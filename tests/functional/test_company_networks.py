"""Syncs inside a company: a proxy, a CA of its own, credentials by path, and ssh; all real."""

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.git_server import GitServer, serving_git
from tests.proxy import proxying
from tests.sync_kit import Repository, Syncs, sync_settings

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

NAME = "git.corp.example"
"""A name that only the proxy knows."""
CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
BASIC = "b3BlbjpzZXNhbWU="
"""``open:sesame`` as a header has it."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Know this machine, and no name."""
    if host not in {"127.0.0.1", "localhost"}:
        raise socket.gaierror(host, port)
    return ["127.0.0.1"]


@asynccontextmanager
async def open_syncs(tmp_path: Path, *hosts: str, **values: Any) -> AsyncIterator[Syncs]:
    """Open a system that may reach the hosts."""
    settings = sync_settings(tmp_path, git_allowed_hosts=hosts, **values)
    store = MemoryPersistence()
    indexer = FtsIndexer(DataDirectory(settings.data_dir).projects)
    sync = make_repository_sync(
        settings,
        store.projects,
        indexer,
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=resolve,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        yield Syncs(jobs)
    await indexer.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository that servers show as ``code``."""
    repository = Repository(tmp_path / "served" / "code")
    repository.commit({"a.txt": "inside\n"})
    return repository


@pytest.fixture
async def server(repository: Repository, may_block: None) -> AsyncIterator[GitServer]:
    """Serve the repository by plain http."""
    async with serving_git(repository.path.parent, password=BASIC) as running:
        yield running


@asynccontextmanager
async def serving_tls(repository: Repository) -> AsyncIterator[GitServer]:
    """Serve the repository behind TLS, with a certificate that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serving_git(repository.path.parent, tls=context) as running:
        yield running


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of the operator."""
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


def error_of(job: Job) -> tuple[str, str]:
    """Return the code and the message of a job that failed."""
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    return job.error.code, job.error.message


async def test_a_proxy_looks_the_name_up_and_is_asked_for_nothing_else(
    tmp_path: Path, server: GitServer
) -> None:
    """A host that this server does not know by name is reached; the password is told nowhere."""
    place = f"{NAME}:{server.port}"
    async with (
        proxying({place: server.port}, "clerk:pass word") as proxy,
        open_syncs(
            tmp_path, place, git_proxy=f"http://clerk:pass%20word@127.0.0.1:{proxy.port}"
        ) as syncs,
    ):
        job = await syncs.sync(f"http://{place}/git/code")

    assert job.status is JobStatus.COMPLETED, job.error
    assert {target.split("/")[2] for target in proxy.asked} == {place}
    assert "pass" not in repr(job) + repr(syncs.jobs.settings)


async def test_a_proxy_tunnels_to_a_host_with_a_ca_of_its_own(
    tmp_path: Path, repository: Repository, may_block: None
) -> None:
    """TLS goes through it to the host, whose CA the operator names; without it that is NET-003."""
    ca_file = write(tmp_path / "ca.pem", CERTIFICATE.read_text(), 0o644)
    async with serving_tls(repository) as server:
        place = f"localhost:{server.port}"
        url = f"https://{place}/git/code"
        async with proxying({place: server.port}, "clerk:word") as proxy:
            proxied = {"git_proxy": f"http://clerk:word@127.0.0.1:{proxy.port}"}
            async with open_syncs(tmp_path / "a", place, git_ca_file=ca_file, **proxied) as syncs:
                trusted = await syncs.sync(url)
            async with open_syncs(tmp_path / "b", place, **proxied) as syncs:
                refused = await syncs.sync(url)

    assert trusted.status is JobStatus.COMPLETED, trusted.error
    assert set(proxy.asked) == {f"CONNECT {place}"}
    assert error_of(refused)[0] == "NET-003"
    assert refused.error is not None
    assert any("git_ca_file" in action for action in refused.error.actions)


@pytest.mark.parametrize(
    ("refusal", "code"), [("403 Forbidden", "CFG-007"), ("502 Bad Gateway", "NET-002")]
)
async def test_what_a_proxy_refuses_is_told(
    tmp_path: Path, refusal: str, code: str, may_block: None
) -> None:
    """A host that it may not or cannot reach."""
    place = "localhost:8443"
    async with proxying({}) as proxy:
        proxy.refuses = refusal
        url = f"http://127.0.0.1:{proxy.port}"
        async with open_syncs(tmp_path, place, git_proxy=url) as syncs:
            job = await syncs.sync(f"https://{place}/code")

    assert error_of(job)[0] == code
    assert "proxy" in error_of(job)[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_is_told(
    tmp_path: Path, scheme: str, may_block: None
) -> None:
    """It is the operator's to mend, not the user's."""
    place = "localhost:8443"
    async with proxying({}, "clerk:right") as proxy:
        url = f"http://clerk:wrong@127.0.0.1:{proxy.port}"
        async with open_syncs(tmp_path, place, git_proxy=url) as syncs:
            job = await syncs.sync(f"{scheme}://{place}/code")

    assert error_of(job)[0] == "CFG-007"
    assert "wrong" not in repr(job)


async def test_the_variables_of_the_environment_name_a_proxy_and_its_exceptions(
    tmp_path: Path, repository: Repository, may_block: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY, where the setting is not given; a host of NO_PROXY is spoken to directly."""
    ca_file = write(tmp_path / "ca.pem", CERTIFICATE.read_text(), 0o644)
    async with serving_tls(repository) as server, proxying({}) as proxy:
        place = f"localhost:{server.port}"
        url = f"https://{place}/git/code"
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with open_syncs(tmp_path / "a", place, git_ca_file=ca_file) as syncs:
            through = await syncs.sync(url)
        monkeypatch.setenv("NO_PROXY", "corp.example, localhost")
        async with open_syncs(tmp_path / "b", place, git_ca_file=ca_file) as syncs:
            past = await syncs.sync(url)

    assert error_of(through)[0] == "NET-002"
    assert proxy.asked == [f"CONNECT {place}"]
    assert past.status is JobStatus.COMPLETED, past.error


async def test_a_public_name_that_is_known_to_lead_inside_is_refused_behind_a_proxy_too(
    tmp_path: Path, may_block: None
) -> None:
    """Where the operator lists no hosts; a proxy may well reach what users must not."""

    async def lead_inside(host: str, port: int) -> Sequence[str]:
        assert (host, port) == (NAME, 443)
        return ["10.0.0.7"]

    settings = sync_settings(tmp_path, git_proxy="http://127.0.0.1:9")
    store = MemoryPersistence()
    sync = make_repository_sync(
        settings,
        store.projects,
        FtsIndexer(settings.data_dir),
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=lead_inside,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        job = await Syncs(jobs).sync(f"https://{NAME}/code")

    assert error_of(job)[0] == "NET-005"


async def test_of_credentials_the_longest_path_counts(tmp_path: Path, server: GitServer) -> None:
    """Several stand for one host; the file is read anew by each run."""
    host = f"127.0.0.1:{server.port}"
    file = write(
        tmp_path / "credentials",
        f"# of the team\nhttp://open:wrong@{host}\nhttp://open:sesame@{host}/private/code\n",
    )
    async with open_syncs(tmp_path, host, git_credentials=file) as syncs:
        good = await syncs.sync(f"{server.url}/private/code")
        other = await syncs.sync(f"{server.url}/private/codes")
        file.write_text(f"http://open:wrong@{host}\n")
        late = await syncs.sync(f"{server.url}/private/code")
        file.write_text("")
        none = await syncs.sync(f"{server.url}/private/code")

    assert good.status is JobStatus.COMPLETED, good.error
    assert [error_of(job)[0] for job in (other, late, none)] == [
        "AUTH-002",
        "AUTH-002",
        "AUTH-001",
    ]
    assert "refused this server's credential" in error_of(late)[1]
    assert "this server has no credential for it" in error_of(none)[1]
    assert all("git_credentials" in error_of(job)[1] for job in (late, none))
    assert "sesame" not in repr(good)


@pytest.mark.parametrize("mode", [0o644, 0o640])
async def test_a_secret_that_others_may_read_is_not_used(
    tmp_path: Path, server: GitServer, mode: int
) -> None:
    """The setting is named, and the path is not."""
    file = write(tmp_path / "credentials", "", mode)
    async with open_syncs(tmp_path, f"127.0.0.1:{server.port}", git_credentials=file) as syncs:
        job = await syncs.sync(f"{server.url}/private/code")

    code, message = error_of(job)
    assert code == "CFG-006"
    assert "git_credentials may be read by others" in message
    assert str(tmp_path) not in message


@attrs.define
class SshServer:
    """A real sshd for this user."""

    port: int
    host_key: str
    """As known_hosts has it, without the host."""
    key: Path
    """The private key that is let in."""

    @property
    def known_host(self) -> str:
        """Its line in a file of known hosts."""
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    def url(self, repository: Repository) -> str:
        """Return the url of a repository of this machine."""
        return f"ssh://{self.user}@{self.host}{repository.path}"

    @property
    def user(self) -> str:
        """Whom it lets in."""
        return pwd.getpwuid(os.geteuid()).pw_name

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


async def run(*argv: str) -> str:
    """Run a program to its good end; return what it says."""
    child = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, wrong = await child.communicate()
    assert child.returncode == 0, wrong
    return said.decode()


@pytest.fixture
async def ssh_server(tmp_path: Path, may_block: None) -> AsyncIterator[SshServer]:
    """Run sshd; CI installs it (`.ci/run`)."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("there is no sshd here: install openssh-server")
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    for name in ("host", "client"):
        await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name))
    shutil.copy(home / "client.pub", home / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": home / "host",
        "AuthorizedKeysFile": home / "authorized", "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no", "PermitRootLogin": "yes", "PidFile": "none",
    }  # fmt: skip
    config = write(
        home / "config", "".join(f"{name} {value}\n" for name, value in options.items())
    )
    if os.geteuid() == 0:
        # Where it leaves its rights behind; a service manager makes it otherwise.
        await run("mkdir", "-p", "/run/sshd")
    child = await asyncio.create_subprocess_exec(
        sshd, "-D", "-e", "-f", str(config), stderr=asyncio.subprocess.PIPE
    )
    assert child.stderr is not None
    try:
        async with asyncio.timeout(10):
            while b"listening" not in (line := await child.stderr.readline()).lower():
                assert line, "sshd ended"
        reader = asyncio.create_task(child.stderr.read())
        host_key = " ".join((home / "host.pub").read_text().split()[:2])
        yield SshServer(port, host_key, home / "client")
        reader.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def test_ssh_uses_the_operators_key_and_known_hosts(
    tmp_path: Path, repository: Repository, ssh_server: SshServer
) -> None:
    """A host on a port of its own, whose name is hashed in the file; paths may have blanks."""
    folder = tmp_path / "of the operator"
    folder.mkdir()
    key = write(folder / "id 1", ssh_server.key.read_text())
    known = write(
        folder / "known", f"[127.0.0.1]:{ssh_server.port} {ssh_server.host_key}\n", 0o644
    )
    await run("ssh-keygen", "-q", "-H", "-f", str(known))
    assert "127.0.0.1" not in known.read_text()
    files = {"git_ssh": True, "git_ssh_key": key, "git_ssh_known_hosts": known}
    async with open_syncs(tmp_path, ssh_server.host, **files) as syncs:
        job = await syncs.sync(ssh_server.url(repository))

        assert job.status is JobStatus.COMPLETED, job.error
        assert await syncs.search("inside") == [("a.txt", 1, "inside")]


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ("key", ("AUTH-002", "refused this server's key")),
        ("host", ("AUTH-002", "git_ssh_known_hosts")),
        ("mode", ("CFG-006", "git_ssh_key may be read by others")),
        ("file", ("CFG-006", "git_ssh_key is not there")),
    ],
)
async def test_what_ssh_lacks_is_told(
    tmp_path: Path,
    repository: Repository,
    ssh_server: SshServer,
    lacking: str,
    told: tuple[str, str],
) -> None:
    """Whose it is to mend, and where."""
    key = write(tmp_path / "key", ssh_server.key.read_text())
    known = write(tmp_path / "known", ssh_server.known_host)
    match lacking:
        case "key":
            key.unlink()
            await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        case "host":
            known.write_text("")
        case "mode":
            key.chmod(0o644)
        case _:
            key.unlink()
    files = {"git_ssh": True, "git_ssh_key": key, "git_ssh_known_hosts": known}
    async with open_syncs(tmp_path, ssh_server.host, **files) as syncs:
        job = await syncs.sync(ssh_server.url(repository))

    code, message = error_of(job)
    assert code == told[0]
    assert told[1] in message
