"""JSON objects kept as text until they are read: a twentieth of their values' memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MIN_BYTES = 1_024
"""Shorter ones are left as they are: they take little, and are read more quickly."""


class PackedObject(Mapping[str, Any]):
    """A JSON object that is kept as its text, and read anew whenever somebody looks into it.

    ``[{}, {}, {}]`` takes twenty times its text in memory: 60 KB of a request become 1.5 MB,
    which a job that waits for a year would keep.
    """

    __slots__ = ("text",)
    __hash__ = None  # type: ignore[assignment] # as a dictionary, which it stands for

    def __init__(self, text: bytes) -> None:
        """Keep the text of a JSON object."""
        self.text: bytes = text

    def __getitem__(self, name: str) -> Any:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __bool__(self) -> bool:
        # It would have to be read to tell, and what is empty is never kept so.
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedObject) and self.text == other.text:
            return True
        return isinstance(other, Mapping) and self.read() == dict(other)

    def __repr__(self) -> str:
        return repr(self.read())

    def __copy__(self) -> dict[str, Any]:
        return self.read()

    def __deepcopy__(self, _: Any) -> dict[str, Any]:
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the object, as a new dictionary."""
        found: dict[str, Any] = msgspec.json.decode(self.text)
        return found


def pack(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a JSON object as it is best kept: as its text, if that is long."""
    if not value:
        return value
    text = _encode(value)
    return value if len(text) < MIN_BYTES else PackedObject(text)


def unpacked(value: Any) -> Any:
    """Return what JSON is made of in place of a packed object: a hook for msgspec's encoders.

    Raises:
        NotImplementedError: it is something else that is no JSON.
    """
    if isinstance(value, PackedObject):
        return msgspec.Raw(value.text)
    raise NotImplementedError


_encode = msgspec.json.Encoder(enc_hook=unpacked).encode


def count_bytes(value: Any) -> int:
    """Return how long a value is as JSON text."""
    return len(_encode(value))
