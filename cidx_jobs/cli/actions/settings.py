"""What ``check`` does: the settings as they would be in force, and what a server would warn of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from msgspec.structs import asdict

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines, say
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.observe.telemetry import wants_spans
from cidx_jobs.settings import Settings

OPERATOR_FILES = ("git_ca_file", "git_credentials", "git_ssh_key", "git_ssh_known_hosts")


def show_settings(target: Target, data_dir: Path | None, config: Path | None) -> Exit:
    """Show every setting as it would be in force.

    Raises:
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    settings = Settings.load(config, overrides={"data_dir": data_dir})
    values = {field.name: _shown(settings, field) for field in attrs.fields(Settings)}
    values["auth"] = settings.auth_mode
    check_extras(settings)
    warnings = [*find_warnings(), *find_file_faults(settings)]
    if target.as_json:
        print_json({"ok": True, "settings": values, "warnings": [*map(asdict, warnings)]})
    else:
        print_lines(f"{name:<28} {_text(value)}" for name, value in values.items())
        for warning in warnings:
            say(f"{warning.code}: {warning.message}")
    return Exit.DONE


def check_extras(settings: Settings) -> None:
    """Look for what the settings want besides the core, and read the key of others' tokens.

    Raises:
        SettingsError: the key cannot be used, or an extra is missing; the text says what to
            install.
    """
    wants_spans(settings.tracing)
    if settings.auth_mode != "jwt":
        return
    # Few servers need it: it stands behind a library that takes long to load.
    from cidx_jobs.web.access.jwt import read_keys

    read_keys(settings)


def find_warnings() -> Sequence[ServerWarning]:
    """Return what a server that started here would warn of."""
    # Only `check` needs these: its page of help is drawn without them.
    from cidx_jobs.cli.async_run import run_async
    from cidx_jobs.handlers.git.version import InstalledGit
    from cidx_jobs.handlers.process.children import Children

    fault = run_async(InstalledGit(Children("command-line")).find_fault())
    return [] if fault is None else [fault]


def find_file_faults(settings: Settings) -> Iterator[ServerWarning]:
    """Yield which of the operator's files for git cannot be used, and why."""
    from cidx_jobs.handlers.git.network.operator_files import SECRETS, find_fault

    for name in OPERATOR_FILES:
        path = getattr(settings, name)
        fault = None if path is None else find_fault(path, is_secret=name in SECRETS)
        if fault is not None:
            message = f"the file of the setting {name} {fault}"
            yield ServerWarning(code="git_file_unusable", message=message)


def _shown(settings: Settings, field: "attrs.Attribute[Any]") -> Any:
    value = getattr(settings, field.name)
    if field.metadata.get("secret") and value is not None:
        return "(set)"
    return _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case tuple():
            return [_plain(part) for part in value]
        case _:
            return value


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case list():
            return ",".join(map(str, value)) or "-"
        case dict():
            return ",".join(f"{name}={part}" for name, part in value.items()) or "-"
        case _:
            return str(value)
