"""What ``doctor`` does."""

from collections.abc import Iterator
from pathlib import Path

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.light_imports import loaded
from cidx_jobs.cli.owner import ask_owner, find_directory, named_server
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import escape
from cidx_jobs.client import JobsClient
from cidx_jobs.model.errors import AlreadyOwnedError
from cidx_jobs.store.sqlite.doctor import examine_directory
from cidx_jobs.wire.findings import DoctorDocument


def examine(target: Target, data_dir: Path | None, config: Path | None, *, deep: bool) -> Exit:
    """Show what does not fit together, if anything.

    Raises:
        StartRefusedError: there is no database, or it is damaged; the text says how.
        ServerBusyError: a server owns the directory and does not say where it is.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    found = _examine(target, data_dir, config, deep=deep)
    if target.as_json:
        print_json(found)
    else:
        print_lines(_lines(found))
    return Exit.DONE if found.ok else Exit.FAILED


def _examine(
    target: Target, data_dir: Path | None, config: Path | None, *, deep: bool
) -> DoctorDocument:
    async def at_server(client: JobsClient) -> DoctorDocument:
        return await client.examine(deep=deep)

    named = named_server(target, data_dir, config)
    if named is not None:
        return ask(named, at_server)
    directory = find_directory(data_dir, config)
    loaded()
    # To own the directory is the only proof that no server does.
    try:
        found = examine_directory(directory, deep=deep)
        return DoctorDocument.of(found.findings, found.database_id)
    except AlreadyOwnedError:
        return ask_owner(directory, at_server, as_json=target.as_json)


def _lines(found: DoctorDocument) -> Iterator[str]:
    yield f"{'database id':<12} {escape(found.database_id)}"
    if found.ok:
        yield "everything fits together"
    for finding in found.findings:
        yield f"{finding.kind:<12} {escape(finding.message)}"
