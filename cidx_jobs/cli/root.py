"""The command group ``cidx-jobs``: all commands, and ``version`` and ``completion``."""

import click

from cidx_jobs import __version__
from cidx_jobs.cli.commands import (
    admin,
    doctor,
    hooks,
    jobs,
    projects,
    restore,
    schedules,
    serve,
    settings,
    sync,
    tokens,
    users,
)
from cidx_jobs.cli.option_types import PROFILE, examples
from cidx_jobs.cli.target import (
    JSON_HELP,
    SERVER_HELP,
    Target,
    client_command,
    local_command,
    read_target,
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "cidx-jobs serve --data-dir jobs-data",
        "cidx-jobs sync attrs --url https://github.com/python-attrs/attrs",
        "cidx-jobs search attrs frozen",
    ),
)
@click.version_option(__version__, prog_name="cidx-jobs")
@click.option("--server", metavar="URL", help=SERVER_HELP)
@PROFILE
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.pass_context
def cidx_jobs(
    context: click.Context, server: str | None, profile: str | None, *, as_json: bool
) -> None:
    """Durable background jobs: serve them, submit them, watch them.

    The token is that of `cidx-jobs login`, or in CIDX_JOBS_TOKEN. A job is named by its id, by
    the beginning or the end of it, or by @latest, the newest that you submitted, also where your
    token shows everybody's.
    """
    context.obj = read_target(server, profile=profile, as_json=as_json)


@click.command(
    epilog=examples("cidx-jobs version", "cidx-jobs version --server https://jobs.example --json")
)
@client_command
def version(target: Target) -> int:
    """Show the version of this program, and that of the server.

    A server that was named, or logged in to, has to answer; where none was, that of this machine
    is asked, and nothing is said of one that is not there.
    """
    from cidx_jobs.cli.actions.settings import show_version

    return show_version(target)


@click.command(epilog=examples('eval "$(cidx-jobs completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@local_command
def completion(target: Target, shell: str) -> int:
    """Print what makes SHELL complete our commands.

    For bash: eval "$(cidx-jobs completion bash)" in ~/.bashrc.
    """
    import json

    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        message = f"there is no completion for {shell}"
        raise click.UsageError(message)
    root = click.get_current_context().find_root().command
    script = found(root, {}, "cidx-jobs", "_CIDX_JOBS_COMPLETE").source()
    if target.as_json:
        click.echo(json.dumps({"shell": shell, "script": script}))
    else:
        click.echo(script)
    return 0


_MODULES = (
    *(serve, sync, jobs, projects, schedules, hooks),
    *(tokens, users, settings, admin, doctor, restore),
)
for _module in _MODULES:
    for _command in _module.COMMANDS:
        cidx_jobs.add_command(_command)
for _command in (version, completion):
    cidx_jobs.add_command(_command)
