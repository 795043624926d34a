"""What ``project list`` and ``project remove`` do."""

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.projects import ProjectDocument

_HEAD = ("PROJECT", "SYNCED", "FILES", "COPY BYTES", "INDEX BYTES", "REPOSITORY")


def show_projects(target: Target) -> Exit:
    """List the caller's projects."""
    found = ask(target, JobsClient.list_projects)
    if target.as_json:
        print_json(found)
    else:
        # Whole lines, whatever the terminal: the URLs are what is wanted.
        print_lines(table(_HEAD, [_row(project) for project in found.projects], None))
    return Exit.DONE


def remove_project(target: Target, project_id: str) -> Exit:
    """Remove one of the caller's projects."""

    async def remove(client: JobsClient) -> None:
        await client.remove_project(project_id)

    ask(target, remove)
    if target.as_json:
        print_json({"project_id": project_id, "removed": True})
    return Exit.DONE


def _row(project: ProjectDocument) -> tuple[str, ...]:
    synced = project.last_synced_at
    return (
        escape(project.project_id),
        "never" if synced is None else synced.isoformat(timespec="seconds"),
        *(
            "-" if number is None else f"{number:,}"
            for number in (project.files_indexed, project.repository_bytes, project.index_bytes)
        ),
        escape(project.repository_url or "-"),
    )
