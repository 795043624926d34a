"""All commands, put together; each module holds a group of them and imports only click."""

import click

from cidx_jobs import __version__
from cidx_jobs.cli.commands import admin as operate
from cidx_jobs.cli.commands import doctor, jobs, projects, serve, sync
from cidx_jobs.cli.commands import tokens_and_settings as admin
from cidx_jobs.cli.target import JSON_HELP, SERVER_HELP, read_target


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cidx-jobs")
@click.option("--server", metavar="URL", help=SERVER_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.pass_context
def cidx_jobs(context: click.Context, server: str | None, *, as_json: bool) -> None:
    """Durable background jobs: serve them, submit them, watch them.

    The token comes from CIDX_JOBS_TOKEN. A job is named by its id, by the beginning of it, or
    by @latest, the newest that you submitted, also where your token shows everybody's.
    """
    context.obj = read_target(server, as_json=as_json)


for _module in (serve, sync, jobs, projects, admin, operate, doctor):
    for _command in _module.COMMANDS:
        cidx_jobs.add_command(_command)
