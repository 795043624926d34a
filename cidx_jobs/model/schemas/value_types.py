"""Value classes of options and results: an instance made from JSON, and JSON from an instance.

Taken are classes of attrs, dataclasses, msgspec.Struct, TypedDict, and models of pydantic where
that is installed: nothing of it is imported here. Whatever class it is, a member that it does
not declare is a fault.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePath
from typing import Any, Protocol, get_type_hints

import attrs
import msgspec
from msgspec import inspect

from cidx_jobs.model.errors import Fault, ValidationError, pointer_step
from cidx_jobs.model.foreign import attempt, plain_json

_MEMBER_FAULTS = (
    (re.compile("Object missing required field `(.*)`", re.DOTALL), "it is required"),
    (re.compile("Object contains unknown field `(.*)`", re.DOTALL), "there is no such member"),
)
_UNKNOWN = "there is no such member"
_REQUIRED = "it is required"
_AN_ENTRY = "[...]"
"""What msgspec says in place of the key of a map's entry that is wrong."""

_Object = inspect.StructType | inspect.DataclassType | inspect.TypedDictType
_Items = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.VarTupleType,
    inspect.CollectionType,
)


class ValueType(Protocol):
    """What a class makes of JSON values, and JSON of what is given in its place."""

    def read(self, value: Any, pointer: str) -> Any:
        """Return an instance made from a JSON value that lies at *pointer*.

        Raises:
            ValidationError: it does not fit, with a fault for each wrong or unknown member.
        """

    def complete(self, value: Any, pointer: str) -> Any:
        """Return the JSON value with the defaults of what it leaves out.

        Raises:
            ValidationError: as `read`.
        """

    def write(self, value: Any) -> Any:
        """Return the JSON value of an instance, or of what one can be made from.

        Raises:
            ValidationError: it is neither.
            ValueError: it is not JSON.
        """

    def describe(self) -> dict[str, Any]:
        """Return the JSON Schema."""


def find_value_type(declared: Any) -> ValueType:
    """Return what reads and writes the values of a class.

    Raises:
        TypeError: it is no class that values could be read as, or not one of objects.
    """
    if is_model_class(declared):
        return ModelType(declared)
    return ClassType(declared)


def plain_members(value: Any) -> Any:
    """Return *value* with instances of the classes above as what JSON is made of."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # msgspec overlooks the defaults that stand in the class and not in the object.
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain_members(getattr(value, name)) for name in names}
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return {name: plain_members(getattr(value, name)) for name in names}
    if is_model_class(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {name: plain_members(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain_members(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def is_model_class(declared: Any) -> bool:
    """Tell whether it is a model of pydantic (2), as far as its methods tell."""
    return isinstance(declared, type) and hasattr(declared, "model_validate_json")


class ClassType(ValueType):
    """A class of attrs, dataclasses, msgspec or TypedDict, read by msgspec."""

    def __init__(self, declared: Any) -> None:
        """Take the class.

        Raises:
            TypeError: it is none of these.
        """
        schema = msgspec.json.schema(declared, schema_hook=_describe_path)
        self._class = declared
        self._info = inspect.type_info(declared)
        if not isinstance(_bare(self._info), _Object | inspect.DictType):
            message = f"it is a class of objects with members, not {declared!r}"
            raise TypeError(message)
        self._schema = schema

    def read(self, value: Any, pointer: str) -> Any:
        """Return an instance made from a JSON value."""
        fitted, error = attempt(
            msgspec.convert, value, self._class, dec_hook=_read_path, str_keys=True
        )
        if error is not None:
            raise ValidationError(self._find_faults(value, pointer, error)) from error
        if unknown := list(_find_unknown(self._info, value, pointer)):
            raise ValidationError(unknown)
        return fitted

    def complete(self, value: Any, pointer: str) -> Any:
        """Return the JSON value with its defaults."""
        return self._encode(self.read(value, pointer))

    def write(self, value: Any) -> Any:
        """Return the JSON value of an instance, or of what one can be made from."""
        plain = self._encode(value)
        # Also an instance may hold what its class does not declare: nobody checked it.
        self.read(plain, "")
        return plain

    def describe(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self._schema

    def _encode(self, value: Any) -> Any:
        return plain_json(msgspec.to_builtins(plain_members(value), enc_hook=_write_other))

    def _find_faults(self, value: Any, pointer: str, error: Exception) -> Iterable[Fault]:
        found = {
            fault.pointer: fault
            for fault in (
                *_find_wrong(_bare(self._info), value, pointer),
                *_find_unknown(self._info, value, pointer),
            )
        }
        if isinstance(error, msgspec.ValidationError) and not (found and _AN_ENTRY in str(error)):
            told = _fault(error, pointer)
            found.setdefault(told.pointer, told)
        if not found:
            found[pointer] = Fault(pointer, f"it cannot be taken: {type(error).__name__}")
        return found.values()


class ModelType(ValueType):
    """A model of pydantic, read by its own rules, but that unknown members are refused."""

    def __init__(self, declared: Any) -> None:
        """Take the model."""
        self._class = declared
        self._schema: dict[str, Any] = declared.model_json_schema()

    def read(self, value: Any, pointer: str) -> Any:
        """Return an instance made from a JSON value."""
        # As JSON and not as Python's values: a strict model takes no text for a time else.
        model, error = attempt(self._class.model_validate_json, msgspec.json.encode(value))
        if error is not None:
            raise ValidationError(self._find_faults(value, pointer, error)) from error
        if unknown := list(_find_unknown_to_model(model, value, pointer)):
            raise ValidationError(unknown)
        return model

    def complete(self, value: Any, pointer: str) -> Any:
        """Return the JSON value with its defaults, where the model is the same with them."""
        model = self.read(value, pointer)
        whole, error = attempt(plain_members, model)
        if error is None:
            again, error = attempt(self._class.model_validate_json, msgspec.json.encode(whole))
            if error is None and again == model:
                return whole
        # It writes other names than it reads, or hides what it was told.
        return value

    def write(self, value: Any) -> Any:
        """Return the JSON value of an instance, or of what one can be made from."""
        if not isinstance(value, self._class):
            value = self.read(plain_json(plain_members(value)), "")
        return plain_members(value)

    def describe(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self._schema

    def _find_faults(self, value: Any, pointer: str, error: Exception) -> Iterable[Fault]:
        tell = getattr(error, "errors", None)
        if tell is None:
            return [Fault(pointer, f"it cannot be taken: {type(error).__name__}")]
        told = tell(include_url=False, include_context=False, include_input=False)
        found = {
            place: Fault(place, str(one["msg"]))
            for one in told
            for place in ["/".join([pointer, *(pointer_step(str(step)) for step in one["loc"])])]
        }
        for name in _unknown_names(self._class, value):
            place = f"{pointer}/{pointer_step(name)}"
            found.setdefault(place, Fault(place, _UNKNOWN))
        return found.values()


def _fault(error: msgspec.ValidationError, pointer: str) -> Fault:
    fault = Fault.told_by_msgspec(error, pointer)
    # It tells of a member that is lacking, or too much, at the object that it belongs to.
    for pattern, told in _MEMBER_FAULTS:
        if found := pattern.fullmatch(fault.message):
            return Fault(f"{fault.pointer}/{pointer_step(found[1])}", told)
    return fault


def _bare(info: inspect.Type) -> inspect.Type:
    """Return the type without what is only said about it."""
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info


def _find_wrong(info: inspect.Type, value: Any, pointer: str) -> Iterator[Fault]:
    """Yield each member of an object that is lacking or wrong: msgspec tells of the first only."""
    if not isinstance(info, _Object) or not isinstance(value, Mapping):
        return
    hints, _ = attempt(get_type_hints, info.cls, include_extras=True)
    for field in info.fields:
        place = f"{pointer}/{pointer_step(field.encode_name)}"
        if field.encode_name not in value:
            if field.required:
                yield Fault(place, _REQUIRED)
        elif isinstance(_bare(field.type), _Object):
            yield from _find_wrong(_bare(field.type), value[field.encode_name], place)
        elif hints is not None and field.name in hints:
            read = partial(
                msgspec.convert, type=hints[field.name], dec_hook=_read_path, str_keys=True
            )
            yield from _misfits(read, value[field.encode_name], place)


def _misfits(read: Callable[[Any], object], value: Any, pointer: str) -> Iterator[Fault]:
    _, error = attempt(read, value)
    if not isinstance(error, msgspec.ValidationError):
        return
    if not isinstance(value, Mapping) or not _is_of_an_entry(error):
        yield _fault(error, pointer)
        return
    for key, member in value.items():
        _, error = attempt(read, {key: member})
        if isinstance(error, msgspec.ValidationError) and _is_of_an_entry(error):
            yield _fault(error, f"{pointer}/{pointer_step(str(key))}")


def _is_of_an_entry(error: Exception) -> bool:
    """Tell whether it is about an entry of the map that was read."""
    return f"`${_AN_ENTRY}" in str(error)


def _find_unknown(info: inspect.Type, value: Any, pointer: str) -> Iterator[Fault]:
    """Yield each member that no class declares, however deep it lies."""
    info = _bare(info)
    match info, value:
        case inspect.UnionType(), _:
            chosen = _choose(info, value)
            if chosen is not None:
                yield from _find_unknown(chosen, value, pointer)
        case ((inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType()), dict()):
            yield from _find_unknown_members(info, value, pointer)
        case inspect.DictType(), dict():
            for name, member in value.items():
                yield from _find_unknown(
                    info.value_type, member, f"{pointer}/{pointer_step(name)}"
                )
        case inspect.TupleType(), list():
            for number, (kind, item) in enumerate(zip(info.item_types, value, strict=False)):
                yield from _find_unknown(kind, item, f"{pointer}/{number}")
        case _, list() if isinstance(info, _Items):
            for number, item in enumerate(value):
                yield from _find_unknown(info.item_type, item, f"{pointer}/{number}")
        case _:
            pass


def _find_unknown_members(
    info: _Object, value: Mapping[str, Any], pointer: str
) -> Iterator[Fault]:
    known = {field.encode_name: field.type for field in info.fields}
    tag = info.tag_field if isinstance(info, inspect.StructType) else None
    for name, member in value.items():
        place = f"{pointer}/{pointer_step(name)}"
        if name in known:
            yield from _find_unknown(known[name], member, place)
        elif name != tag:
            yield Fault(place, _UNKNOWN)


def _choose(union: inspect.UnionType, value: Any) -> inspect.Type | None:
    """Return which of a union's types the value is read as, among those that can hold members."""
    holders: tuple[type, ...] = ()
    if isinstance(value, dict):
        holders = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
        holders = (*holders, inspect.DictType)
    elif isinstance(value, list):
        holders = (*_Items, inspect.TupleType)
    for each in map(_bare, union.types):
        is_tagged = isinstance(each, inspect.StructType) and each.tag_field is not None
        if isinstance(each, holders) and (not is_tagged or _has_tag(each, value)):
            return each
    return None


def _has_tag(info: Any, value: Mapping[str, Any]) -> bool:
    return bool(value.get(info.tag_field) == info.tag)


def _find_unknown_to_model(model: Any, value: Any, pointer: str) -> Iterator[Fault]:
    """Yield each member that a model, or one in it, has passed over."""
    if isinstance(model, list | tuple) and isinstance(value, list):
        for number, (one, item) in enumerate(zip(model, value, strict=False)):
            yield from _find_unknown_to_model(one, item, f"{pointer}/{number}")
    elif isinstance(model, dict) and isinstance(value, dict):
        for name in model.keys() & value.keys():
            step = pointer_step(str(name))
            yield from _find_unknown_to_model(model[name], value[name], f"{pointer}/{step}")
    elif is_model_class(type(model)) and isinstance(value, dict):
        kind = type(model)
        for name in _unknown_names(kind, value):
            yield Fault(f"{pointer}/{pointer_step(name)}", _UNKNOWN)
        for field_name in kind.model_fields:
            for name in _names_of(kind, field_name) & value.keys():
                place = f"{pointer}/{pointer_step(name)}"
                yield from _find_unknown_to_model(getattr(model, field_name), value[name], place)


def _unknown_names(kind: Any, value: Any) -> list[str]:
    if not isinstance(value, dict) or kind.model_config.get("extra") == "allow":
        return []
    known = {name for field in kind.model_fields for name in _names_of(kind, field)}
    # A model of one value only (RootModel) has no members of its own.
    return [] if known == {"root"} else [name for name in value if name not in known]


def _names_of(kind: Any, field_name: str) -> set[str]:
    """Return the names under which a model reads the field."""
    field, config = kind.model_fields[field_name], kind.model_config
    alias = field.validation_alias or field.alias
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    names = {field_name} if alias is None or by_name else set()
    choices = getattr(alias, "choices", None) or [alias]
    paths = (getattr(one, "path", [one]) for one in choices if one is not None)
    return names | {str(path[0]) for path in paths}


def _write_other(value: Any) -> Any:
    plain = plain_members(value)
    if plain is value:
        raise NotImplementedError
    return plain


def _read_path(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError


def _describe_path(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return {"type": "string", "format": "path"}
    raise NotImplementedError
