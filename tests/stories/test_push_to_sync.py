"""A user pushes to their git server, and finds what they pushed without touching anything."""

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from cidx_jobs.model.listing import JobQuery
from cidx_jobs.settings import Settings
from cidx_jobs.web.app import create_app
from tests.sync_kit import ALICE, PROJECT, WAIT_SECONDS, Repository, sync_settings, syncing

# It runs git some thirty times.
pytestmark = pytest.mark.slow

# What a git server of one's own runs after a push: it signs as GitHub does.
AFTER_PUSH = """\
#!{python} -I
import hashlib, hmac, json, sys, urllib.request

for line in sys.stdin:
    before, after, ref = line.split()
    body = json.dumps({{"ref": ref, "before": before, "after": after}}).encode()
    mark = hmac.new(b"{secret}", body, hashlib.sha256).hexdigest()
    headers = {{"X-Hub-Signature-256": "sha256=" + mark, "Content-Type": "application/json"}}
    urllib.request.urlopen(urllib.request.Request("{url}", body, headers), timeout=10)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings under which repositories below `remotes` may be synced."""
    return sync_settings(tmp_path, auth="tokens")


@pytest.fixture
def work(tmp_path: Path) -> Repository:
    """Give a working copy of a repository with one file, and its bare remote."""
    work = Repository(tmp_path / "work")
    work.commit({"a.py": "first = 1\n"})
    remote = str(tmp_path / "remotes" / "code.git")
    work.git("clone", "--quiet", "--bare", str(work.path), remote)
    work.git("remote", "add", "origin", remote)
    return work


async def test_a_push_is_found_by_a_search(
    tmp_path: Path, settings: Settings, work: Repository
) -> None:
    """A real git server with a hook, a real push, and a search a moment later."""
    remote = tmp_path / "remotes" / "code.git"
    async with syncing(settings) as syncs, TestServer(create_app(syncs.jobs)) as server:
        await syncs.sync(str(remote))
        made = await syncs.jobs.push_hooks.create(ALICE, PROJECT)
        url = server.make_url(f"/hooks/{made.hook.hook_id}")
        script = remote / "hooks" / "post-receive"
        script.write_text(AFTER_PUSH.format(python=sys.executable, secret=made.secret, url=url))
        script.chmod(0o755)
        work.commit({"b.py": "second = 2\n"})

        await asyncio.to_thread(work.git, "push", "--quiet", "origin", "main")
        await syncs.jobs.wait_until_idle(timeout=WAIT_SECONDS)
        found = await syncs.search("second")
        jobs = await syncs.jobs.manager.query_jobs(JobQuery(user_id=ALICE))

    assert found == [("b.py", 1, "second = 2")]
    assert len(jobs.jobs) == 2
