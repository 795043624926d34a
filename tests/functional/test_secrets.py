"""Secrets stand nowhere: in no log line, no row, no backup and no argument (api.md 1.8, 1.11)."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cidx_jobs.cli.root import cidx_jobs
from cidx_jobs.clock import SystemClock
from cidx_jobs.observe.logs import LineHandler, setup_logging
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.functional.web import REPOSITORY, AioClient, House, open_house

pytestmark = pytest.mark.slow

PASSWORD = "correct-horse-battery"
OTHER = "staple-of-another-kind"
HASH = "$2b$04$abcdefghijklmnopqrstuuFI2Q0bYQeSfLpVCPwb8y1XxTj2r5B8K"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Catch what a server writes to its log, at its most talkative."""
    package = logging.getLogger("cidx_jobs")
    before = (package.handlers[:], package.level, package.propagate)
    stream = io.StringIO()
    settings = Settings(log_level="debug", log_format="json", access_log=True)
    setup_logging(settings, stream)
    yield stream
    for handler in package.handlers:
        if isinstance(handler, LineHandler):
            handler.close()
    package.handlers[:], package.propagate = before[0], before[2]
    package.setLevel(before[1])


async def _use_everything(house: House) -> dict[str, str]:
    """Make and use each kind of secret once, rightly and wrongly; return their texts."""

    async def ask(
        method: str, path: str, user: str | None = "root", **more: object
    ) -> dict[str, str]:
        answer = await house.ask(method, path, user=user, **more)
        assert answer.status < 300, (path, await answer.text())
        document: dict[str, str] = await answer.json() if answer.status != 204 else {}
        return document

    found = {"admin's token": house.tokens["root"], "alice's token": house.tokens["alice"]}
    user = {"user_id": "eve", "password": PASSWORD}
    await ask("POST", "/api/admin/users", json=user)
    found["hash"] = HASH
    await ask("POST", "/api/admin/users", json={"user_id": "bea", "password_hash": HASH})
    entry = {"username": "eve", "password": PASSWORD}
    found["login"] = (await ask("POST", "/auth/login", None, json=entry))["access_token"]
    wrong = {"username": "eve", "password": OTHER}
    assert (await house.ask("POST", "/auth/login", user=None, json=wrong)).status == 401
    # A user who typed the password into the wrong field.
    swapped = {"username": PASSWORD, "password": "x" * 8}
    assert (await house.ask("POST", "/auth/login", user=None, json=swapped)).status == 401
    found["new token"] = (await ask("POST", "/api/admin/tokens", json={"user_id": "eve"}))["token"]
    found["unknown token"] = "cidxj_" + "Zy8" * 14 + "Q"
    header = {"Authorization": f"Bearer {found['unknown token']}"}
    assert (await house.ask("GET", "/api/jobs", user=None, headers=header)).status == 401
    header = {"Authorization": f"Bearer {found['login']}x"}
    assert (await house.ask("GET", "/api/jobs", user=None, headers=header)).status == 401
    body = {"project_id": "code", "repository_url": REPOSITORY, "hold": True}
    await ask("POST", "/api/sync", "alice", json=body)
    hook = await ask("POST", "/api/projects/code/hook", "alice")
    found["hook's secret"] = hook["secret"]
    notify = await ask("POST", "/api/notify-secret", "alice")
    found["notices' secret"] = notify["secret"]
    change = {"old": PASSWORD, "new": OTHER}
    header = {"Authorization": f"Bearer {found['login']}"}
    await ask("POST", "/auth/password", None, json=change, headers=header)
    await ask("PATCH", "/api/admin/users/bea", json={"password": OTHER + "!"})
    return {**found, "password": PASSWORD, "new password": OTHER}


async def test_secrets_are_in_no_log_line_and_no_backup(
    aiohttp_client: AioClient, tmp_path: Path, log: io.StringIO
) -> None:
    """Of all that is made and shown once, neither the log nor the store holds the text.

    The files that hold secrets are those that say so, and none of them is in a backup.
    """
    directory = DataDirectory(tmp_path / "data")
    store = JobPersistence(directory, synchronous="NORMAL", clock=SystemClock())

    async with open_house(aiohttp_client, directory.root, [], store) as house:
        secrets = await _use_everything(house)
        answer = await house.ask("POST", "/api/admin/backup", user="root")
        backup = directory.backups / (await answer.json())["file"]
        kept = backup.read_bytes()
        shown = await (await house.ask("GET", "/api/admin/log", user="root")).text()
        files = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}

    lines = log.getvalue()
    assert all(json.loads(line)["event"] for line in lines.splitlines())
    assert {"token_refused", "admin_acted"} <= set(_events(lines))
    for name, text in secrets.items():
        assert text not in lines, name
        assert text not in shown, name
        if name != "hash":
            # Hashes that came from elsewhere are what a password is compared with.
            assert text.encode() not in kept, name
            assert not [path for path, held in files.items() if text.encode() in held], name


def _events(lines: str) -> Iterator[str]:
    return (json.loads(line)["event"] for line in lines.splitlines())


def test_no_argument_takes_a_secret() -> None:
    """Everybody on the machine can read the arguments of a process: secrets come from stdin."""
    words = ("password", "token", "secret", "key")

    def all_options(command: click.Command) -> Iterator[click.Option]:
        yield from (one for one in command.params if isinstance(one, click.Option))
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from all_options(inner)

    found = {
        flag
        for option in all_options(cidx_jobs)
        if not option.is_flag
        for flag in option.opts
        if any(word in flag for word in words)
    }

    assert found == {"--idempotency-key"}
