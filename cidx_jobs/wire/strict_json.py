"""Strict reading of request bodies: what two JSON parsers could take differently is refused."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from cidx_jobs.model.errors import Fault, RequestError, ValidationError, pointer_step
from cidx_jobs.model.foreign import MAX_DEPTH, MAX_WHOLE, MIN_WHOLE, plain_text
from cidx_jobs.wire.encode import Document

B = TypeVar("B", bound=Document)

_MAX_DIGITS = 19
"""More than so many digits are no number of 64 bits, and are not even read."""
_MAX_SHOWN = 80
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_NO_SCALARS = re.compile("[\x00\ud800-\udfff]")


class MalformedBodyError(RequestError):
    """A body cannot be read as JSON in the one way there should be."""

    code = "malformed_body"


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*; an empty body is the same as ``{}``.

    Refused are, besides what is no JSON: a byte order mark, text that is not UTF-8, doubled
    members, NaN and infinities, whole numbers beyond 64 bits, numbers that no double can hold,
    more than 32 levels, NUL and lone surrogates (RFC 7493 says why).

    Raises:
        MalformedBodyError: it cannot be read so.
        ValidationError: it is no object.
    """
    if not body:
        return {}
    value = _read(body)
    if not isinstance(value, dict):
        raise ValidationError.at("", "it must be an object")
    return value


def fit(kind: type[B], members: Mapping[str, Any]) -> B:
    """Return the body of the *kind* that has these members; no others, unless it ignores them.

    Raises:
        ValidationError: with every wrong, missing and unknown member.
    """
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise ValidationError(_faults(kind, members)) from error


def _read(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8 (byte {error.start})"
        raise MalformedBodyError(message, byte=error.start) from error
    if text.startswith("\ufeff"):
        message = "the body begins with a byte order mark"
        raise MalformedBodyError(message)
    _check_depth(text)
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        message = f"the body is not JSON: {error.msg} (character {error.pos})"
        raise MalformedBodyError(message, character=error.pos) from error
    # Only an escape can bring one of these in: raw ones are no JSON, or no UTF-8.
    if "\\u" in text and any(map(_NO_SCALARS.search, _texts(value))):
        message = "the body holds NUL or half of a surrogate pair"
        raise MalformedBodyError(message)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        depth += _STEPS.get(token.group(), 0)
        if depth > MAX_DEPTH:
            message = f"the body is more than {MAX_DEPTH} levels deep"
            raise MalformedBodyError(message, limit=MAX_DEPTH)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        message = f"the body has the member {plain_text(twice, _MAX_SHOWN)!r} twice"
        raise MalformedBodyError(message, member=plain_text(twice, _MAX_SHOWN))
    return members


def _whole(text: str) -> int:
    value = int(text) if len(text.lstrip("-")) <= _MAX_DIGITS else MAX_WHOLE + 1
    if not MIN_WHOLE <= value <= MAX_WHOLE:
        message = "the body has a whole number beyond -2^63 to 2^63-1"
        raise MalformedBodyError(message, number=text[:_MAX_SHOWN])
    return value


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(text[:40])
    return value


def _refuse(text: str) -> NoReturn:
    message = f"the body has a number that JSON has not: {text}"
    raise MalformedBodyError(message, number=text)


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_refuse
)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def _faults(kind: type[Document], members: Mapping[str, Any]) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = members.keys() - fields.keys()
    for name in sorted(unknown) if kind.__struct_config__.forbid_unknown_fields else ():
        yield Fault(_pointer(plain_text(name, _MAX_SHOWN)), "there is no such member")
    for name, field in fields.items():
        if name in members:
            yield from _misfit(name, members[name], field.type)
        elif field.required:
            yield Fault(_pointer(name), "it is required")


def _misfit(name: str, value: Any, kind: Any) -> Iterator[Fault]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if isinstance(value, dict) and _is_of_an_entry(error):
            for key, member in value.items():
                yield from _misfit_entry(name, key, member, kind)
        else:
            yield _told(error, _pointer(name))


def _misfit_entry(name: str, key: str, member: Any, kind: Any) -> Iterator[Fault]:
    try:
        msgspec.convert({key: member}, kind)
    except msgspec.ValidationError as error:
        if _is_of_an_entry(error):
            yield _told(error, _pointer(name) + _pointer(plain_text(key, _MAX_SHOWN)))


def _is_of_an_entry(error: msgspec.ValidationError) -> bool:
    """Tell whether it is about an entry of a map: msgspec does not say of which."""
    return "`$[...]" in str(error)


def _told(error: msgspec.ValidationError, pointer: str) -> Fault:
    fault = Fault.told_by_msgspec(error, pointer)
    return Fault(fault.pointer, fault.message.replace("`", ""))


def _pointer(name: str) -> str:
    """Return the JSON pointer of a member, below what holds it."""
    return f"/{pointer_step(name)}"
