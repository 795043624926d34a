"""Options held against a JSON Schema (2020-12) by the library jsonschema: the extra ``schema``.

What the library would pass over in silence is refused when a schema is given: a rule that nobody
keeps is worse than none. Nobody imports this before there is a schema.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from cidx_jobs.model.errors import Fault, pointer_step

MAX_COUNTED = 1_000
"""A document with more faults is not looked through any further."""

_NOTES = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "$dynamicAnchor", "$defs", "title", "description"}
    | {"default", "examples", "deprecated", "format", "readOnly", "writeOnly"}
    | {"contentEncoding", "contentMediaType", "contentSchema"}
)
"""Keywords that say something and demand nothing."""
_PARTS = frozenset({"then", "else", "minContains", "maxContains"})
"""Keywords that are read along with another."""

_WORDS: Mapping[str, str] = {
    "minimum": "it must be at least {}",
    "maximum": "it must be at most {}",
    "exclusiveMinimum": "it must be over {}",
    "exclusiveMaximum": "it must be below {}",
    "multipleOf": "it must be a multiple of {}",
    "minLength": "it is below {} long",
    "maxLength": "it is over {} long",
    "pattern": "it must fit {}",
    "minItems": "it has below {} items",
    "maxItems": "it has over {} items",
    "minProperties": "it has below {} members",
    "maxProperties": "it has over {} members",
    "enum": "it must be one of {}",
    "const": "it must be {}",
    "type": "it must be of type {}",
}
"""How a rule is told: without the value, which its reader has, and which may be long."""


def _required(
    checker: Any, names: list[str], value: Any, _: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Yield each member that is lacking, at its own place."""
    if checker.is_type(value, "object"):
        for name in names:
            if name not in value:
                yield ValidationError("it is required", path=(name,))


def _additional(
    checker: Any, rule: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Yield what is wrong with each member that is not declared, at its own place."""
    if not checker.is_type(value, "object"):
        return
    known = schema.get("properties", {})
    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", ())]
    for name, member in value.items():
        if name in known or any(pattern.search(name) for pattern in patterns):
            continue
        if rule is False:
            yield ValidationError("there is no such member", path=(name,))
        else:
            yield from checker.descend(member, rule, path=name)


def _unique(
    checker: Any, wanted: Any, value: Any, _: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Yield a fault where two items are equal, found by their digests and not pair by pair."""
    if wanted and checker.is_type(value, "array") and len(set(map(_digest, value))) < len(value):
        yield ValidationError("its items must differ")


def _digest(value: Any) -> bytes:
    return msgspec.json.encode(_plain(value), order="deterministic")


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            # In JSON 1.0 is 1.
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(member) for name, member in value.items()}
        case _:
            return value


_Checker = extend(
    Draft202012Validator,
    {"required": _required, "additionalProperties": _additional, "uniqueItems": _unique},
)
_OWN_WORDS = frozenset({"required", "additionalProperties", "uniqueItems"})
_KNOWN = _NOTES | _PARTS | _Checker.VALIDATORS.keys()


class JsonSchema:
    """A JSON Schema that can be kept."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Look through a schema.

        Raises:
            ValueError: it is none, has a keyword that is not known, or refers to what is not in
                it; the text says which.
        """
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            message = f"it is no JSON Schema: {error.json_path}: {error.message}"
            raise ValueError(message) from error
        resource = Resource.from_contents(schema, default_specification=DRAFT202012)
        # Without a way to fetch: what a schema refers to stands in it.
        registry = Registry().with_resource("", resource)
        _look_through(resource, registry.resolver_with_root(resource))
        self._checker = _Checker(schema, registry=registry)
        try:
            self.find_faults({}, "")
        except RecursionError as error:
            message = "a $ref leads back to itself"
            raise ValueError(message) from error

    def find_faults(self, document: Any, pointer: str) -> list[Fault]:
        """Return what is wrong with the document, the first `MAX_COUNTED`; blocks.

        Args:
            document: a JSON value.
            pointer: that of the document itself.
        """
        errors = islice(self._checker.iter_errors(document), MAX_COUNTED)
        return [_make_fault(error, pointer) for error in errors]


def _look_through(resource: Any, resolver: Any) -> None:
    schema = resource.contents
    if not isinstance(schema, Mapping):
        return
    for unknown in sorted(schema.keys() - _KNOWN):
        _refuse(f"the keyword {unknown} is not known")
    for pattern in (*schema.get("patternProperties", ()), schema.get("pattern", "")):
        try:
            re.compile(pattern)
        except re.error as error:
            _refuse(f"{pattern!r} is no pattern: {error}")
    for name in ("$ref", "$dynamicRef"):
        try:
            resolver.lookup(schema.get(name, "#"))
        except Unresolvable as error:
            _refuse(f"{name} {error.ref} leads nowhere")
    for part in resource.subresources():
        _look_through(part, resolver.in_subresource(part))


def _refuse(message: str) -> None:
    raise ValueError(message)


def _make_fault(error: ValidationError, pointer: str) -> Fault:
    steps = "".join(f"/{pointer_step(str(step))}" for step in error.absolute_path)
    return Fault(pointer + steps, _words_of(error))


def _words_of(error: ValidationError) -> str:
    rule, value = error.validator, error.validator_value
    if rule in _OWN_WORDS:
        return str(error.message)
    if rule in _WORDS:
        shown = " or ".join(value) if rule == "type" and isinstance(value, list) else value
        return _WORDS[rule].format(shown)
    return f"it does not fit {rule}" if rule else "it may not be there"
