"""What ``doctor`` does."""

from collections.abc import Iterator

from cidx_jobs.cli.actions.settings import find_warnings
from cidx_jobs.cli.data_dir import administer, ask_owner
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.model.findings import ADVICE
from cidx_jobs.model.foreign import escape
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.sqlite.doctor import examine_directory
from cidx_jobs.wire.admin.findings import DoctorDocument, MendDocument


def examine(target: Target, *, deep: bool) -> Exit:
    """Print what does not fit together, if anything.

    Raises:
        StartRefusedError: there is no database, or it is damaged; the text says how.
        ServerBusyError: a server owns the directory and does not say where it is.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """

    def in_directory(settings: Settings) -> DoctorDocument:
        # Not by a server of our own: one that opens the database changes it, or refuses to.
        found = examine_directory(DataDirectory(settings.data_dir), deep=deep)
        return DoctorDocument.of(found.findings, found.database_id, find_warnings())

    found = ask_owner(target, lambda client: client.examine(deep=deep), in_directory)
    show_result(target, found, _lines(found))
    return Exit.DONE if found.ok else Exit.FAILED


def mend(target: Target, *, deep: bool) -> Exit:
    """Mend what can be mended, and print what was, what is left and what helps against it.

    A directory that no server owns is opened for it, as by the other commands of administrators.

    Raises:
        StartRefusedError: there is no database, or it is damaged; the text says how.
        ServerBusyError: a server owns the directory and does not say where it is.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    done = administer(target, lambda client: client.mend(deep=deep))
    show_result(target, done, _mended_lines(done))
    return Exit.DONE if done.ok else Exit.FAILED


def _mended_lines(done: MendDocument) -> Iterator[str]:
    yield f"{'database id':<12} {escape(done.database_id)}"
    if done.ok and not done.mended:
        yield "everything fits together"
    for finding in done.mended:
        yield f"{finding.kind:<12} mended: {escape(finding.message)}"
    for finding, advice in zip(done.findings, done.advice, strict=True):
        yield f"{finding.kind:<12} {escape(finding.message)}"
        yield f"{'':<12} {escape(advice)}"


def _lines(found: DoctorDocument) -> Iterator[str]:
    yield f"{'database id':<12} {escape(found.database_id)}"
    if found.ok:
        yield "everything fits together"
    for finding in found.findings:
        yield f"{finding.kind:<12} {escape(finding.message)}"
        yield f"{'':<12} {ADVICE.get(finding.kind, '')}".rstrip()
    if found.findings:
        yield "cidx-jobs doctor --fix mends what can be mended while the server runs"
    for finding in found.notes:
        yield f"{finding.kind:<12} {escape(finding.message)}"
