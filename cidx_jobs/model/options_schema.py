"""A small part of JSON Schema (2020-12): enough for the options of a job.

What is not known here is refused when a schema is given, and never passed over when a document
is checked: a rule that nobody keeps is worse than none.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cidx_jobs.model.errors import Fault, pointer_step

Schema = Mapping[str, Any]
AnySchema = Schema | bool

_DEFINITIONS = "#/$defs/"
_NOTES = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
    | {"format", "readOnly", "writeOnly"}
)
"""Keywords that say something and demand nothing."""


def check_schema(schema: Any) -> None:
    """Look through a schema.

    Raises:
        ValueError: it is no schema, or has a keyword that is not known; the text names it.
    """
    definitions = schema.get("$defs", {}) if isinstance(schema, Mapping) else {}
    _check(schema, definitions)
    for part in definitions.values():
        _check(part, definitions)
    try:
        find_faults(schema, {}, "")
    except RecursionError:
        _refuse("a $ref leads back to itself")


def find_faults(schema: Schema, document: Any, pointer: str) -> list[Fault]:
    """Return what is wrong with the document, each with its JSON pointer.

    Args:
        schema: one that `check_schema` takes.
        document: a JSON value.
        pointer: that of the document itself.
    """
    return list(_Checker(schema.get("$defs", {})).faults(schema, document, pointer))


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "object": lambda value: isinstance(value, Mapping),
        "array": lambda value: isinstance(value, list | tuple),
        "string": lambda value: isinstance(value, str),
        "integer": _is_whole,
        "number": _is_number,
        "boolean": lambda value: isinstance(value, bool),
        "null": lambda value: value is None,
    }
)

_RULES: Mapping[str, tuple[str, Callable[[Any, Any], bool], str]] = MappingProxyType(
    {
        "minimum": ("number", lambda value, least: value >= least, "it must be at least {}"),
        "maximum": ("number", lambda value, most: value <= most, "it must be at most {}"),
        "exclusiveMinimum": ("number", lambda value, low: value > low, "it must be over {}"),
        "exclusiveMaximum": ("number", lambda value, high: value < high, "it must be below {}"),
        "multipleOf": (
            "number",
            lambda value, part: _is_whole(value / part),
            "it must be a multiple of {}",
        ),
        "minLength": ("string", lambda text, least: len(text) >= least, "it is below {} long"),
        "maxLength": ("string", lambda text, most: len(text) <= most, "it is over {} long"),
        "pattern": (
            "string",
            lambda text, pattern: re.search(pattern, text) is not None,
            "it must fit {}",
        ),
        "minItems": ("array", lambda items, least: len(items) >= least, "it has below {} items"),
        "maxItems": ("array", lambda items, most: len(items) <= most, "it has over {} items"),
        "uniqueItems": (
            "array",
            lambda items, wanted: not wanted or not _has_twins(items),
            "its items must differ",
        ),
        "minProperties": (
            "object",
            lambda members, least: len(members) >= least,
            "it has below {} members",
        ),
        "maxProperties": (
            "object",
            lambda members, most: len(members) <= most,
            "it has over {} members",
        ),
    }
)
"""What concerns values of one type: which, whether a value keeps it, and what is said if not."""


def _is_anything(_: Any) -> bool:
    return True


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


_LISTS = ("allOf", "anyOf", "oneOf")
_SHAPES: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number
        ),
        **dict.fromkeys(("minLength", "minItems", "minProperties"), _is_count),
        **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), _is_count),
        **dict.fromkeys(("enum", "required", *_LISTS), _is_list),
        **dict.fromkeys(("properties", "$defs"), _is_mapping),
        "multipleOf": lambda value: _is_number(value) and value > 0,
        "pattern": _is_pattern,
        "uniqueItems": lambda value: isinstance(value, bool),
        "$ref": lambda value: isinstance(value, str),
        "type": lambda value: all(one in _TYPES for one in _names_of_types({"type": value})),
    }
)
"""What the value of a keyword must be; those that hold one schema are looked into."""

_KNOWN = _NOTES | _SHAPES.keys() | {"const", "additionalProperties", "items"}


def _check(schema: Any, definitions: Mapping[str, Any]) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        _refuse(f"{schema!r} is no JSON Schema")
    for unknown in sorted(schema.keys() - _KNOWN):
        _refuse(f"the keyword {unknown} is not supported")
    for name, value in schema.items():
        if not _SHAPES.get(name, _is_anything)(value):
            _refuse(f"{name}: {value!r} is not what belongs there")
    target = schema.get("$ref")
    if target is not None and target.removeprefix(_DEFINITIONS) not in definitions:
        _refuse(f"$ref {target} leads nowhere: only #/$defs/NAME is followed")
    for part in _parts(schema):
        _check(part, definitions)


def _parts(schema: Schema) -> Iterator[Any]:
    yield from schema.get("properties", {}).values()
    for name in ("additionalProperties", "items"):
        if name in schema:
            yield schema[name]
    for name in _LISTS:
        yield from schema.get(name, ())


def _names_of_types(schema: Schema) -> list[Any]:
    names = schema.get("type", [])
    return [names] if isinstance(names, str) else list(names)


def _refuse(message: str) -> None:
    raise ValueError(message)


class _Checker:
    """Checks documents by a schema and those that it refers to."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def faults(self, schema: AnySchema, value: Any, at: str) -> Iterator[Fault]:
        """Return what is wrong with the value that lies there."""
        if isinstance(schema, bool):
            if not schema:
                yield Fault(at, "it may not be there")
            return
        wrong = _own_fault(schema, value)
        if wrong is not None:
            yield Fault(at, wrong)
            return
        if "$ref" in schema:
            target = self._definitions[schema["$ref"].removeprefix(_DEFINITIONS)]
            yield from self.faults(target, value, at)
        yield from self._faults_of_choices(schema, value, at)
        if isinstance(value, Mapping):
            yield from self._faults_of_members(schema, value, at)
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                yield from self.faults(schema.get("items", True), item, f"{at}/{number}")

    def _faults_of_members(
        self, schema: Schema, members: Mapping[str, Any], at: str
    ) -> Iterator[Fault]:
        for name in schema.get("required", ()):
            if name not in members:
                yield Fault(f"{at}/{pointer_step(name)}", "it is required")
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for name, value in members.items():
            place = f"{at}/{pointer_step(name)}"
            if name in known:
                yield from self.faults(known[name], value, place)
            elif others is False:
                yield Fault(place, "there is no such member")
            else:
                yield from self.faults(others, value, place)

    def _faults_of_choices(self, schema: Schema, value: Any, at: str) -> Iterator[Fault]:
        for part in schema.get("allOf", ()):
            yield from self.faults(part, value, at)
        for name in ("anyOf", "oneOf"):
            fitting = sum(self._fits(part, value) for part in schema.get(name, ()))
            if name in schema and (fitting == 0 or (name == "oneOf" and fitting > 1)):
                yield Fault(at, f"it must be as {'one' if name == 'oneOf' else 'any'} of {name}")

    def _fits(self, schema: AnySchema, value: Any) -> bool:
        return next(self.faults(schema, value, ""), None) is None


def _own_fault(schema: Schema, value: Any) -> str | None:
    """Return what is wrong with the value itself, whatever it holds; None if nothing is."""
    types = _names_of_types(schema)
    if types and not any(_TYPES[name](value) for name in types):
        return f"it must be of type {' or '.join(types)}"
    if "enum" in schema and not any(_are_same(value, one) for one in schema["enum"]):
        return f"it must be one of {', '.join(map(repr, schema['enum']))}"
    if "const" in schema and not _are_same(value, schema["const"]):
        return f"it must be {schema['const']!r}"
    for name, (kind, is_kept, words) in _RULES.items():
        if name in schema and _TYPES[kind](value) and not is_kept(value, schema[name]):
            return words.format(schema[name])
    return None


def _are_same(one: Any, other: Any) -> bool:
    # In JSON true is not 1.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _has_twins(items: list[Any]) -> bool:
    return any(_are_same(one, other) for at, one in enumerate(items) for other in items[:at])
