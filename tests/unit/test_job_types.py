"""What a job type makes of the options that it is submitted with."""

import dataclasses
import functools
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

import cidx_jobs
from cidx_jobs import ExtraMissingError, JobContext, JobType, ValidationError
from cidx_jobs.model.errors import Fault
from cidx_jobs.model.schemas.json_schema import MAX_COUNTED, JsonSchema


class Depth(msgspec.Struct, forbid_unknown_fields=True):
    """A part of options."""

    levels: int


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """Options as a class."""

    names: list[str]
    depth: Depth | None = None
    weights: dict[str, int] = {}


SCHEMA = {
    "type": "object",
    "properties": {
        "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "depth": {"$ref": "#/$defs/depth"},
        "weights": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["names"],
    "additionalProperties": False,
    "$defs": {
        "depth": {
            "type": ["object", "null"],
            "properties": {"levels": {"type": "integer"}},
            "required": ["levels"],
            "additionalProperties": False,
        }
    },
}


async def idle(_: JobContext) -> None:
    """Do nothing."""


@pytest.fixture(params=[Options, SCHEMA], ids=["class", "schema"])
def job_type(request: pytest.FixtureRequest) -> JobType:
    """Give a type with the same rules, once as a class and once as a JSON Schema."""
    return JobType("idle", idle, options=request.param)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({}, "/options/names"),
        ({"names": ["a"], "x/y": 1}, "/options/x~1y"),
        ({"names": "a"}, "/options/names"),
        ({"names": ["a", 1]}, "/options/names/1"),
        ({"names": ["a"], "depth": {}}, "/options/depth/levels"),
        ({"names": ["a"], "depth": {"levels": 1, "x": 1}}, "/options/depth/x"),
        ({"names": ["a"], "weights": {"a/b": "1", "c": 2}}, "/options/weights/a~1b"),
    ],
)
def test_a_wrong_option_is_pointed_at(
    job_type: JobType, options: dict[str, Any], pointer: str
) -> None:
    """The pointer is that of the member, also of one that is lacking or too much."""
    with pytest.raises(ValidationError) as refused:
        job_type.check_options(options)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_options_that_fit_are_taken(job_type: JobType) -> None:
    """Whatever says what they must fit."""
    options = {"names": ["a"], "depth": {"levels": 2}, "weights": {"a": 1}}

    assert job_type.check_options(options) == options
    assert hash(job_type) == hash(job_type)


@dataclasses.dataclass
class Corner:
    """A part of a dataclass."""

    x: int = 1


@dataclasses.dataclass
class Page:
    """Options as a dataclass, whose defaults stand in the class."""

    number: int
    title: str = "untitled"
    corner: Corner = dataclasses.field(default_factory=Corner)


def test_the_defaults_of_a_dataclass_are_among_the_options() -> None:
    """A handler finds every member, as with every other kind of class."""
    job_type = JobType("idle", idle, options=Page)

    assert job_type.check_options({"number": 1}) == {
        "number": 1,
        "title": "untitled",
        "corner": {"x": 1},
    }


@pytest.mark.parametrize(
    "rules",
    [
        {"name": 5},
        {"name": ""},
        {"name": "two words"},
        {"run": None},
        {"max_attempts": 0},
        {"max_attempts": "3"},
        {"max_attempts": True},
        {"max_attempts": 1.5},
        {"timeout_seconds": 0},
        {"timeout_seconds": "60"},
        {"timeout_seconds": True},
        {"timeout_seconds": float("nan")},
        {"on_interrupt": "ignore"},
        {"exclusive": "false"},
        {"internal": 1},
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_kept_is_refused(rules: dict[str, Any]) -> None:
    """Where the type is written down, not at its first job."""
    whole: dict[str, Any] = {"name": "idle", "run": idle} | rules
    with pytest.raises((TypeError, ValueError)):
        JobType(**whole)


@pytest.mark.parametrize(
    "run",
    [lambda *_: None, lambda _, __=1: None, functools.partial(idle)],
    ids=["any", "one more", "partial"],
)
def test_a_handler_takes_the_context_alone(run: Any) -> None:
    """It may have more, that it need not be given."""
    assert JobType("idle", run).run is run


@pytest.mark.parametrize(
    "run",
    [lambda: None, lambda _, __: None, lambda _, *, __: None],
    ids=["nothing", "two", "a name"],
)
def test_a_handler_that_cannot_be_called_is_refused(run: Any) -> None:
    """When the type is made, and not by each run."""
    with pytest.raises(TypeError, match="JobContext alone"):
        JobType("idle", run)


def test_a_type_without_a_name_is_refused() -> None:
    """Where the decorator stands without parentheses, the function itself is in its place."""
    unnamed: Any = idle
    with pytest.raises(TypeError, match="has a name"):
        cidx_jobs.job_type(unnamed)


def test_one_resource_is_a_resource() -> None:
    """Its name is not taken for a list of letters, which no limit would ever name."""
    assert JobType("idle", idle, resources="gpu").resources == ("gpu",)


def test_a_json_schema_is_told_as_it_is() -> None:
    """Who reads the job types sees what was registered."""
    assert JobType("idle", idle, options=SCHEMA).describe_options() == SCHEMA


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": "object", "patternProperties": {"(": True}},
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"minimun": 1}}},
        {"properties": {"a": 1}},
        {"$ref": "#/$defs/none"},
        {"$defs": {"a": {"than": {}}}},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": []},
        {"properties": {"a": {"minimum": "1"}}},
        {"items": {"maxLength": -1}},
        {"additionalProperties": None},
        {"required": "a"},
        {"multipleOf": 0},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
        "object",
        complex,
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(schema: Any) -> None:
    """When the type is made, and not at the first submit."""
    with pytest.raises((TypeError, ValueError)):
        JobType("idle", idle, options=schema)


@pytest.mark.parametrize(
    ("schema", "fitting", "wrong"),
    [
        ({"type": "integer"}, [1, 2.0], [1.5, True, "1", None]),
        ({"type": "number"}, [1, 1.5], [False, "1"]),
        ({"type": ["boolean", "null"]}, [True, None], [0, ""]),
        ({"enum": [1, "a"]}, [1, "a"], [True, "b"]),
        ({"const": True}, [True], [1]),
        ({"minimum": 1, "exclusiveMaximum": 3}, [1, 2.9, "text"], [0, 3]),
        ({"exclusiveMinimum": 1, "maximum": 3}, [1.1, 3], [1, 4]),
        ({"multipleOf": 5}, [10, 0], [3]),
        ({"multipleOf": 1e-300}, [0], [1e300]),
        ({"minLength": 2, "maxLength": 3}, ["ab", 1], ["a", "abcd"]),
        ({"pattern": "^a"}, ["ab"], ["ba"]),
        ({"minItems": 1, "maxItems": 2, "uniqueItems": True}, [[1], [1, True]], [[], [1, 1]]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [3]),
        ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["a", 5], [1]),
        ({"oneOf": [{"minimum": 5}, {"maximum": 9}]}, [1, 10], [7]),
        ({"properties": {"a": False}}, [{}], [{"a": 1}]),
        (
            {"uniqueItems": True},
            [[1, "1", [1], {"a": 1}], [True, 1]],
            [[1, 1.0], [[{"a": 1}]] * 2],
        ),
        ({"patternProperties": {"^a": {"type": "string"}}}, [{"ab": "x", "b": 1}], [{"ab": 1}]),
        (
            {"properties": {"a": {}}, "additionalProperties": {"type": "null"}},
            [{"a": 1}],
            [{"b": 1}],
        ),
        ({"title": "t", "default": 1, "format": "email"}, [1, "x"], []),
    ],
)
def test_each_keyword_is_kept(
    schema: dict[str, Any], fitting: list[Any], wrong: list[Any]
) -> None:
    """As JSON Schema 2020-12 has it."""
    known = JsonSchema(schema)

    assert [value for value in fitting if known.find_faults(value, "")] == []
    assert [value for value in wrong if not known.find_faults(value, "")] == []


def test_items_that_must_differ_are_compared_in_linear_time() -> None:
    """Twice as many take twice as long, and not four times."""
    schema = JsonSchema({"uniqueItems": True})

    assert seconds(schema, range(40_000)) < 8 * seconds(schema, range(10_000))


def seconds(schema: JsonSchema, items: Iterable[int]) -> float:
    """Return the processor seconds of one check, the best of three."""
    document, took = list(items), []
    for _ in range(3):
        begin = time.thread_time()
        assert schema.find_faults(document, "") == []
        took.append(time.thread_time() - begin)
    return min(took)


def test_a_check_ends_with_the_faults_that_are_counted() -> None:
    """A document of nothing but faults is not looked through to its end."""
    schema = JsonSchema({"items": {"type": "string"}})

    assert len(schema.find_faults([1] * 20_000, "")) == MAX_COUNTED


def test_a_json_schema_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the type is made, with the command that installs what is lacking."""
    monkeypatch.setattr("cidx_jobs.model.late_imports.find_spec", lambda _: None)

    with pytest.raises(ExtraMissingError, match=r"cidx_jobs\[schema\]"):
        JobType("idle", idle, options=SCHEMA)
    assert JobType("idle", idle, options=Options).name == "idle"


def test_an_error_names_a_hundred_faults_and_counts_the_others() -> None:
    """It is no larger than the document that it is about."""
    error = ValidationError([Fault(f"/options/{n}", "wrong") for n in range(5_000)])
    long = ValidationError([Fault("/x" * 5_000, "wrong" * 1_000)] * 99)

    assert (len(error.faults), error.members["errors_omitted"]) == (100, 4_900)
    assert sum(len(one.pointer) + len(one.message) for one in long.faults) < 20_000
    assert len(long.faults) + long.members["errors_omitted"] == 99
    assert "errors_omitted" not in ValidationError.at("/x", "wrong").members
