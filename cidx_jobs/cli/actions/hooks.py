"""What ``hook create``, ``show`` and ``remove`` do, and ``notify-secret``."""

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.cli.terminal.prompt import confirm_removal
from cidx_jobs.cli.terminal.text import moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape

_HEAD = ("AT", "FROM", "EVENT", "VERDICT", "JOB")


def create_hook(target: Target, project_id: str, user: str | None) -> Exit:
    """Make a hook, and print its address and its secret."""
    made = ask(target, lambda client: client.create_hook(project_id, user_id=user))
    return show_result(target, made, [f"url     {escape(made.url)}", f"secret  {made.secret}"])


def show_hook(target: Target, project_id: str, user: str | None) -> Exit:
    """Print a hook's address and its last deliveries."""
    hook = ask(target, lambda client: client.get_hook(project_id, user_id=user))
    rows = [
        (
            moment(one.at),
            escape(one.sender),
            escape(one.kind),
            escape(one.verdict),
            one.job_id or "-",
        )
        for one in hook.deliveries
    ]
    came = table(_HEAD, rows, None) if rows else ["Nothing came yet."]
    return show_result(target, hook, [f"url  {escape(hook.url)}", *came])


def remove_hook(target: Target, project_id: str, user: str | None, *, is_sure: bool) -> Exit:
    """Remove a hook, once whoever sits at the terminal has said so.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if not confirm_removal(f"Remove the push hook of {escape(project_id)}?", is_sure=is_sure):
        return Exit.FAILED
    ask(target, lambda client: client.remove_hook(project_id, user_id=user))
    return show_result(target, {"project_id": project_id, "removed": True})


def make_notify_secret(target: Target) -> Exit:
    """Make the secret that signs the caller's notices, and print it alone."""
    made = ask(target, JobsClient.create_notify_secret)
    return show_result(target, made, [made.secret])
