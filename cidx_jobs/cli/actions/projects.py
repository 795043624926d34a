"""What ``project list``, ``show`` and ``remove`` do."""

from collections import Counter
from collections.abc import Iterator, Sequence

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines, say, show_result
from cidx_jobs.cli.terminal.prompt import confirm_removal
from cidx_jobs.cli.terminal.text import interval, members, moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.listing import EVERYBODY
from cidx_jobs.settings.quantities import show_size
from cidx_jobs.wire.projects import ProjectDocument, SkippedListDocument

_LABELS_WIDTH = 12
_HEAD = ("PROJECT", "SYNCED", "FILES", "COPY", "INDEX", "REPOSITORY")


def show_projects(target: Target, user: str | None, *, shows_all: bool) -> Exit:
    """List the caller's projects, a user's, or everybody's with the bytes that each takes."""
    if shows_all and user is None:
        user = EVERYBODY
    found = ask(target, lambda client: client.list_projects(user_id=user))
    # Whole lines, whatever the terminal: the URLs are what is wanted.
    if user is None:
        rows = [_row(one) for one in found.projects]
        return show_result(target, found, table(_HEAD, rows, None))
    rows = [(escape(one.user_id), *_row(one)) for one in found.projects]
    sums = ("", *_sums(found.projects)) if user == EVERYBODY else ()
    return show_result(target, found, (*table(("USER", *_HEAD), rows, None), *sums))


def _sums(projects: Sequence[ProjectDocument]) -> Iterator[str]:
    """Yield a table of what each user's projects take, the largest first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in projects:
        counts[one.user_id] += 1
        sizes[one.user_id] += (one.repository_bytes or 0) + (one.index_bytes or 0)
    rows = [
        (escape(user), str(counts[user]), show_size(taken)) for user, taken in sizes.most_common()
    ]
    return table(("USER", "PROJECTS", "BYTES"), rows, None)


def show_project(target: Target, project_id: str, limit: int, user: str | None) -> Exit:
    """Show one project, and the first *limit* of its paths that are not in the index."""

    async def read(client: JobsClient) -> tuple[ProjectDocument, SkippedListDocument]:
        known = await client.get_project(project_id, user_id=user)
        return known, await client.list_skipped(project_id, limit=limit, user_id=user)

    project, skipped = ask(target, read)
    if target.as_json:
        print_json(project)
        return Exit.DONE
    print_lines(members(_describe(project), _LABELS_WIDTH))
    print_lines(f"  {file.reason:<10}  {escape(file.path)}" for file in skipped.skipped)
    if skipped.next_cursor is not None:
        say(f"There are more than these {limit}: see them with --limit, or over HTTP.")
    return Exit.DONE


def _describe(project: ProjectDocument) -> Iterator[tuple[str, object]]:
    yield "project", project.project_id
    yield "repository", project.repository_url
    yield "branch", project.branch or f"{project.default_branch or ''} (default)".strip()
    yield "commit", project.last_commit
    yield "synced", project.last_synced_at and moment(project.last_synced_at)
    yield "job", project.last_job_id
    every = project.sync_every_seconds
    yield "polled", f"every {interval(every)}" if isinstance(every, int) else every or "never"
    yield "indexed", project.files_indexed
    skipped = project.files_skipped or {}
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    yield "not indexed", counted or None


def remove_project(target: Target, project_id: str, user: str | None, *, is_sure: bool) -> Exit:
    """Remove a project, once whoever sits at the terminal has said so; say what went.

    Raises:
        click.UsageError: nobody can be asked.
    """
    known = ask(target, lambda client: client.get_project(project_id, user_id=user))
    taken = show_size((known.repository_bytes or 0) + (known.index_bytes or 0))
    whose = f" of {escape(known.user_id)}" if user else ""
    what = f"{escape(project_id)}{whose} ({escape(known.repository_url or '-')}, {taken})"
    if not confirm_removal(f"Remove {what} with its copy and index?", is_sure=is_sure):
        return Exit.FAILED
    ask(target, lambda client: client.remove_project(project_id, user_id=user))
    return show_result(target, {"project_id": project_id, "removed": True}, [f"Removed {what}."])


def _row(project: ProjectDocument) -> tuple[str, ...]:
    synced = project.last_synced_at
    return (
        escape(project.project_id),
        "never" if synced is None else moment(synced),
        "-" if project.files_indexed is None else f"{project.files_indexed:,}",
        *(
            "-" if number is None else show_size(number)
            for number in (project.repository_bytes, project.index_bytes)
        ),
        escape(project.repository_url or "-"),
    )
