"""What a job type is: its handler, and the rules that the engine keeps for it."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Generic, Literal, TypedDict, Unpack, cast, overload

import attrs
import msgspec
from typing_extensions import TypeVar

from cidx_jobs.interfaces.run import JobContext, JobHandler
from cidx_jobs.model.errors import (
    Fault,
    JobFailure,
    UnknownJobTypeError,
    ValidationError,
)
from cidx_jobs.model.foreign import plain_json
from cidx_jobs.model.ids import JOB_TYPE_PATTERN, is_job_type
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.job.key_limits import check_key_limits
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.late_imports import import_late
from cidx_jobs.model.limits import MAX_ATTEMPTS, MAX_TIMEOUT_SECONDS
from cidx_jobs.model.listing import Project
from cidx_jobs.model.schemas.value_types import ValueType, find_value_type, plain_members

OptionsT = TypeVar("OptionsT")
ResultT = TypeVar("ResultT", default=JsonObject)
ResultT_co = TypeVar("ResultT_co", covariant=True, default=Any)
"""The class of a job type's results; a JSON object where it has none."""


class OnInterrupt(StrEnum):
    """What becomes of a run that the server's stop or death interrupted."""

    RESUME = "resume"
    """Run again from the checkpoint."""
    RESTART = "restart"
    """Run again without it."""
    FAIL = "fail"
    """End as failed with code INTERRUPTED: at most once."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted submit becomes: its options made whole, and what it says of the project."""

    options: JsonObject
    project: Project | None = None


Admit = Callable[[JsonObject, Project], Admission]
"""Checks the options of a submit against what is known of the project; raises
`ValidationError` with pointers below ``/options``."""


LimitsRule = Mapping[str, int] | Callable[[Any], Mapping[str, int]]
"""Keys and how many jobs with each may run at a time; or what gives them for a job's options."""


@attrs.frozen(init=False)
class JobType(Generic[ResultT_co]):
    """One kind of job: a name, a handler, and how the engine treats it.

    The handler is an ``async def``; or a plain ``def``, which is called in a thread of its own and
    tells how far it is through `JobContext.sync`.
    """

    name: str
    run: JobHandler
    exclusive: bool
    """Two runs of exclusive types in one project never overlap."""
    max_attempts: int | None
    timeout_seconds: float | None
    on_interrupt: OnInterrupt
    retry: RetryPolicy | None
    resources: tuple[str, ...]
    """Named resources held from start to end; they gate the start."""
    limits: LimitsRule = attrs.field(hash=False)
    """Keys that are everybody's, held from start to end: of all jobs with one, of whatever type
    and user, at most so many run at a time."""
    options: Any = attrs.field(hash=False)
    """What the options must fit: a class (attrs, msgspec.Struct, dataclass, TypedDict, a model
    of pydantic), of which `context.options` is an instance then; or a JSON Schema (extra
    ``schema``). None takes any JSON object."""
    result: Any = attrs.field(hash=False)
    """The same for what the handler returns."""
    internal: bool
    """It cannot be submitted over HTTP."""
    max_memory_bytes: int | None
    """What the child processes of a run may use together (extra ``resources``); None: no limit."""
    admit: Admit | None
    _is_plain: bool = attrs.field(eq=False, repr=False)
    _options_type: ValueType | None = attrs.field(eq=False, repr=False)
    _result_type: ValueType | None = attrs.field(eq=False, repr=False)

    def __init__(
        self,
        name: str,
        run: JobHandler,
        *,
        options: Any = None,
        result: type[ResultT_co] | JsonObject | None = None,
        exclusive: bool = False,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        on_interrupt: OnInterrupt | Literal["resume", "restart", "fail"] = OnInterrupt.RESUME,
        retry: RetryPolicy | None = None,
        resources: Iterable[str] = (),
        limits: LimitsRule | None = None,
        internal: bool = False,
        max_memory_bytes: int | None = None,
        admit: Admit | None = None,
    ) -> None:
        """Take the rules; None leaves a rule to the server's settings.

        With ``max_attempts=1`` an interrupted run fails instead of running again. A function as
        *limits* is called with the options as the handler gets them.

        Raises:
            TypeError, ValueError: a rule cannot be kept, or *options* or *result* is nothing that
                values can be held against.
            ExtraMissingError: one is a JSON Schema, and the extra ``schema`` is not installed.
        """
        resources = (resources,) if isinstance(resources, str) else tuple(resources)
        _check_name(name, run)
        _check_kinds(exclusive=exclusive, internal=internal)
        _check_numbers(max_attempts, timeout_seconds)
        _check_retry(retry)
        _check_handler(run)
        _check_resources(resources)
        limits = {} if limits is None else limits
        _check_limits(limits)
        at_most_once = max_attempts == 1 and on_interrupt == OnInterrupt.RESUME
        self.__attrs_init__(
            name=name,
            run=run,
            exclusive=exclusive,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            on_interrupt=OnInterrupt.FAIL if at_most_once else OnInterrupt(on_interrupt),
            retry=retry,
            resources=resources,
            limits=limits if callable(limits) else dict(limits),
            options=options,
            result=result,
            internal=internal,
            max_memory_bytes=max_memory_bytes,
            admit=admit,
            is_plain=_find_plain(run),
            options_type=_find_type(options),
            result_type=_find_type(result),
        )

    @property
    def checks_slowly(self) -> bool:
        """True where `check_options` can take long: it belongs into a thread then."""
        return type(self._options_type) is _SchemaType

    @property
    def is_plain(self) -> bool:
        """True for a plain ``def``: it is called in a thread, as it may block."""
        return self._is_plain

    def check_options(self, options: JsonObject) -> JsonObject:
        """Return the options with the defaults of what they leave out.

        Raises:
            ValidationError: they do not fit; each fault's pointer begins with ``/options``.
        """
        if self._options_type is None:
            return options
        whole: JsonObject = self._options_type.complete(options, "/options")
        return whole

    def read_options(self, options: JsonObject) -> Any:
        """Return stored options as the handler gets them: an instance of the class, if one is set.

        Raises:
            ValidationError: they do not fit any more; each fault's pointer begins with
                ``/options``.
        """
        if self._options_type is None:
            return options
        return self._options_type.read(options, "/options")

    def write_result(self, result: object) -> Any:
        """Return what the handler returned as plain JSON values; None becomes ``{}``.

        Raises:
            JobFailure: it is not JSON, or does not fit what the type promises (code VAL-002).
        """
        try:
            if self._result_type is not None:
                return self._result_type.write({} if result is None else result)
            return plain_json({} if result is None else plain_members(result))
        except ValidationError as error:
            message = f"the result is not what {self.name} promises: {error.message}"
            raise JobFailure(message, code="VAL-002") from error
        except ValueError as error:
            message = f"what the job's code gave: {error}"
            raise JobFailure(message, code="VAL-002") from error

    def read_result(self, result: JsonObject) -> ResultT_co:
        """Return a stored result as an instance of the class, if one is set; else as it is.

        Raises:
            ValidationError: it does not fit any more; each fault's pointer begins with
                ``/result``.
        """
        if self._result_type is None or isinstance(self.result, Mapping):
            return cast("ResultT_co", result)
        instance: ResultT_co = self._result_type.read(result, "/result")
        return instance

    def find_limits(self, options: JsonObject) -> Mapping[str, int]:
        """Return the keys of a job with these options, each with its number.

        Raises:
            ValidationError: the options give none, or none that is a key.
        """
        if not callable(self.limits):
            return self.limits
        given = options if self.checks_slowly else self.read_options(options)
        try:
            limits = dict(self.limits(given))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # It is made of what somebody sent: that it cannot be is not the server's fault.
            message = f"the limits of {self.name} cannot be made of them"
            raise ValidationError.at("/options", message) from error
        if faults := list(check_key_limits(limits, "/options")):
            raise ValidationError([Fault("/options", fault.message) for fault in faults])
        return limits

    def describe_options(self) -> JsonObject:
        """Return the JSON Schema of the options."""
        return {"type": "object"} if self._options_type is None else self._options_type.describe()

    def describe_result(self) -> JsonObject:
        """Return the JSON Schema of the result."""
        return {"type": "object"} if self._result_type is None else self._result_type.describe()


class JobRules(TypedDict, total=False):
    """The rules of `JobType` that do not depend on its classes, with the same defaults."""

    exclusive: bool
    max_attempts: int | None
    timeout_seconds: float | None
    on_interrupt: OnInterrupt | Literal["resume", "restart", "fail"]
    retry: RetryPolicy | None
    resources: Iterable[str]
    internal: bool
    max_memory_bytes: int | None


@overload
def job_type(
    name: str,
    *,
    options: type[OptionsT],
    result: type[ResultT] | JsonObject | None = None,
    limits: Mapping[str, int] | Callable[[OptionsT], Mapping[str, int]] | None = None,
    **rules: Unpack[JobRules],
) -> Callable[[Callable[[JobContext[OptionsT]], object]], JobType[ResultT]]: ...


@overload
def job_type(
    name: str,
    *,
    options: JsonObject | None = None,
    result: type[ResultT] | JsonObject | None = None,
    limits: LimitsRule | None = None,
    **rules: Unpack[JobRules],
) -> Callable[[JobHandler], JobType[ResultT]]: ...


def job_type(name: str, **rules: Any) -> Callable[[Any], JobType[Any]]:
    """Make a `JobType` of the function below it, with the same rules as `JobType` takes.

    ::

        @job_type("reindex", options=ReindexOptions)
        async def reindex(context: JobContext[ReindexOptions]) -> None: ...

    Raises: what `JobType` raises; TypeError where it stands without a name.
    """
    if not isinstance(name, str):
        message = f'a job type has a name: @job_type("name"), not {name!r}'
        raise TypeError(message)
    return lambda run: JobType(name, run, **rules)


@attrs.frozen
class _SchemaType(ValueType):
    """A JSON Schema: values are held against it, and stay as they are."""

    schema: JsonObject
    checker: Any

    def read(self, value: Any, pointer: str) -> Any:
        """Return the value itself, which fits."""
        faults = self.checker.find_faults(value, pointer)
        if faults:
            raise ValidationError(faults)
        return value

    def complete(self, value: Any, pointer: str) -> Any:
        """Return the value itself, which fits."""
        return self.read(value, pointer)

    def write(self, value: Any) -> Any:
        """Return the value as what JSON makes of it."""
        return self.read(plain_json(plain_members(value)), "")

    def describe(self) -> dict[str, Any]:
        """Return the schema as it was given."""
        return dict(self.schema)


class JobTypes(Mapping[str, JobType]):
    """The registered job types, by name."""

    def __init__(self, job_types: Iterable[JobType] = ()) -> None:
        """Take the types; a later one replaces an earlier one of the same name."""
        self._by_name = {job_type.name: job_type for job_type in job_types}

    def __getitem__(self, name: str) -> JobType:
        """Return the type of that name; `UnknownJobTypeError` when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownJobTypeError(name) from None

    def __contains__(self, name: object) -> bool:
        """Return whether there is a type of that name."""
        return name in self._by_name

    def get(self, name: str, default: Any = None) -> Any:
        """Return the type of that name, or *default*."""
        return self._by_name.get(name, default)

    def resources_of(self, name: str) -> tuple[str, ...]:
        """Return the named resources that a run of the type holds from start to end."""
        known = self._by_name.get(name)
        return known.resources if known else ()

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._by_name)

    def __len__(self) -> int:
        """Count the types."""
        return len(self._by_name)


def _check_name(name: object, run: object) -> None:
    if not isinstance(name, str) or not callable(run):
        message = f"a job type is a name and an async function, not {name!r} and {run!r}"
        raise TypeError(message)
    if not is_job_type(name):
        message = f"a job type's name is like {JOB_TYPE_PATTERN}, not {name!r}"
        raise ValueError(message)


def _check_kinds(**rules: object) -> None:
    for rule, value in rules.items():
        if not isinstance(value, bool):
            message = f"{rule} is True or False, not {value!r}"
            raise TypeError(message)


def _check_numbers(max_attempts: object, timeout_seconds: object) -> None:
    if max_attempts is not None:
        if not isinstance(max_attempts, int) or isinstance(max_attempts, bool):
            message = f"max_attempts is a whole number, not {max_attempts!r}"
            raise TypeError(message)
        if not 1 <= max_attempts <= MAX_ATTEMPTS:
            message = f"max_attempts is from 1 to {MAX_ATTEMPTS}, not {max_attempts}"
            raise ValueError(message)
    if timeout_seconds is not None:
        if not isinstance(timeout_seconds, int | float) or isinstance(timeout_seconds, bool):
            message = f"timeout_seconds is a number, not {timeout_seconds!r}"
            raise TypeError(message)
        if not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
            longest = f"{MAX_TIMEOUT_SECONDS:.0f}"
            message = f"timeout_seconds is over 0, at most {longest}, not {timeout_seconds}"
            raise ValueError(message)


def _check_handler(run: JobHandler) -> None:
    bare = _unwrapped(run)
    if inspect.isgeneratorfunction(bare) or inspect.isasyncgenfunction(bare):
        message = f"a job type's handler returns its result and yields nothing, not {bare!r}"
        raise TypeError(message)
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):
        # Of some that are written in C nobody can tell.
        return
    try:
        signature.bind(None)
    except TypeError as error:
        message = f"a job type's handler is called with its JobContext alone: {run!r} cannot be"
        raise TypeError(message) from error


def _find_plain(run: object) -> bool:
    run = _unwrapped(run)
    called = getattr(run, "__call__", None)  # noqa: B004 - an object may be one, too
    return not (inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(called))


def _unwrapped(run: object) -> object:
    while isinstance(run, functools.partial):
        run = run.func
    return run


def _check_retry(retry: object) -> None:
    chooses = getattr(retry, "backoff_seconds", None)
    if retry is not None and (isinstance(retry, type) or not callable(chooses)):
        message = f"retry is a RetryPolicy, not {retry!r}"
        raise TypeError(message)


def _check_resources(resources: tuple[object, ...]) -> None:
    wrong = [name for name in resources if not isinstance(name, str) or not name]
    if wrong:
        message = f"a resource is named by a text, not {wrong[0]!r}"
        raise TypeError(message)


def _find_type(declared: Any) -> ValueType | None:
    if declared is None:
        return None
    if not isinstance(declared, Mapping):
        return find_value_type(declared)
    make = import_late("cidx_jobs.model.schemas.json_schema").JsonSchema
    return _SchemaType(declared, make(declared))


def _check_limits(limits: LimitsRule) -> None:
    if callable(limits):
        return
    if not isinstance(limits, Mapping):
        message = f"limits are numbers by key, or a function of the options, not {limits!r}"
        raise TypeError(message)
    for fault in check_key_limits(limits):
        message = f"{fault.pointer}: {fault.message}"
        raise ValueError(message)
