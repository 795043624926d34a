"""A secret key in a file of the data directory, for this user alone."""

import contextlib
import os
import secrets
from pathlib import Path

from cidx_jobs.settings.data_directory import make_private_directory

_KEY_BYTES = 32
_SPELT = 2 * _KEY_BYTES


def ensure_key(path: Path) -> bytes:
    """Return the 32 bytes of the key in the file, made where there is none; blocks for a moment.

    A file that holds no key of ours is replaced: what was signed or encrypted by it is lost then.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        text = path.read_text("ascii").strip()
        if len(text) == _SPELT:
            return bytes.fromhex(text)
    key = secrets.token_bytes(_KEY_BYTES)
    make_private_directory(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return key
