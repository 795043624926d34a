"""Where settings come from: a TOML file, environment variables, and what overrides both."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings.fields import names, proxy_url
from cidx_jobs.settings.settings import Settings
from cidx_jobs.settings.way_in import check_given

PREFIX = "CIDX_JOBS_"
_TYPES = {field.name: field.type for field in attrs.fields(Settings)}
_LISTS_OF_PATHS = frozenset(name for name, kind in _TYPES.items() if kind == tuple[Path, ...])
_PATH_SETTINGS = _LISTS_OF_PATHS | {
    name for name, kind in _TYPES.items() if kind is Path or Path in get_args(kind)
}
"""Settings whose value is a path, or several."""
CLIENT_VARIABLES = frozenset({"CIDX_JOBS_SERVER", "CIDX_JOBS_TOKEN"})
"""Variables with our prefix that belong to the client and are no settings."""


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings: the file first, then the environment over it, then *overrides*.

    A relative path counts from the folder of the file that names it, elsewhere from the working
    directory. Of *overrides* a value of None was not given.

    Raises:
        SettingsError: the file cannot be read, or a key or value is wrong; the text names it.
    """
    values = _read_file(config) if config else {}
    values |= _read_environment(os.environ if environ is None else environ)
    given = (overrides or {}).items()
    values |= {name: value for name, value in given if value is not None}
    settings = Settings(**values)
    check_given(values, settings.auth_mode)
    return settings


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


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"cannot read {path}: {error}"
        raise SettingsError(message) from error
    return {name: _from_folder(path.parent, name, value) for name, value in values.items()}


def _from_folder(folder: Path, name: str, value: Any) -> Any:
    """Return the value; a relative path in it counts from the folder of the file."""
    if name not in _PATH_SETTINGS or not value:
        return value
    match value:
        case str() if name in _LISTS_OF_PATHS:
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
