"""Packs made object by object, with what no git would write, and the answers that carry them."""

import hashlib
import struct
import zlib
from collections.abc import Iterable

import attrs

FLUSH, DELIMITER = b"0000", b"0001"

_TYPES = {"commit": 1, "tree": 2, "blob": 3}
_DELTA_OF_AN_OFFSET = 6
_BAND_PACK, _BAND_PROGRESS = b"\1", b"\2"
_LONGEST_PIECE = 65_515
_MEBIBYTE = 1024 * 1024


@attrs.define
class MadePack:
    """A pack that grows by the objects that are added to it."""

    head: str = attrs.field(default="", init=False)
    """The commit that a remote with this pack shows."""
    end: bytes = attrs.field(default=FLUSH, init=False)
    """What comes behind it on the wire."""
    _entries: list[bytes] = attrs.field(factory=list, init=False)

    def add(self, kind: str, data: bytes) -> str:
        """Add an object and return its name."""
        self._entries.append(_head(_TYPES[kind], len(data)) + zlib.compress(data))
        return name_of(kind, data)

    def add_tree(self, entries: Iterable[tuple[str, bytes, str]]) -> str:
        """Add a tree of (mode, name, object), in the order given."""
        return self.add("tree", b"".join(tree_entry(*entry) for entry in entries))

    def commit(self, tree: str, message: str = "made") -> str:
        """Add a commit of *tree*, and let it be the head."""
        who = "a <a@example.org> 1700000000 +0000"
        text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n"
        self.head = self.add("commit", text.encode())
        return self.head

    def add_zeros(self, kind: str, mebibytes: int) -> None:
        """Add an object of so many zeros, which takes a thousandth of them."""
        squeezed = zlib.compressobj(9)
        parts = [squeezed.compress(bytes(_MEBIBYTE)) for _ in range(mebibytes)]
        head = _head(_TYPES[kind], mebibytes * _MEBIBYTE)
        self._entries.append(head + b"".join(parts) + squeezed.flush())

    def add_delta_on_the_last(self, base_bytes: int) -> None:
        """Add an object that is the first hundred bytes of the one added last."""
        back = _offset(len(self._entries[-1]))
        delta = _number(base_bytes) + _number(100) + bytes([0x90, 100])
        head = _head(_DELTA_OF_AN_OFFSET, len(delta))
        self._entries.append(head + back + zlib.compress(delta))

    @property
    def data(self) -> bytes:
        """The pack, as it goes over the wire."""
        body = b"PACK" + struct.pack(">II", 2, len(self._entries)) + b"".join(self._entries)
        return body + hashlib.sha1(body).digest()  # noqa: S324 - git's own name for a pack


def name_of(kind: str, data: bytes) -> str:
    """Return git's name for an object."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()  # noqa: S324 - git's


def tree_entry(mode: str, name: bytes, named: str) -> bytes:
    """Return one entry of a tree."""
    return f"{mode} ".encode() + name + b"\0" + bytes.fromhex(named)


def line(data: bytes) -> bytes:
    """Return *data* as one line of git's protocol."""
    return b"%04x" % (len(data) + 4) + data


def advertise() -> bytes:
    """Return the answer to the first question of a client."""
    told = (b"version 2", b"agent=git/2.39", b"ls-refs", b"fetch=shallow", b"object-format=sha1")
    return line(b"# service=git-upload-pack\n") + FLUSH + b"".join(map(line, told)) + FLUSH


def list_refs(pack: MadePack) -> bytes:
    """Return the answer to a client that asks for refs."""
    head = pack.head.encode()
    named = line(head + b" HEAD symref-target:refs/heads/main\n")
    return named + line(head + b" refs/heads/main\n") + FLUSH


def send(pack: MadePack, asked: bytes, progress: bytes = b"") -> bytes:
    """Return the answer to a client that fetches, with *progress* before the pack."""
    begun = b""
    if b"done" not in asked:
        begun = line(b"acknowledgments\n") + line(b"ready\n") + DELIMITER
    if b"deepen" in asked:
        begun += line(b"shallow-info\n") + line(b"shallow " + pack.head.encode()) + DELIMITER
    pieces = [*_cut(_BAND_PROGRESS, progress), *_cut(_BAND_PACK, pack.data)]
    return begun + line(b"packfile\n") + b"".join(map(line, pieces)) + pack.end


def _cut(band: bytes, data: bytes) -> list[bytes]:
    starts = range(0, len(data), _LONGEST_PIECE)
    return [band + data[start : start + _LONGEST_PIECE] for start in starts]


def _head(number: int, size: int) -> bytes:
    first, size = (number << 4) | (size & 15), size >> 4
    return bytes([first | 0x80]) + _number(size) if size else bytes([first])


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _offset(value: int) -> bytes:
    written = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        written.append(value & 0x7F | 0x80)
    return bytes(reversed(written))
