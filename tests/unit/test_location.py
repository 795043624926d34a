"""Whether a data directory is the one that was served before, or a copy of it."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.location import (
    Location,
    decode_location,
    encode_location,
    find_location,
)
from cidx_jobs.store.sqlite.open.owner_lock import take_ownership

BEFORE = Location(inode=12, generation=7, device=64, filesystem=99, boot="monday", path="/data")
REBOOTED: dict[str, Any] = {"boot": "tuesday"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="started again"),
        pytest.param({"path": "/renamed"}, id="renamed"),
        pytest.param({"path": "/elsewhere/data"}, id="bind mount"),
        pytest.param({"device": 65}, id="mounted anew"),
        pytest.param(REBOOTED, id="rebooted"),
        pytest.param(REBOOTED | {"device": 65, "filesystem": 98}, id="disks renumbered"),
    ],
)
def test_it_is_the_same_directory(changes: dict[str, Any]) -> None:
    """What happens to a directory that stays itself."""
    assert msgspec.structs.replace(BEFORE, **changes).is_same_as(BEFORE)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"inode": 13, "path": "/copy"}, id="copy"),
        pytest.param({"inode": 13}, id="copy in place of the original"),
        pytest.param({"generation": 8}, id="restored, with the inode's number used again"),
        pytest.param({"device": 65, "path": "/copy"}, id="other disk, same number of the inode"),
        pytest.param({"device": 65, "filesystem": 98}, id="other disk, seen at the same path"),
        pytest.param(
            {"device": 65, "path": "/snapshot", "boot": "monday"}, id="snapshot of the disk"
        ),
        pytest.param(REBOOTED | {"path": "/copy"}, id="same disk, other boot and path"),
        pytest.param(REBOOTED | {"inode": 13}, id="copied while the machine was off"),
    ],
)
def test_it_is_another_directory(changes: dict[str, Any]) -> None:
    """What makes a copy, even where numbers happen to agree."""
    assert not msgspec.structs.replace(BEFORE, **changes).is_same_as(BEFORE)


def test_without_a_lasting_name_of_the_file_system_its_device_decides() -> None:
    """Nothing tells a file system that was mounted anew from another one at its place."""
    nameless = msgspec.structs.replace(BEFORE, filesystem=0)

    assert nameless.is_same_as(nameless)
    assert not msgspec.structs.replace(nameless, device=65).is_same_as(nameless)


def test_a_location_is_remembered_as_text() -> None:
    """What was written is read again; what is no location is none."""
    assert decode_location(encode_location(BEFORE)) == BEFORE
    assert [decode_location(text) for text in (None, "", "{}", '{"inode":"x"}')] == [None] * 4


def test_a_rename_keeps_the_lock_and_a_copy_has_another(tmp_path: Path) -> None:
    """As the file system tells it; the path is the real one."""

    def locate(root: Path) -> Location:
        ownership = take_ownership(DataDirectory(root))
        ownership.release()
        return ownership.location

    first = locate(tmp_path / "data")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    linked = locate(tmp_path / "link")
    (tmp_path / "data").rename(tmp_path / "renamed")
    renamed, other = locate(tmp_path / "renamed"), locate(tmp_path / "data")

    assert linked == first
    assert renamed == msgspec.structs.replace(first, path=str(tmp_path / "renamed"))
    assert first.boot
    assert renamed.is_same_as(first)
    assert not other.is_same_as(first)
    assert (renamed.lock, other.lock == first.lock) == (first.lock, False)


def test_a_file_system_that_knows_no_generation_is_served(tmp_path: Path) -> None:
    """A device file stands for it: it answers no such question."""
    descriptor = os.open("/dev/null", os.O_RDWR)
    try:
        found = find_location(descriptor, tmp_path)
    finally:
        os.close(descriptor)

    assert found.generation == 0
