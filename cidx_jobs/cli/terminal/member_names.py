"""Members of a request as people know them: by the flag or argument of the command that runs.

A server names a wrong member by a JSON pointer (RFC 6901), or by the name of a query parameter.
Whoever typed a command knows neither.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import click

from cidx_jobs.cli.target import running_command

_PARAMETERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "project_id": ("project", "projects"),
        "user_id": ("user_id", "user"),
        "repository_url": ("url",),
        "full_reindex": ("full",),
        "sync_every_seconds": ("every",),
        "created_after": ("since",),
        "lifetime_seconds": ("expires_in",),
        "older_than_seconds": ("older_than",),
        "label": ("label", "labels"),
        "priority": ("priority", "number"),
        "q": ("text",),
        "enabled": ("disabled",),
    }
)
"""Where a command's parameter is called otherwise than the member that it becomes."""
_OPTIONS = "options"
_ANY_MEMBER = "changes"
"""The parameter of ``admin limits`` that may be any member."""

_LEADING = re.compile(r"^((?:[a-z_]+: )?)(/[^\s:]*): ")


def name_fault(pointer: str, message: str) -> str:
    """Return what is wrong, after the name of what it is wrong with."""
    name = name_member(_steps(pointer))
    return f"{name}: {message}" if name else message


def name_pointer(text: str) -> str:
    """Return the text with a JSON pointer at its beginning, or behind a code, as a name."""
    found = _LEADING.match(text)
    if found is None:
        return text
    return f"{found[1]}{name_fault(found[2], text[found.end() :])}"


def name_member(steps: Sequence[str]) -> str:
    """Return the name of the member that the steps lead to; empty for the whole document.

    It is the flag or argument of the running command where it has one, else the path of the
    member, such as ``names[0].path``.
    """
    if not steps:
        return ""
    command = running_command()
    parameters = {} if command is None else {str(one.name): one for one in command.params}
    # What is an option of a job may be a flag of its own, as those of a sync are.
    inner = steps[1:] if steps[0] == _OPTIONS and len(steps) > 1 else ()
    for path in filter(None, (inner, steps)):
        if path is inner and _OPTIONS in parameters:
            continue
        for name in _PARAMETERS.get(path[0], (path[0],)):
            if name in parameters:
                return _name_parameter(parameters[name], path[1:])
    if _ANY_MEMBER in parameters:
        return _name_parameter(parameters[_ANY_MEMBER], steps)
    return _join(inner or steps)


def _name_parameter(parameter: click.Parameter, inside: Sequence[str]) -> str:
    if isinstance(parameter, click.Argument):
        name = (parameter.metavar or str(parameter.name).upper()).strip("[].")
    else:
        name = max(parameter.opts, key=len)
    return f"{name} {_join(inside)}" if inside else name


def _join(steps: Iterable[str]) -> str:
    path = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in steps)
    return path.removeprefix(".")


def _steps(pointer: str) -> Sequence[str]:
    """Return the steps of a JSON pointer (RFC 6901)."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
