"""Where settings come from: a TOML file, environment variables, and what overrides both."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings.fields import names, proxy_url

PREFIX = "CIDX_JOBS_"
CLIENT_VARIABLES = frozenset({"CIDX_JOBS_SERVER", "CIDX_JOBS_TOKEN"})
"""Variables with our prefix that belong to the client and are no settings."""


def read_values(
    file: Path | None,
    environ: Mapping[str, str] | None,
    overrides: Mapping[str, Any] | None,
    types: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is given for settings: the file first, the environment next, *overrides* last.

    A relative path counts from the folder of the file that names it, elsewhere from the working
    directory; *types* tells which settings are paths. An override of None was not given.

    Raises:
        SettingsError: the file cannot be read.
    """
    values = _read_file(file, types) if file else {}
    values |= _read_environment(os.environ if environ is None else environ)
    given = (overrides or {}).items()
    return values | {name: value for name, value in given if value is not None}


def find_place(name: str, file: Path | None, environ: Mapping[str, str] | None) -> str | None:
    """Return where a setting is given, for whoever has to mend it; None where neither has it.

    The variable where there is one, which wins; else the file and the line in it.
    """
    variable = f"{PREFIX}{name.upper()}"
    if variable in (os.environ if environ is None else environ):
        return f"the variable {variable}"
    if file is None:
        return None
    key = re.escape(name)
    begins = re.compile(rf"""\s*(?:\[+\s*)?["']?{key}["']?\s*[=.\]]""")
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if begins.match(line):
            return f"{file}, line {number}"
    return None


def read_proxy_variables(environ: Mapping[str, str] | None = None) -> tuple[str | None, str]:
    """Return the proxy for https and the hosts that are reached without one, as variables say.

    ``HTTPS_PROXY`` and ``NO_PROXY``, in small letters too, which win; a proxy that is none of
    the kinds that `git_proxy` takes is not used.
    """
    variables = os.environ if environ is None else environ
    found = {
        name: variables.get(name) or variables.get(name.upper()) or ""
        for name in ("https_proxy", "no_proxy")
    }
    try:
        url = proxy_url(found["https_proxy"]) if found["https_proxy"] else None
    except ValueError:
        url = None
    return url, found["no_proxy"]


def read_variables(
    wanted: Iterable[str], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables of the environment that are wanted, those that there are."""
    variables = os.environ if environ is None else environ
    return {name: variables[name] for name in wanted if name in variables}


def _read_file(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        message = f"cannot read {path}: {(error.strerror or str(error)).lower()}"
        raise SettingsError(message) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"cannot read {path}: {error}"
        raise SettingsError(message) from error
    return {
        name: _from_folder(path.parent, types.get(name), value) for name, value in values.items()
    }


def _from_folder(folder: Path, kind: Any, value: Any) -> Any:
    """Return the value; a relative path in it counts from the folder of the file."""
    if not value or not (kind is Path or Path in get_args(kind)):
        return value
    match value:
        case str() if kind == tuple[Path, ...]:
            return [str(folder / part) for part in names(value)]
        case str():
            return str(folder / value)
        case list():
            return [str(folder / part) if isinstance(part, str) else part for part in value]
        case _:
            return value


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in CLIENT_VARIABLES
    }
