"""The JSON Schemas of the documents, made from their types and from what is written at them.

msgspec gives the shape. What a member means is the string below it in its class, else what
`cidx_jobs.web.openapi.members` says of its name.
"""

import ast
import inspect
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from cidx_jobs.handlers.repository_sync.options import SyncOptions
from cidx_jobs.web.openapi.members import BODY_RULES, MEMBERS
from cidx_jobs.web.openapi.routes.contract import Schema
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.request_bodies import Body, SyncBody

PLACE = "#/components/schemas/"

Kind = type[msgspec.Struct]

_SUFFIX = "Document"


def name_of(kind: type) -> str:
    """Give the name of a type's schema: its own, less what every document's ends in."""
    return kind.__name__.removesuffix(_SUFFIX)


def refer(kind: type) -> Schema:
    """Give the schema that points to the type's own."""
    return {"$ref": PLACE + name_of(kind)}


def make_schemas(kinds: Iterable[type[Document]]) -> dict[str, Schema]:
    """Give the schemas of these documents and of all that they hold, by name."""
    _, found = msgspec.json.schema_components([*kinds, SyncOptions], ref_template=PLACE + "{name}")
    types = {each.__name__: each for each in _reachable([*kinds, SyncOptions])}
    made = {
        name_of(types[name]): _described(types[name], _renamed(schema))
        for name, schema in found.items()
    }
    return dict(sorted(made.items()))


def _reachable(kinds: Iterable[Any]) -> Iterator[type]:
    """Give the classes with members, and the enumerations, that these types are made of."""
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
            return {**value, "$ref": place.removesuffix(_SUFFIX)}
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
        texts = _texts_of(kind)
        schema["properties"] = {
            field.encode_name: _member(kind, field, texts, schema["properties"][field.encode_name])
            for field in msgspec.structs.fields(kind)
        }
    else:
        schema["type"] = "string"
    return schema


def _member(
    kind: Kind, field: msgspec.structs.FieldInfo, texts: Mapping[str, str], schema: Schema
) -> Schema:
    name = field.encode_name
    made = {**_simple(schema), **MEMBERS.get(name, {})}
    if datetime in (field.type, *typing.get_args(field.type)):
        made["format"] = "date-time"
    if issubclass(kind, Body):
        made |= BODY_RULES.get(name, {})
    if kind is SyncBody and name == "options":
        made |= refer(SyncOptions)
    if field.name in texts:
        made["description"] = texts[field.name]
    return made


def _simple(schema: Schema) -> Schema:
    """Give "a type or null" in one line, where the type is a plain one."""
    match schema.get("anyOf"):
        case [{"type": str(one)} as first, {"type": "null"}]:
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**first, "type": [one, "null"], **rest}
        case _:
            return schema


def _texts_of(kind: type) -> dict[str, str]:
    """Give what is written below each member, in the class or those that it is made from."""
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, msgspec.Struct) and each.__module__.startswith("cidx_jobs."):
            texts |= _written_in(each.__module__).get(each.__name__, {})
    return texts


@cache
def _written_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Give what is written below members, by class."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        # Installed without its source: the document is shorter, and right.
        return {}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_texts_below(node)) for node in classes}


def _texts_below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for member, below in pairwise(node.body):
        match member, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, _plain(text)
            case _:
                pass


def _plain(text: str) -> str:
    """Give a docstring as Markdown on one line a paragraph."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("``", "`")
