"""The model of a disk for power cuts: what was flushed stays, and of the rest anything is left."""

from collections.abc import Sequence
from random import Random

from torture.volatile_disk import VolatileDisk

IMAGES = 200


def disk_after(*records: tuple[object, ...]) -> VolatileDisk:
    """Give a disk on which these calls ended, one each second, the moment they began."""
    disk = VolatileDisk()
    for second, (kind, *rest) in enumerate(records):
        disk.apply((kind, float(second), float(second), *rest))
    return disk


def images(disk: VolatileDisk, name: str) -> set[bytes | None]:
    """Give every content that the file has in some hundred images."""
    choices = (Random(seed) for seed in range(IMAGES))  # noqa: S311 - no secrets
    return {disk.image(one).get(name) for one in choices}


def new_file(content: bytes) -> Sequence[tuple[object, ...]]:
    """Give the calls that make a file and flush it and its name."""
    return (
        ("open", "f", 1, False),
        ("write", 1, 0, content),
        ("flush", 1),
        ("flush names", "."),
    )


def test_what_was_flushed_is_in_every_image() -> None:
    """Its content, and its name."""
    disk = disk_after(*new_file(b"abc"))

    assert images(disk, "f") == {b"abc"}


def test_what_was_not_flushed_may_be_lost_and_may_be_there() -> None:
    """A write after the flush, and a file whose name was never flushed."""
    disk = disk_after(
        *new_file(b"abc"), ("write", 1, 0, b"xyz"), ("open", "g", 2, True), ("flush", 2)
    )

    assert images(disk, "f") == {b"abc", b"xyz"}
    assert images(disk, "g") == {None, b""}


def test_a_write_tears_at_sectors_and_nowhere_else() -> None:
    """Of two sectors either may come alone; what a longer file never got reads as nothing."""
    disk = disk_after(*new_file(b""), ("write", 1, 0, b"a" * 512 + b"b" * 512))

    found = images(disk, "f")

    assert {b"a" * 512 + b"\0" * 512, b"\0" * 512 + b"b" * 512, b""} <= found
    assert all(set(one[:512]) in ({0}, {97}) for one in found if one)


def test_an_older_write_of_a_sector_may_be_the_last_that_came() -> None:
    """And each sector has a version of its own."""
    disk = disk_after(
        *new_file(b"0" * 1024), ("write", 1, 0, b"1" * 1024), ("write", 1, 0, b"2" * 1024)
    )

    found = images(disk, "f")

    assert b"1" * 512 + b"2" * 512 in found
    assert b"2" * 512 + b"0" * 512 in found


def test_a_flush_keeps_what_was_written_before_it_began() -> None:
    """Not what was written while it was under way."""
    disk = disk_after(*new_file(b"0"), ("write", 1, 0, b"1"))
    disk.apply(("flush", 3.5, 9.0, 1))

    assert images(disk, "f") == {b"0", b"1"}


def test_a_new_name_comes_whole() -> None:
    """A file that takes another's place is the one or the other, and whole."""
    disk = disk_after(
        *new_file(b"old"),
        ("open", "draft", 2, False),
        ("write", 2, 0, b"new"),
        ("flush", 2),
        ("rename", "draft", "f"),
    )

    assert images(disk, "f") == {b"old", b"new"}
    assert images(disk, "draft") == {None, b"new"}


def test_a_directory_that_was_just_made_may_be_gone() -> None:
    """Until the one that it lies in is flushed."""
    disk = disk_after(("make directory",), *new_file(b"abc"))
    later = disk_after(("make directory",), *new_file(b"abc"), ("flush names", ".."))

    assert images(disk, "f") == {None, b"abc"}
    assert images(later, "f") == {b"abc"}


def test_a_cut_may_have_come_or_not() -> None:
    """What stood behind it may be there still, or be nothing once the file grows again."""
    disk = disk_after(*new_file(b"x" * 1024), ("resize", 1, 512), ("write", 1, 1024, b"y" * 512))

    found = images(disk, "f")

    assert {b"x" * 1024, b"x" * 512} <= found
    assert b"x" * 512 + b"\0" * 512 + b"y" * 512 in found
