"""What ``project list``, ``show`` and ``remove`` do."""

from collections.abc import Iterator

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines, say
from cidx_jobs.cli.terminal.text import table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.projects import ProjectDocument, SkippedListDocument

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


def show_project(target: Target, project_id: str, limit: int) -> Exit:
    """Show one project, and the first *limit* of its paths that are not in the index."""

    async def read(client: JobsClient) -> tuple[ProjectDocument, SkippedListDocument]:
        known = await client.get_project(project_id)
        return known, await client.list_skipped(project_id, limit=limit)

    project, skipped = ask(target, read)
    if target.as_json:
        print_json(project)
        return Exit.DONE
    print_lines(
        f"{label:<12}{'-' if value is None else escape(str(value))}"
        for label, value in _describe(project)
    )
    print_lines(f"  {file.reason:<10}  {escape(file.path)}" for file in skipped.skipped)
    if skipped.next_cursor is not None:
        say(f"There are more than these {limit}: see them with --limit, or over HTTP.")
    return Exit.DONE


def _describe(project: ProjectDocument) -> Iterator[tuple[str, object]]:
    yield "project", project.project_id
    yield "repository", project.repository_url
    yield "branch", project.branch or f"{project.default_branch or ''} (default)".strip()
    yield "commit", project.last_commit
    yield "synced", project.last_synced_at and project.last_synced_at.isoformat(timespec="seconds")
    yield "job", project.last_job_id
    every = project.sync_every_seconds
    yield "asked", f"every {every}s" if isinstance(every, int) else every
    yield "indexed", project.files_indexed
    skipped = project.files_skipped or {}
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    yield "not indexed", counted or None


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
