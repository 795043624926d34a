"""The command ``cidx-jobs``.

Nothing but signals may be imported before `main` has taken them over, and nothing heavy before
its command runs: ``--help`` answers in under 0.2 seconds.
"""

import gc
import sys

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.signals import end_at_once_on_signals

Arguments = list[str] | tuple[str, ...]


def main(arguments: Arguments | None = None) -> None:
    """Run the command that the arguments (those of the process) name, and exit with its code."""
    is_server = _names_serve(sys.argv[1:] if arguments is None else arguments)
    end_at_once_on_signals(server_code=Exit.DONE if is_server else None)
    from cidx_jobs.cli.standard_streams import open_closed_streams, show_any_text

    open_closed_streams()
    show_any_text()
    # While modules are loaded there is no garbage, and looking for it costs a tenth of the time.
    # A loop that begins to work switches it on again.
    gc.disable()
    code = run(arguments)
    # A server's loop had the signals and has let go of them.
    end_at_once_on_signals(server_code=code if is_server else None)
    sys.exit(code)


def run(arguments: Arguments | None = None) -> int:
    """Run the command and return its exit code; every error is reported on stderr."""
    from cidx_jobs.cli.standard_streams import discard_output

    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone.
        discard_output()
        return Exit.FAILED
    except OSError as error:
        if sys.flags.dev_mode:
            raise
        from cidx_jobs.cli.terminal.output import say

        say(f"cidx-jobs: cannot use {error.filename or 'the output'}: {error.strerror or error}")
        discard_output()
        return Exit.FAILED
    return code


def _run(arguments: Arguments | None) -> int:
    import click

    from cidx_jobs.cli.root import cidx_jobs
    from cidx_jobs.cli.target import note_command

    note_command(None)
    as_json = "--json" in (sys.argv if arguments is None else arguments)
    try:
        done = cidx_jobs.main(arguments, prog_name="cidx-jobs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if as_json:
            _print_error("wrong_command_line", error.format_message())
        return Exit.USAGE if isinstance(error, click.UsageError) else Exit.FAILED
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where an error becomes an exit code
        return _fail(error, as_json=as_json)
    return done if isinstance(done, int) else Exit.DONE


def _fail(error: Exception, *, as_json: bool) -> int:
    if sys.flags.dev_mode:
        raise error
    from cidx_jobs.cli.async_run import TerminatedError
    from cidx_jobs.cli.error_report import report_bug, report_error
    from cidx_jobs.model.errors import CidxJobsError

    if isinstance(error, TerminatedError):
        return Exit.TERMINATED
    if isinstance(error, CidxJobsError):
        return report_error(error, as_json=as_json)
    code = report_bug(error)
    if as_json:
        _print_error("internal_error", f"{type(error).__name__}: {error}")
    return code


def _print_error(code: str, message: str) -> None:
    from cidx_jobs.cli.terminal.output import print_json

    print_json({"error": {"code": code, "message": message}})


def _names_serve(arguments: Arguments) -> bool:
    # Only where the command's name stands: a text to search for, say, may be the same word.
    words = iter(arguments)
    for word in words:
        if word == "--server":
            next(words, None)
        elif not word.startswith("-"):
            return word == "serve"
    return False
