"""nginx and Caddy, where they are installed, in front of a real server, as the examples say."""

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.functional.test_serve import PATIENCE_SECONDS, Server, server

DEPLOY = Path(__file__).parents[2] / "deploy"
CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
# A peer that is listed is passed over in a chain of addresses: a client has to be somebody else.
CLIENT, OTHER_CLIENT = "127.0.0.2", "127.0.0.3"
MEBIBYTE = 1024 * 1024
# Where Debian has nginx, and a user's own path has not.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))

pytestmark = [pytest.mark.slow]


@attrs.frozen
class Front:
    """A server behind a proxy, and a client of the proxy."""

    server: Server
    http: aiohttp.ClientSession
    url: str
    prefix: str
    token: str

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Ask through the proxy, as the administrator; a path has the prefix."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.http.request(method, self.url + path, headers=headers, **more)


def read_example(name: str, upstream: str, prefix: str, *, tells_prefix: bool) -> str:
    """Return an example with the server's address, or as it says that it is without a path."""
    text = (DEPLOY / EXAMPLES[name]).read_text("utf-8").replace("127.0.0.1:8095", upstream)
    if not prefix:
        text = text.replace("handle_path /cidx/*", "handle").replace("/cidx/", "/")
    if not prefix or not tells_prefix:
        text = re.sub(r"^.*X-Forwarded-Prefix /cidx.*$", "", text, flags=re.MULTILINE)
    return text


def write_nginx(folder: Path, port: int, example: str) -> list[str]:
    """Write what listens at a port of this machine; return the command that runs it."""
    example = example.replace("listen 443", f"listen 127.0.0.1:{port}")
    example = re.sub(r"(ssl_certificate(?:_key)?) .*;", rf"\1 {CERTIFICATE};", example)
    places = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; worker_processes 1;\n"
        "events { worker_connections 64; }\n"
        f"http {{ access_log off; {places}\n{example} }}\n",
        "utf-8",
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def write_caddy(folder: Path, port: int, example: str) -> list[str]:
    """Write what listens at a port of this machine; return the command that runs it."""
    here = f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {CERTIFICATE} {CERTIFICATE}"
    example = example.replace("jobs.example.org {", here)
    (folder / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{example}", "utf-8"
    )
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


EXAMPLES = {"nginx": "nginx.conf", "caddy": "Caddyfile"}
PROXIES = {"nginx": write_nginx, "caddy": write_caddy}


@contextlib.asynccontextmanager
async def running_proxy(name: str, example: str) -> AsyncIterator[str]:
    """Run a proxy by an example until the end of the block; give where it listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    folder = make_open_folder()
    command = PROXIES[name](folder, port, example)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, "PATH": PATH, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await listens(port):
                assert process.returncode is None, (folder / "log").read_text("utf-8")
                await asyncio.sleep(0.02)
        yield f"https://localhost:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(folder)


def make_open_folder() -> Path:
    """Make a folder that everybody may enter: nginx, started as root, works as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="proxy-"))
    folder.chmod(0o755)
    return folder


async def listens(port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@contextlib.asynccontextmanager
async def client_at(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that comes from an address of this machine."""
    connector = aiohttp.TCPConnector(
        local_addr=(address, 0), ssl=ssl.create_default_context(cafile=str(CERTIFICATE))
    )
    async with aiohttp.ClientSession(connector=connector) as http:
        yield http


@contextlib.asynccontextmanager
async def open_front(
    folder: Path, proxy: str, prefix: str, *, tells_prefix: bool = True, **settings: str
) -> AsyncIterator[Front]:
    """Run a server behind a proxy."""
    if shutil.which(proxy, path=PATH) is None:
        pytest.skip(f"there is no {proxy}")
    given = {"auth": "tokens", "proxy_peers": "127.0.0.1"} | settings
    async with server(folder / "data", **given) as running:
        upstream = running.url.partition("//")[2]
        example = read_example(proxy, upstream, prefix, tells_prefix=tells_prefix)
        async with running_proxy(proxy, example) as url, client_at(CLIENT) as http:
            token = (folder / "data" / "admin.token").read_text("utf-8").strip()
            yield Front(running, http, url, prefix, token)


EACH = pytest.mark.parametrize("proxy", PROXIES)


@EACH
@pytest.mark.parametrize("prefix", ["/cidx", ""], ids=["prefix", "root"])
async def test_all_goes_through_a_proxy_as_it_is(tmp_path: Path, proxy: str, prefix: str) -> None:
    """Links lead back through it, pushes may be large, polls and streams are not kept back."""
    async with open_front(tmp_path, proxy, prefix) as front:
        (first, _), (other, place) = await submit_two(front)
        following = await find_next_page(front)
        async with front.ask("GET", following) as answer:
            (listed,) = (await answer.json())["jobs"]
        push = io.BytesIO(b" " * 2 * MEBIBYTE)
        async with front.ask("POST", f"{prefix}/hooks/none", data=push) as answer:
            pushed = json.loads(await answer.text())
        async with front.ask("GET", f"{prefix}/docs") as answer:
            page = answer.status
        streamed, ended = await cancel_while_followed(front, other["links"]["self"])

    assert place == other["links"]["self"] == f"{prefix}/api/jobs/{other['job_id']}"
    assert following.startswith(f"{prefix}/api/jobs?")
    assert listed["job_id"] == first["job_id"]
    assert (pushed["code"], page) == ("hook_not_found", 200)
    assert b"event: end" in streamed
    assert ended["status"] == "cancelled"


@EACH
async def test_addresses_are_the_clients_and_the_public_url_is_enough(
    tmp_path: Path, proxy: str
) -> None:
    """Whatever a client writes in front of its address, and where no prefix is told."""
    settings = {
        "public_url": "https://jobs.example.org/cidx",
        "rate_limit_per_second": "0.001",
        "rate_limit_burst": "3",
    }
    async with open_front(tmp_path, proxy, "/cidx", tells_prefix=False, **settings) as front:
        _, (other, place) = await submit_two(front)
        following = await find_next_page(front)
        forged = {"Authorization": "Bearer no", "X-Forwarded-For": "203.0.113.9"}
        statuses = [await find_status(front, front.http, forged) for _ in range(4)]
        async with client_at(OTHER_CLIENT) as http:
            others = await find_status(front, http, forged)
        refused = await front.server.until_logged("token_refused")

    assert place == f"/cidx/api/jobs/{other['job_id']}"
    assert following.startswith("/cidx/api/jobs?")
    assert (statuses, others) == ([401, 401, 401, 429], 401)
    assert refused["address"] == CLIENT


async def submit_two(front: Front) -> list[tuple[Any, str]]:
    """Submit two jobs that run until they are ended; give each with its `Location`."""
    made = []
    for project in ("a", "b"):
        body = {"job_type": "linger", "project_id": project}
        async with front.ask("POST", f"{front.prefix}/api/jobs", json=body) as answer:
            assert answer.status == 202, await answer.text()
            made.append((await answer.json(), answer.headers["Location"]))
    return made


async def find_next_page(front: Front) -> str:
    """Return what the header `Link` of the first page of jobs says."""
    async with front.ask("GET", f"{front.prefix}/api/jobs?limit=1") as answer:
        link: str = answer.headers["Link"]
    return link.partition("<")[2].partition(">")[0]


async def find_status(
    front: Front, http: aiohttp.ClientSession, headers: Mapping[str, str]
) -> int:
    """Return the status of an answer to a list."""
    async with http.get(f"{front.url}{front.prefix}/api/jobs", headers=headers) as answer:
        return answer.status


async def cancel_while_followed(front: Front, path: str) -> tuple[bytes, Any]:
    """Cancel a job; give what its stream and a long poll, begun before, have brought."""
    async with front.ask("GET", f"{path}?wait=20&until=status&since=2") as answer:
        running = await answer.json()
    assert running["status"] == "running"
    stream = front.ask("GET", f"{path}/events", headers={"Accept": "text/event-stream"})
    async with stream as events, asyncio.timeout(PATIENCE_SECONDS):
        assert b"snapshot" in await events.content.readline()
        poll = asyncio.create_task(read_to_the_end(front, path, running["version"]))
        async with front.ask("POST", f"{path}/cancel") as answer:
            assert answer.status == 202
        return await events.content.read(), await poll


async def read_to_the_end(front: Front, path: str, version: int) -> Any:
    """Wait in the server until the job is done."""
    async with front.ask("GET", f"{path}?wait=50&since={version}&until=done") as answer:
        return await answer.json()
