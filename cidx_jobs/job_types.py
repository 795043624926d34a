"""What a job type is: its handler, and the rules that the engine keeps for it."""

import dataclasses
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

import attrs
import msgspec

from cidx_jobs.interfaces.run import JobHandler
from cidx_jobs.model.errors import (
    ExtraMissingError,
    Fault,
    UnknownJobTypeError,
    ValidationError,
    pointer_step,
)
from cidx_jobs.model.ids import JOB_TYPE_PATTERN, is_job_type
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.job.key_limits import check_key_limits
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.limits import MAX_ATTEMPTS, MAX_TIMEOUT_SECONDS
from cidx_jobs.model.listing import Project


class OnInterrupt(StrEnum):
    """What becomes of a run that the server's stop or death interrupted."""

    RESUME = "resume"
    """Run again from the checkpoint."""
    RESTART = "restart"
    """Run again without it."""
    FAIL = "fail"
    """End as failed with code INTERRUPTED: at most once."""


@attrs.frozen(kw_only=True)
class Admission:
    """What an accepted submit becomes: its options made whole, and what it says of the project."""

    options: JsonObject
    project: Project | None = None


_MEMBER_FAULTS = (
    (re.compile("Object missing required field `(.*)`", re.DOTALL), "it is required"),
    (re.compile("Object contains unknown field `(.*)`", re.DOTALL), "there is no such member"),
)

Admit = Callable[[JsonObject, Project], Admission]
"""Checks the options of a submit against what is known of the project; raises
`ValidationError` with pointers below ``/options``."""


LimitsRule = Mapping[str, int] | Callable[[JsonObject], Mapping[str, int]]
"""Keys and how many jobs with each may run at a time; or what gives them for a job's options."""


@attrs.frozen(init=False)
class JobType:
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
    options_schema: Any = attrs.field(hash=False)
    """What the options must fit: a class (attrs, msgspec, dataclass or TypedDict) or a JSON
    Schema (extra ``schema``); None takes any JSON object."""
    max_memory_bytes: int | None
    """What the child processes of a run may use together (extra ``resources``); None: no limit."""
    admit: Admit | None
    _checker: Any = attrs.field(eq=False, repr=False)
    """Holds options against *options_schema*, where that is a JSON Schema."""

    def __init__(
        self,
        name: str,
        run: JobHandler,
        *,
        exclusive: bool = False,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        on_interrupt: OnInterrupt | str = OnInterrupt.RESUME,
        retry: RetryPolicy | None = None,
        resources: Iterable[str] = (),
        limits: LimitsRule | None = None,
        options_schema: Any = None,
        max_memory_bytes: int | None = None,
        admit: Admit | None = None,
    ) -> None:
        """Take the rules; None leaves a rule to the server's settings.

        With ``max_attempts=1`` an interrupted run fails instead of running again.

        Raises:
            TypeError, ValueError: a rule cannot be kept, or *options_schema* is nothing that
                options can be held against.
            ExtraMissingError: it is a JSON Schema, and the extra ``schema`` is not installed.
        """
        resources = (resources,) if isinstance(resources, str) else tuple(resources)
        _check_rules(name, run, max_attempts, timeout_seconds)
        _check_retry(retry)
        _check_handler(run)
        limits = {} if limits is None else limits
        _check_limits(limits)
        is_json_schema = isinstance(options_schema, Mapping)
        checker = _make_checker(options_schema) if is_json_schema else None
        if options_schema is not None and not is_json_schema:
            msgspec.json.schema(options_schema)
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
            options_schema=options_schema,
            max_memory_bytes=max_memory_bytes,
            admit=admit,
            checker=checker,
        )

    @property
    def checks_slowly(self) -> bool:
        """True where `check_options` can take long: it belongs into a thread then."""
        return self._checker is not None

    @property
    def is_plain(self) -> bool:
        """True for a plain ``def``: it is called in a thread, as it may block."""
        run = _unwrapped(self.run)
        called = getattr(run, "__call__", None)  # noqa: B004 - an object may be one, too
        return not (inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(called))

    def check_options(self, options: JsonObject) -> JsonObject:
        """Return the options as the schema makes them whole.

        Raises:
            ValidationError: they do not fit; the fault's pointer begins with ``/options``.
        """
        if self.options_schema is None:
            return options
        if self._checker is not None:
            faults = self._checker.find_faults(options, "/options")
            if faults:
                raise ValidationError(faults)
            return options
        try:
            fitted = msgspec.convert(options, self.options_schema)
        except msgspec.ValidationError as error:
            raise ValidationError([_fault(error)]) from error
        if dataclasses.is_dataclass(self.options_schema):
            # msgspec overlooks the defaults that stand in the class and not in the object.
            fitted = dataclasses.asdict(fitted)
        whole: JsonObject = msgspec.to_builtins(fitted)
        return whole

    def find_limits(self, options: JsonObject) -> Mapping[str, int]:
        """Return the keys of a job with these options, each with its number.

        Raises:
            ValidationError: the options give none, or none that is a key.
        """
        if not callable(self.limits):
            return self.limits
        try:
            limits = dict(self.limits(options))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # It is made of what somebody sent: that it cannot be is not the server's fault.
            message = f"the limits of {self.name} cannot be made of them"
            raise ValidationError.at("/options", message) from error
        if faults := list(check_key_limits(limits, "/options")):
            raise ValidationError([Fault("/options", fault.message) for fault in faults])
        return limits

    def describe_options(self) -> JsonObject:
        """Return the JSON Schema of the options."""
        if self.options_schema is None:
            return {"type": "object"}
        if isinstance(self.options_schema, Mapping):
            return self.options_schema
        return msgspec.json.schema(self.options_schema)


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


def _check_rules(
    name: object, run: object, max_attempts: int | None, timeout_seconds: float | None
) -> None:
    if not isinstance(name, str) or not callable(run):
        message = f"a job type is a name and an async function, not {name!r} and {run!r}"
        raise TypeError(message)
    if not is_job_type(name):
        message = f"a job type's name is like {JOB_TYPE_PATTERN}, not {name!r}"
        raise ValueError(message)
    if max_attempts is not None and not 1 <= max_attempts <= MAX_ATTEMPTS:
        message = f"max_attempts is from 1 to {MAX_ATTEMPTS}, not {max_attempts}"
        raise ValueError(message)
    if timeout_seconds is not None and not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
        message = (
            f"timeout_seconds is over 0, at most {MAX_TIMEOUT_SECONDS:.0f}, not {timeout_seconds}"
        )
        raise ValueError(message)


def _check_handler(run: object) -> None:
    run = _unwrapped(run)
    if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        message = f"a job type's handler returns its result and yields nothing, not {run!r}"
        raise TypeError(message)


def _unwrapped(run: object) -> object:
    while isinstance(run, functools.partial):
        run = run.func
    return run


def _check_retry(retry: object) -> None:
    chooses = getattr(retry, "backoff_seconds", None)
    if retry is not None and (isinstance(retry, type) or not callable(chooses)):
        message = f"retry is a RetryPolicy, not {retry!r}"
        raise TypeError(message)


def _make_checker(schema: Mapping[str, Any]) -> Any:
    if find_spec("jsonschema") is None:
        raise ExtraMissingError("schema")
    return importlib.import_module("cidx_jobs.model.json_schema").JsonSchema(schema)


def _check_limits(limits: LimitsRule) -> None:
    if callable(limits):
        return
    if not isinstance(limits, Mapping):
        message = f"limits are numbers by key, or a function of the options, not {limits!r}"
        raise TypeError(message)
    for fault in check_key_limits(limits):
        message = f"{fault.pointer}: {fault.message}"
        raise ValueError(message)


def _fault(error: msgspec.ValidationError) -> Fault:
    fault = Fault.told_by_msgspec(error, "/options")
    # It tells of a member that is lacking, or too much, at the object that it belongs to.
    for pattern, told in _MEMBER_FAULTS:
        if found := pattern.fullmatch(fault.message):
            return Fault(f"{fault.pointer}/{pointer_step(found[1])}", told)
    return fault
