"""The modules that are loaded when they are first used, and why; all others stand at the top.

An import that is made here is seen by no linter: each is an exception that needs a reason.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import msgspec

from cidx_jobs.model.errors import ExtraMissingError


class LateModule(msgspec.Struct, frozen=True):
    """A module that is not imported at the top."""

    because: str
    """Why it is loaded when it is first used, and no sooner."""
    extra: str | None = None
    """The extra of the package that brings what it imports."""
    libraries: tuple[str, ...] = ()
    """The packages that this extra has to have brought."""


_OPTIONAL = "what it imports comes with an extra, and need not be installed"
_ABOVE_SYSTEM = "asking another process takes HTTP, whose layer lies above the system's"

LATE_MODULES: Mapping[str, LateModule] = MappingProxyType(
    {
        "cidx_jobs.engine.access.argon2_hashes": LateModule(_OPTIONAL, "accounts", ("argon2",)),
        "cidx_jobs.engine.access.bcrypt_hashes": LateModule(_OPTIONAL, "accounts", ("bcrypt",)),
        "cidx_jobs.engine.access.json_web_tokens": LateModule(_OPTIONAL, "accounts", ("jwt",)),
        "cidx_jobs.engine.access.verification_keys": LateModule(
            _OPTIONAL, "accounts", ("cryptography", "jwt")
        ),
        "cidx_jobs.engine.webhooks.fernet": LateModule(_OPTIONAL, "accounts", ("cryptography",)),
        "cidx_jobs.handlers.notice_sender": LateModule(
            "a client of HTTP takes long to load, and few systems tell the ends of jobs by one"
        ),
        "cidx_jobs.model.schemas.json_schema": LateModule(_OPTIONAL, "schema", ("jsonschema",)),
        "cidx_jobs.observe.exposition": LateModule(_OPTIONAL, "metrics", ("prometheus_client",)),
        "cidx_jobs.observe.traces": LateModule(
            # Not the first alone: others leave a name space of that name behind without it.
            _OPTIONAL,
            "otel",
            ("opentelemetry", "opentelemetry.trace"),
        ),
        "cidx_jobs.web.sharing.attached": LateModule(_ABOVE_SYSTEM),
        "cidx_jobs.web.sharing.membership": LateModule(_ABOVE_SYSTEM),
        "cidx_jobs.wire.jobs": LateModule(
            "a job shows itself as its document, whose layer lies above the model's"
        ),
        "psutil": LateModule(_OPTIONAL, "resources", ("psutil",)),
    }
)


def import_late(name: str) -> Any:
    """Return a module of `LATE_MODULES`; loading it may block for tens of milliseconds.

    Raises:
        ExtraMissingError: the extra that it needs is not installed.
    """
    if not is_there(name):
        raise ExtraMissingError(LATE_MODULES[name].extra or "all")
    return import_module(name)


def is_there(name: str) -> bool:
    """Return whether a module of `LATE_MODULES` could be loaded: its extra is installed."""
    # One after the other: where a package is missing, a module of it cannot be looked for.
    return all(find_spec(library) is not None for library in LATE_MODULES[name].libraries)
