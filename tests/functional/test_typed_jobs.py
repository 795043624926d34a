"""Options and results of a class: made from JSON, refused where they do not fit, and written."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from cidx_jobs import JobContext, JobStatus, JobType, ValidationError, job_type
from cidx_jobs.testing import MemoryPersistence, open_for_tests, run_job
from tests.functional.web import AioClient, open_house


@attrs.frozen
class AttrsPart:
    """A part, as attrs has it."""

    levels: int = attrs.field(validator=attrs.validators.ge(0))


@attrs.frozen
class AttrsOptions:
    """Options, as attrs has them."""

    names: list[str]
    part: AttrsPart | None = None
    most: int = 10


@dataclasses.dataclass
class DataPart:
    """A part as a dataclass."""

    levels: int


@dataclasses.dataclass
class DataOptions:
    """Options as a dataclass."""

    names: list[str]
    part: DataPart | None = None
    most: int = 10


class StructPart(msgspec.Struct):
    """A part as a struct, which takes unknown members by itself."""

    levels: int


class StructOptions(msgspec.Struct):
    """Options as a struct."""

    names: list[str]
    part: StructPart | None = None
    most: int = 10


class ModelPart(pydantic.BaseModel):
    """A part as a model."""

    levels: int


class ModelOptions(pydantic.BaseModel):
    """Options as a model, which takes unknown members by itself."""

    names: list[str]
    part: ModelPart | None = None
    most: int = 10


class DictPart(TypedDict):
    """A part as a dictionary."""

    levels: int


class DictOptions(TypedDict):
    """Options as a dictionary."""

    names: list[str]
    part: NotRequired[DictPart]
    most: NotRequired[int]


CLASSES = [AttrsOptions, DataOptions, StructOptions, ModelOptions]
KINDS = [*CLASSES, DictOptions]


async def describe(context: JobContext) -> dict[str, object]:
    """Tell what the options are."""
    return {"kind": type(context.options).__name__, "text": str(context.options)}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    """Give each kind of class in turn."""
    return request.param


@pytest.mark.parametrize("options", CLASSES, ids=lambda kind: kind.__name__)
async def test_a_handler_gets_an_instance(options: Any) -> None:
    """Of the class, made whole with its defaults."""
    async with open_for_tests([JobType("describe", describe, options=options)]) as jobs:
        job = await run_job(jobs, "describe", {"names": ["a"], "part": {"levels": 2}})

    assert job.result is not None
    assert job.result["kind"] == options.__name__
    assert job.options["most"] == 10


async def test_a_typed_dict_stays_a_dictionary() -> None:
    """With the members that were given."""
    async with open_for_tests([JobType("describe", describe, options=DictOptions)]) as jobs:
        job = await run_job(jobs, "describe", {"names": ["a"]})

    assert job.result == {"kind": "dict", "text": "{'names': ['a']}"}


async def test_every_wrong_member_is_told_at_once(kind: Any) -> None:
    """Wrong, lacking and unknown ones, each with its pointer, also those of a part."""
    async with open_for_tests([JobType("describe", describe, options=kind)]) as jobs:
        wrong = {"most": "many", "x/y": 1, "part": {"levels": "2"}}
        with pytest.raises(ValidationError) as refused:
            await jobs.submit("u", "p", job_type="describe", options=wrong)
        unknown = {"names": ["a"], "part": {"levels": 1, "depth": 1}}
        with pytest.raises(ValidationError) as deeper:
            await jobs.submit("u", "p", job_type="describe", options=unknown)
        stored = await jobs.list()

    # Pydantic takes a text of digits for a number, by its own rules.
    told = {fault.pointer for fault in refused.value.faults}
    assert {"/options/names", "/options/most", "/options/x~1y"} <= told
    assert [fault.pointer for fault in deeper.value.faults] == ["/options/part/depth"]
    assert stored == ()


async def test_an_instance_can_be_submitted() -> None:
    """As the JSON object that it stands for."""
    for kind in CLASSES:
        async with open_for_tests([JobType("describe", describe, options=kind)]) as jobs:
            job = await jobs.submit("u", "p", job_type="describe", options=kind(names=["a"]))

            assert job.options == {"names": ["a"], "part": None, "most": 10}


@attrs.frozen
class Report:
    """A result."""

    made_at: datetime
    folder: Path
    lines: tuple[str, ...] = ()


class ReportModel(pydantic.BaseModel):
    """A result as a model."""

    made_at: datetime
    folder: Path
    lines: tuple[str, ...] = ()


@pytest.mark.parametrize("kind", [Report, ReportModel])
async def test_a_result_is_written_by_its_class(kind: Any) -> None:
    """Times, paths and tuples as JSON has them; with the class declared, and without."""

    async def report(_: JobContext) -> object:
        return kind(made_at=datetime(2026, 1, 2, tzinfo=UTC), folder=Path("/a"), lines=("x",))

    types = [JobType("declared", report, result=kind), JobType("plain", report)]
    async with open_for_tests(types) as jobs:
        results = [(await run_job(jobs, name)).result for name in ("declared", "plain")]

    whole = {"made_at": "2026-01-02T00:00:00Z", "folder": "/a", "lines": ["x"]}
    assert results == [whole, whole]


async def test_a_result_that_is_not_what_was_promised_fails_the_job() -> None:
    """With the member that is wrong, and without another attempt."""

    async def report(_: JobContext) -> object:
        return {"made_at": "soon", "folder": "/a"}

    async with open_for_tests([JobType("report", report, result=Report)]) as jobs:
        job = await run_job(jobs, "report")

    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "VAL-002")
    assert "/made_at" in job.error.message


async def test_stored_options_that_no_longer_fit_fail_the_run() -> None:
    """The class has changed since: VAL-001 says which member, and nothing is tried again."""
    store = MemoryPersistence()
    async with open_for_tests(
        [JobType("describe", describe, options=AttrsOptions)], persistence=store
    ) as jobs:
        held = await jobs.submit(
            "u", "p", job_type="describe", options={"names": ["a"]}, hold=True
        )

    @attrs.frozen
    class Changed:
        names: str
        most: int

    async with open_for_tests(
        [JobType("describe", describe, options=Changed)], persistence=store
    ) as jobs:
        await jobs.release(held.job_id)
        job = await jobs.wait(held.job_id, timeout=5)

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "VAL-001", 1)
    assert "options.names: " in job.error.message


async def test_a_decorator_makes_a_job_type() -> None:
    """With the rules that `JobType` takes; the limits get the instance, too."""

    @job_type(
        "describe",
        options=AttrsOptions,
        max_attempts=2,
        limits=lambda options: {f"names:{len(options.names)}": 1},
    )
    async def described(context: JobContext[AttrsOptions]) -> dict[str, object]:
        return {"first": context.options.names[0]}

    async with open_for_tests([described]) as jobs:
        job = await run_job(jobs, "describe", {"names": ["a", "b"]})

    assert (described.name, described.max_attempts) == ("describe", 2)
    assert job.result == {"first": "a"}
    assert [limit.key.name for limit in job.limits] == ["names:2"]


@pytest.mark.parametrize("wrong", [int, str, "text", 5, complex, list[int]], ids=str)
def test_what_is_no_class_of_objects_is_refused(wrong: Any) -> None:
    """Where the type is made, for options and for results."""
    with pytest.raises((TypeError, ValueError)):
        JobType("describe", describe, options=wrong)
    with pytest.raises((TypeError, ValueError)):
        JobType("describe", describe, result=wrong)


@pytest.mark.slow
async def test_over_http_the_schemas_are_shown_and_internal_types_are_not_there(
    aiohttp_client: AioClient, tmp_path: Path
) -> None:
    """In the list of types and in the document; a submit of an internal type is a 422."""
    types = [
        JobType("described", describe, options=ModelOptions, result=Report),
        JobType("hidden", describe, internal=True),
    ]
    async with open_house(aiohttp_client, tmp_path, types) as house:
        listed = await house.ask("GET", "/api/job-types")
        document = await (await house.client.get("/openapi.json")).json()
        body = {"job_type": "hidden", "project_id": "p"}
        refused = await house.ask("POST", "/api/jobs", json=body)
        known = await house.jobs.submit("alice", "p", job_type="hidden")

    shown = {one["name"]: one for one in (await listed.json())["job_types"]}
    assert "hidden" not in shown
    assert "names" in str(shown["described"]["options_schema"])
    assert "made_at" in str(shown["described"]["result_schema"])
    schemas = document["components"]["schemas"]
    assert schemas["described.options"]["properties"]["names"]["type"] == "array"
    part = schemas["described.options"]["properties"]["part"]["anyOf"][0]["$ref"]
    assert part == "#/components/schemas/described.options/$defs/ModelPart"
    assert "described" in document["x-job-types"]
    assert "hidden" not in document["x-job-types"]
    assert (refused.status, (await refused.json())["code"]) == (422, "unknown_job_type")
    assert known.job_type == "hidden"
