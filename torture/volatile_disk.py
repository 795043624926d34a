"""Model of a disk that honours a flush, and may reorder, tear and lose whatever is not flushed."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

import attrs

from torture.recorded_calls import Record

SECTORS = (512, 4_096)
"""In bytes: what a disk writes as a whole, or not at all."""
_KINDS = ("flushed", "in order", "any", "any", "any", "all")
Kind = Literal["flushed", "in order", "any", "all"]
_SHARES = (0.1, 0.5, 0.9)
"""How likely the newest of what was written to a sector has come to the disk."""


@attrs.frozen
class Change:
    """One change of a file that may not be on the disk."""

    ended: float
    offset: int
    content: bytes | None
    """None where the file was cut, or made longer, to *offset*."""

    def apply(self, content: bytearray) -> None:
        """Make the change."""
        length = self.offset if self.content is None else self.offset + len(self.content)
        if length > len(content):
            content.extend(bytes(length - len(content)))
        if self.content is None:
            del content[self.offset :]
        else:
            content[self.offset : length] = self.content

    def applied_to(self, part: bytes, begin: int, size: int) -> bytes:
        """Return a part of a file, which begins there and has this size at most, changed."""
        changed = bytearray(part.ljust(size, b"\0"))
        if self.content is None:
            keep = max(0, self.offset - begin)
            return bytes(changed[:keep]).ljust(size, b"\0")
        start, end = max(self.offset, begin), min(self.offset + len(self.content), begin + size)
        changed[start - begin : end - begin] = self.content[
            start - self.offset : end - self.offset
        ]
        return bytes(changed)


@attrs.define(eq=False)
class File:
    """One file: what is surely on the disk, and in order what may be."""

    flushed: bytearray = attrs.field(factory=bytearray)
    pending: list[Change] = attrs.field(factory=list)

    @property
    def newest(self) -> bytearray:
        """The content that whoever reads it sees."""
        content = bytearray(self.flushed)
        for change in self.pending:
            change.apply(content)
        return content

    def flush(self, begun: float) -> None:
        """Keep what was written before the flush began."""
        for change in self.pending:
            if change.ended <= begun:
                change.apply(self.flushed)
        self.pending = [change for change in self.pending if change.ended > begun]

    def some(self, random: Random, sector: int, share: float) -> bytes:
        """Return what the disk may hold: of each sector, and of the length, any version."""
        lengths, versions = [len(self.flushed)], dict[int, list[bytes]]()
        longest = lengths[0]
        for change in self.pending:
            end = longest if change.content is None else change.offset + len(change.content)
            for begin in range(change.offset // sector * sector, end, sector):
                known = versions.setdefault(begin, [bytes(self.flushed[begin : begin + sector])])
                known.append(change.applied_to(known[-1], begin, sector))
            is_cut = change.content is None
            lengths.append(change.offset if is_cut else max(lengths[-1], end))
            longest = max(longest, lengths[-1])
        length = random.choice(lengths)
        content = self.flushed[:length].ljust(length, b"\0")
        for begin, known in sorted(versions.items()):
            version = known[-1] if random.random() < share else random.choice(known)
            # What a file was made longer by, and was never written, reads as nothing.
            content[begin : begin + sector] = version.ljust(sector, b"\0")
        return bytes(content[:length])


@attrs.frozen
class Naming:
    """One change of the directory: names that come to stand for a file, or for none."""

    ended: float
    names: Mapping[str, File | None]


@attrs.define
class VolatileDisk:
    """The files of one directory, as records of calls change and flush them."""

    named: dict[str, File] = attrs.field(factory=dict)
    """By the names that whoever looks sees."""
    is_made: bool = True
    """Whether the directory itself would be there."""
    _flushed_names: dict[str, File] = attrs.field(factory=dict)
    _pending_names: list[Naming] = attrs.field(factory=list)
    _by_inode: dict[int, File] = attrs.field(factory=dict)

    def apply(self, record: Record) -> None:
        """Let a call happen."""
        kind, begun, ended, *rest = record
        match kind:
            case "open":
                self._open(ended, *rest)
            case "write":
                self._change(rest[0], Change(ended, *rest[1:]))
            case "resize":
                self._change(rest[0], Change(ended, rest[1], None))
            case "flush":
                if rest[0] in self._by_inode:
                    self._by_inode[rest[0]].flush(begun)
            case "flush names":
                self._flush_names(begun, rest[0])
            case "make directory":
                self.is_made = False
            case _:
                self._rename(ended, kind, *rest)

    def image(self, random: Random) -> Mapping[str, bytes]:
        """Return the files that a cut of the power now may leave, by their names."""
        kind = random.choice(_KINDS)
        if not self.is_made and random.random() < 1 / 2:
            return {}
        match kind:
            case "flushed":
                return {name: bytes(file.flushed) for name, file in self._flushed_names.items()}
            case "all":
                return {name: bytes(file.newest) for name, file in self.named.items()}
            case "in order":
                return self._in_order(random)
            case _:
                return self._any(random)

    def _any(self, random: Random) -> Mapping[str, bytes]:
        sector, share = random.choice(SECTORS), random.choice(_SHARES)
        came = [one for one in self._pending_names if random.random() < share]
        names = self._names_after(came)
        return {name: file.some(random, sector, share) for name, file in names.items()}

    def _in_order(self, random: Random) -> Mapping[str, bytes]:
        """Return what is there if all that is not flushed came in order, up to some moment."""
        files = {*self.named.values(), *self._flushed_names.values()}
        times = [change.ended for file in files for change in file.pending]
        times += [one.ended for one in self._pending_names]
        until = random.choice(times) if times else 0.0
        names = self._names_after([one for one in self._pending_names if one.ended <= until])
        result = {}
        for name, file in names.items():
            content = bytearray(file.flushed)
            for change in file.pending:
                if change.ended <= until:
                    change.apply(content)
            result[name] = bytes(content)
        return result

    def _names_after(self, came: Sequence[Naming]) -> Mapping[str, File]:
        names: dict[str, File | None] = dict(self._flushed_names)
        for naming in came:
            names.update(naming.names)
        return {name: file for name, file in names.items() if file is not None}

    def _open(self, ended: float, name: str, inode: int, was_emptied: bool) -> None:  # noqa: FBT001 - a record's
        if name not in self.named:
            file = self._by_inode[inode] = File()
            self._name(ended, {name: file})
        elif was_emptied:
            self._change(inode, Change(ended, 0, None))

    def _change(self, inode: int, change: Change) -> None:
        if inode in self._by_inode:
            self._by_inode[inode].pending.append(change)

    def _rename(self, ended: float, kind: str, old: str | None, new: str | None = None) -> None:
        file = self.named.get(old) if old is not None else None
        names: dict[str, File | None] = {}
        if old is not None and kind != "link":
            names[old] = None
        if new is not None and file is not None:
            names[new] = file
        self._name(ended, names)

    def _name(self, ended: float, names: Mapping[str, File | None]) -> None:
        self._pending_names.append(Naming(ended, names))
        for name, file in names.items():
            if file is None:
                self.named.pop(name, None)
            else:
                self.named[name] = file

    def _flush_names(self, begun: float, name: str) -> None:
        if name == "..":
            self.is_made = True
            return
        done = [one for one in self._pending_names if one.ended <= begun]
        self._flushed_names = dict(self._names_after(done))
        self._pending_names = [one for one in self._pending_names if one.ended > begun]
