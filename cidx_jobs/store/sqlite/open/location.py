"""Location of a data directory: what a copy of it does not have, and a renamed one keeps.

A copy holds the same database, byte for byte. It differs in the inode of its ``owner.lock``, which
the server holds locked for life: no two living servers have the same.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_GET_GENERATION = 0x80087601
"""FS_IOC_GETVERSION of linux/fs.h."""
_GENERATION = struct.Struct("=I4x")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """The lock file of a data directory as the kernel knows it, and when and where it was seen."""

    inode: int
    generation: int
    """Tells a file from a deleted one whose inode number it was given; 0 where nothing tells."""
    device: int
    """Names the file system until the machine starts again or the file system is mounted anew."""
    filesystem: int
    """Names the file system for longer than that, where it has such a name; else 0."""
    boot: str
    path: str

    @property
    def lock(self) -> str:
        """Return the name of the lock file among all files of this machine since its boot."""
        return f"{self.device:x}-{self.inode:x}-{self.generation:x}"

    def is_same_as(self, other: "Location") -> bool:
        """Return whether it is the same directory, perhaps renamed or mounted once more.

        A path alone proves nothing: another directory may have been put in its place. After a
        start of the machine a device's number proves nothing either, and the path has to do.
        """
        if (self.inode, self.generation) != (other.inode, other.generation):
            return False
        if self.boot != other.boot:
            return self.path == other.path
        # Mounted anew, a file system may be given another device number.
        is_one_filesystem = self.filesystem != 0 and self.filesystem == other.filesystem
        is_mounted_anew = self.path == other.path and is_one_filesystem
        return self.device == other.device or is_mounted_anew


def find_location(descriptor: int, root: Path) -> Location:
    """Return where the directory *root* lies, whose open lock file is *descriptor*."""
    status = os.fstat(descriptor)
    return Location(
        inode=status.st_ino,
        generation=_generation(descriptor),
        device=status.st_dev,
        filesystem=os.fstatvfs(descriptor).f_fsid,
        boot=_boot(),
        path=os.path.realpath(root),
    )


def encode_location(location: Location) -> str:
    """Return the text under which the database remembers it."""
    return msgspec.json.encode(location).decode()


def decode_location(text: str | None) -> Location | None:
    """Return the location that the database remembers; None where it knows of none."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Location)
    except msgspec.DecodeError:
        return None


def _generation(descriptor: int) -> int:
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(descriptor, _GET_GENERATION, bytes(_GENERATION.size))
    except OSError:
        # Not every file system has it.
        return 0
    generation: int
    (generation,) = _GENERATION.unpack(answer)
    return generation


def _boot() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
