"""What ``restore`` does."""

from datetime import UTC, datetime
from pathlib import Path

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.model.foreign import escape
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.restore import restore


def restore_backup(target: Target, file: Path, data_dir: Path, *, replace: bool) -> Exit:
    """Put a backup in place, and say what was done.

    Raises:
        StartRefusedError: it is cut or damaged, or the directory is not one for it.
    """
    directory = DataDirectory(data_dir.absolute())
    done = restore(file.absolute(), directory, replace=replace, now=datetime.now(UTC))
    kept = None if done.replaced is None else str(done.replaced)
    if target.as_json:
        print_json(
            {
                "data_dir": str(directory.root),
                "bytes": done.bytes,
                "seq": done.sequence,
                "database_id": done.database_id,
                "replaced": kept,
            }
        )
        return Exit.DONE
    lines = [f"restored {done.bytes:,} bytes, up to row {done.sequence} of the log"]
    if kept is not None:
        lines.append(f"the database that was there is kept: {escape(kept)}")
    print_lines(lines)
    return Exit.DONE
