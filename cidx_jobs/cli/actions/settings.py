"""What ``check`` and ``version`` do: the settings as they would be in force, and who is asked."""

import asyncio
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from msgspec.structs import asdict

from cidx_jobs import __version__
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines, say
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.model.foreign import escape
from cidx_jobs.observe.telemetry import wants_spans
from cidx_jobs.settings import Settings

_HERE_SECONDS = 2.0


def show_settings(target: Target, data_dir: Path | None, config: Path | None) -> Exit:
    """Show every setting as it would be in force.

    Raises:
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
        StartRefusedError: a server would not start with them.
    """
    # Few need all of a server: it takes long to load.
    from cidx_jobs.cli.async_run import run_async
    from cidx_jobs.web.preflight import check_start
    from cidx_jobs.web.server import check_file_limit

    settings = Settings.load(config, overrides={"data_dir": data_dir})
    values = {field.name: _shown(settings, field) for field in attrs.fields(Settings)}
    values["auth"] = settings.auth_mode
    check_extras(settings)
    # Before there is a loop, which needs some files itself.
    check_file_limit()
    warnings = run_async(check_start(settings))
    if target.as_json:
        print_json({"ok": True, "settings": values, "warnings": [*map(asdict, warnings)]})
    else:
        print_lines(f"{name:<28} {_text(value)}" for name, value in values.items())
        for warning in warnings:
            say(f"{warning.code}: {warning.message}")
    return Exit.DONE


def show_version(target: Target) -> Exit:
    """Show this program's version, and that of the server.

    A server that was chosen and does not say it is the exit code.

    Raises:
        click.UsageError: the server's address is none.
    """
    # A command that asks nobody, and a server, which checks its settings by this module, does
    # without a client.
    from cidx_jobs.cli.async_run import ask
    from cidx_jobs.cli.error_report import exit_code_of_error, text_of_error
    from cidx_jobs.client import JobsClient, JobsClientError

    async def find_version(client: JobsClient) -> str:
        async with asyncio.timeout(None if target.is_server_chosen else _HERE_SECONDS):
            return await client.get_version()

    # At once: the server may take its time.
    if not target.as_json:
        print_lines([f"cidx-jobs {__version__}"])
    code, told = Exit.DONE, None
    try:
        told = ask(target, find_version)
    except TimeoutError:
        pass  # whatever is at that address, nobody chose it
    except JobsClientError as error:
        if target.is_server_chosen:
            code = exit_code_of_error(error)
            say(text_of_error(error))
    is_known = told is not None or target.is_server_chosen
    found = {"url": target.server, "version": told} if is_known else None
    if target.as_json:
        python = platform.python_version()
        print_json({"version": __version__, "python": python, "server": found})
    elif told is not None:
        print_lines([f"server    {escape(told)} at {target.server}"])
    return code


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
