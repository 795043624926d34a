"""The JSON Schemas of documents and queries, made from their classes by msgspec.

What a member means, and what it may be, is the `msgspec.Meta` of its type.
"""

import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any

import msgspec

from cidx_jobs.model.findings import Finding, Recovery
from cidx_jobs.model.job.job import (
    AttemptRecord,
    CheckpointInfo,
    JobError,
    JobWarning,
    PhaseState,
)
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import Schema

PLACE = "#/components/schemas/"

Kind = type[msgspec.Struct]

_SUFFIX = "Document"
_SHORT_NAMES = {
    AttemptRecord: "Attempt",
    CheckpointInfo: "Checkpoint",
    Finding: "Finding",
    JobError: "Error",
    JobWarning: "Warning",
    PhaseState: "Phase",
    Recovery: "Recovery",
}
"""The names of the model's values that are shown as they are."""

_NAMES = {kind.__name__: name for kind, name in _SHORT_NAMES.items()}
_WRAPPERS = (typing.Annotated, typing.Union, UnionType)


def name_of(kind: type) -> str:
    """Return the name of a type's schema: its own, less what every document's ends in."""
    return _short(kind.__name__)


def _short(name: str) -> str:
    return _NAMES.get(name, name).removesuffix(_SUFFIX)


def refer(kind: type) -> Schema:
    """Return the schema that points to the type's own."""
    return {"$ref": PLACE + name_of(kind)}


def make_schemas(kinds: Iterable[Kind]) -> dict[str, Schema]:
    """Return the schemas of these documents and of all that they hold, by name."""
    whole = list(kinds)
    _, found = msgspec.json.schema_components(whole, ref_template=PLACE + "{name}")
    types = {each.__name__: each for each in _reachable(whole)}
    made = {
        name_of(types[name]): _described(types[name], _renamed(schema))
        for name, schema in found.items()
    }
    return dict(sorted(made.items()))


def settle_schema(schema: Any, name: str) -> Any:
    """Return a whole JSON Schema as it is below *name*: what it refers to in itself is there."""
    match schema:
        case {"$ref": str(place)} if place.startswith("#"):
            rest = {key: settle_schema(value, name) for key, value in schema.items()}
            return {**rest, "$ref": f"{PLACE}{name}{place[1:]}"}
        case Mapping():
            return {key: settle_schema(value, name) for key, value in schema.items()}
        case list():
            return [settle_schema(value, name) for value in schema]
        case _:
            return schema


def describe_query(kind: type[Query]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a query as the document has them."""
    _, found = msgspec.json.schema_components([kind], ref_template="{name}")
    for field in msgspec.structs.fields(kind):
        schema = _inlined(_member(kind, field, found[kind.__name__]), found)
        examples = schema.pop("examples", None)
        made: dict[str, Any] = {"name": field.encode_name, "in": "query"}
        if field.required:
            made["required"] = True
        made |= {"description": schema.pop("description"), "schema": schema}
        if examples:
            made["example"] = examples[0]
        yield made


def _inlined(schema: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, which is never null and names its choices itself."""
    made = dict(schema)
    one, *_ = made.pop("anyOf", [{}])
    made |= {**one, "type": one.get("type", made.get("type"))}
    if isinstance(made["type"], list):
        made["type"] = made["type"][0]
    if "$ref" in made:
        made |= {"enum": found[made.pop("$ref")]["enum"]}
    if made["type"] is None:
        made["type"] = "string"
    if made.get("default") in (None, []):
        made.pop("default", None)
    return made


def _reachable(kinds: Iterable[Any]) -> Iterator[type]:
    """Return the classes with members, and the enumerations, that these types are made of."""
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            yield kind
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield kind
            yield from _reachable(field.type for field in msgspec.structs.fields(kind))
        else:
            yield from _reachable(typing.get_args(kind))


def _renamed(value: Any) -> Any:
    match value:
        case {"$ref": str(place)}:
            return {**value, "$ref": PLACE + _short(place.removeprefix(PLACE))}
        case dict():
            return {name: _renamed(member) for name, member in value.items()}
        case list():
            return [_renamed(member) for member in value]
        case _:
            return value


def _described(kind: type, schema: dict[str, Any]) -> Schema:
    schema["title"] = name_of(kind)
    schema["description"] = _plain(inspect.getdoc(kind) or "")
    if issubclass(kind, msgspec.Struct):
        if kind in _SHORT_NAMES:
            # They have defaults for whoever makes them; whoever reads them finds every member,
            # but those that can be left out.
            schema["required"] = [
                field.encode_name
                for field in msgspec.structs.fields(kind)
                if field.default is not msgspec.UNSET
            ]
        schema["properties"] = {
            field.encode_name: _member(kind, field, schema)
            for field in msgspec.structs.fields(kind)
        }
    else:
        schema["type"] = "string"
    return schema


def _member(kind: type, field: msgspec.structs.FieldInfo, whole: Schema) -> dict[str, Any]:
    schema = dict(whole["properties"][field.encode_name])
    match schema.get("anyOf"):
        # What is said of a value holds for the member that may also be null.
        case [dict() as first, {"type": "null"}] if isinstance(first.get("type"), str):
            del schema["anyOf"]
            schema = {**first, **schema, "type": [first["type"], "null"]}
        case _:
            pass
    if kind in _SHORT_NAMES:
        schema.pop("default", None)
    if _is_time(field.type):
        schema["format"] = "date-time"
    return schema


def _is_time(kind: Any) -> bool:
    """Tell whether the values of a type are times, or none."""
    return kind is datetime or (
        typing.get_origin(kind) in _WRAPPERS and any(map(_is_time, typing.get_args(kind)))
    )


def _plain(text: str) -> str:
    """Return a docstring as Markdown on one line a paragraph."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("``", "`")
