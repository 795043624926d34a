"""Room on the disk: how much there is, and whether that is little."""

import shutil
from pathlib import Path

from cidx_jobs.model.findings import ServerWarning

LOW = "disk_low"


def free_bytes_of(folder: Path) -> int | None:
    """Return the room on the file system of a folder; None where nothing tells. Blocks."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def find_shortage(folder: Path, min_free_bytes: int) -> ServerWarning | None:
    """Return that there is less room than the operator wants; None where there is more. Blocks."""
    free = free_bytes_of(folder)
    if free is None or free >= min_free_bytes:
        return None
    message = f"{free:,} bytes are free on the disk, less than min_free_bytes ({min_free_bytes:,})"
    return ServerWarning(code=LOW, message=message)
