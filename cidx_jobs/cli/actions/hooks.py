"""What ``hook create``, ``show`` and ``remove`` do, and ``notify-secret``."""

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.prompt import confirm_removal
from cidx_jobs.cli.terminal.text import moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.projects import NewPushHookDocument, NotifySecretDocument, PushHookDocument

_HEAD = ("AT", "FROM", "EVENT", "VERDICT", "JOB")


def create_hook(target: Target, project_id: str, user: str | None) -> Exit:
    """Make a hook, and print its address and its secret."""

    async def create(client: JobsClient) -> NewPushHookDocument:
        return await client.create_hook(project_id, user_id=user)

    made = ask(target, create)
    if target.as_json:
        print_json(made)
    else:
        print_lines([f"url     {escape(made.url)}", f"secret  {made.secret}"])
    return Exit.DONE


def show_hook(target: Target, project_id: str, user: str | None) -> Exit:
    """Print a hook's address and its last deliveries."""

    async def read(client: JobsClient) -> PushHookDocument:
        return await client.get_hook(project_id, user_id=user)

    hook = ask(target, read)
    if target.as_json:
        print_json(hook)
        return Exit.DONE
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
    print_lines([f"url  {escape(hook.url)}"])
    print_lines(table(_HEAD, rows, None) if rows else ["Nothing came yet."])
    return Exit.DONE


def remove_hook(target: Target, project_id: str, user: str | None, *, is_sure: bool) -> Exit:
    """Remove a hook, once whoever sits at the terminal has said so.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if not confirm_removal(f"Remove the push hook of {escape(project_id)}?", is_sure=is_sure):
        return Exit.FAILED

    async def remove(client: JobsClient) -> None:
        await client.remove_hook(project_id, user_id=user)

    ask(target, remove)
    if target.as_json:
        print_json({"project_id": project_id, "removed": True})
    return Exit.DONE


def make_notify_secret(target: Target) -> Exit:
    """Make the secret that signs the caller's notices, and print it alone."""

    async def make(client: JobsClient) -> NotifySecretDocument:
        return await client.create_notify_secret()

    made = ask(target, make)
    if target.as_json:
        print_json(made)
    else:
        print_lines([made.secret])
    return Exit.DONE
