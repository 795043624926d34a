"""Servers that somebody logged in to: address and token, in a file that they alone can read."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs
import click

DEFAULT = "default"
"""The profile that is meant where none is named."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OF_OTHERS = 0o077


@attrs.frozen(kw_only=True)
class Profile:
    """One server, and who its user is there."""

    server: str
    token: str | None = None
    user_id: str | None = None


def profiles_file() -> Path:
    """Return where the profiles are kept."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # One that is relative is to be ignored (XDG Base Directory Specification).
    base = Path(folder) if folder.startswith("/") else Path.home() / ".config"
    return base / "cidx-jobs" / "client.toml"


def load_profiles() -> Mapping[str, Profile]:
    """Return the profiles by name; none where nobody has logged in.

    Raises:
        click.UsageError: the file cannot be read, is none of ours, or others may read it.
    """
    file = profiles_file()
    try:
        mode = file.stat().st_mode
        found = tomllib.loads(file.read_text("utf-8")).get("profiles", {})
        profiles = {str(name): _profile(values) for name, values in found.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"cannot read {file}: {error}; log in again, or remove it"
        raise click.UsageError(message) from error
    if mode & _OF_OTHERS:
        message = f"others may read the tokens in {file}: chmod 600 {file}"
        raise click.UsageError(message)
    return profiles


def load_profile(name: str | None) -> Profile | None:
    """Return the profile of the name, or the one that is meant without a name, if there is one.

    Raises:
        click.UsageError: there is none of the name, or the file cannot be read.
    """
    profiles = load_profiles()
    if name is not None and name not in profiles:
        known = f"there are {', '.join(sorted(profiles))}" if profiles else "there is none"
        message = f"there is no profile {name} ({known}): cidx-jobs login --profile {name}"
        raise click.UsageError(message)
    return profiles.get(name or DEFAULT)


def save_profile(name: str, profile: Profile | None) -> None:
    """Keep a profile in place of the one there was; None forgets it.

    Raises:
        click.UsageError: the name is none, or the file cannot be read.
        OSError: the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a profile: letters, digits, dot, dash and underscore"
        raise click.UsageError(message)
    profiles = dict(load_profiles())
    profiles.pop(name, None)
    if profile is not None:
        profiles[name] = profile
    _write(profiles_file(), "\n".join(map(_section, profiles.items())))


def _profile(values: Mapping[str, object]) -> Profile:
    known = {name: values.get(name) for name in ("token", "user_id")}
    texts = {name: str(value) for name, value in known.items() if value is not None}
    return Profile(server=str(values["server"]), **texts)


def _section(named: tuple[str, Profile]) -> str:
    name, profile = named
    lines = [f"[profiles.{_quoted(name)}]"]
    values = attrs.asdict(profile)
    lines += [f"{key} = {_quoted(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A basic string of TOML has the escapes of JSON.
    return json.dumps(text, ensure_ascii=False)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)
