"""Documents to bytes and back, and the digest by which two requests are the same."""

import hashlib
from typing import Annotated, Any, Self, TypeVar

import msgspec

from cidx_jobs.model.foreign import plain_text
from cidx_jobs.model.job.packed import PackedObject, unpacked
from cidx_jobs.wire.member_rules import about

D = TypeVar("D")

NextCursor = Annotated[str | None, about("Brings the next page; null where there is none.")]
"""What every page of a list ends with."""

_encoder = msgspec.json.Encoder(enc_hook=unpacked)
_canonical = msgspec.json.Encoder(order="deterministic")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all documents: values whose members are written in their order.

    Not attrs: msgspec would write the members of slotted attrs classes in alphabetical order,
    and making and writing these is the better part of what an answer costs.
    """

    @classmethod
    def like(cls, value: object, **others: Any) -> Self:
        """Return the document of a value: its members of the same names, and *others* as given.

        Raises:
            AttributeError: the value lacks a member that is not among the others.
        """
        names = (name for name in cls.__struct_fields__ if name not in others)
        return cls(**{name: getattr(value, name) for name in names}, **others)


def encode(document: Any) -> bytes:
    """Return a document as JSON.

    Text that no UTF-8 can hold (a lone surrogate, as in a file name that is no text) is written
    with question marks in its place.
    """
    try:
        return _encoder.encode(document)
    except UnicodeEncodeError:
        return _encoder.encode(_encodable(msgspec.to_builtins(document, enc_hook=_as_dict)))


def _as_dict(value: Any) -> Any:
    return dict(value) if isinstance(value, PackedObject) else unpacked(value)


def decode(body: bytes, kind: type[D]) -> D:
    """Return the document of the *kind* that the JSON text holds; unknown members are ignored.

    Raises:
        msgspec.DecodeError: it is no JSON, or not of that kind.
    """
    return msgspec.json.decode(body, type=kind)


def fingerprint(method: str, path: str, body: Any) -> str:
    """Return the digest of a request: the same for the same method, path and JSON value.

    Members may stand in any order (RFC 8785 is the model); 1 and 1.0 are two values.
    """
    digest = hashlib.sha256(f"{method} {path}\n".encode())
    digest.update(_canonical.encode(body))
    return digest.hexdigest()


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return plain_text(value, None)
        case dict():
            return {_encodable(name): _encodable(member) for name, member in value.items()}
        case list() | tuple():
            return [_encodable(member) for member in value]
        case _:
            return value
