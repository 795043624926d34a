"""What a running server leaves in the data directory for local commands."""

import contextlib
import json
import os
from pathlib import Path

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.model.ids import UserId
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.tokens import make_token

ADMIN = UserId("admin")


async def ensure_admin_token(directory: DataDirectory, store: TokenStore, clock: Clock) -> None:
    """Make the token that local commands administer the server with, at the first start.

    A file that is there is left alone, also when its token was revoked.
    """
    if await in_own_thread(directory.admin_token.exists):
        return
    text, token = make_token(ADMIN, "admin", now=clock.now(), label="admin.token")
    # In this order a crash between the two leaves a token that nobody knows, not a file that
    # opens nothing.
    await store.save_token(token)
    await in_own_thread(_write_private, directory.admin_token, text + "\n")


async def write_server_file(directory: DataDirectory, url: str) -> None:
    """Say where this server is."""
    text = json.dumps({"url": url, "pid": os.getpid()}) + "\n"
    await in_own_thread(_write_private, directory.server_file, text)


def read_server_url(directory: DataDirectory) -> str | None:
    """Return where the server is that owns the directory, if it says so; it blocks."""
    try:
        return str(json.loads(directory.server_file.read_text("utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def remove_server_file(directory: DataDirectory) -> None:
    """Take that back."""
    await in_own_thread(directory.server_file.unlink, missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    """Put a whole file in place of what is there, readable by its owner only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
