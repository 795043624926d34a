"""A real server syncs this very repository, twice, shows how, and leaves nothing behind.

``make demo`` runs it. Everything happens in a temporary directory, with no network: the server is
``python -m cidx_jobs serve`` on a free port, and what you see is the real ``cidx-jobs sync``.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parents[1]
PROJECT = "cidx-jobs"
BRANCH = "demo"
START_SECONDS = 30.0
STOP_SECONDS = 40.0
# Put together here, so that the search finds it in the second commit only.
NEW_NAME = "_".join(("greeting", "of", "the", "demo"))  # noqa: FLY002 - see above
CHANGE = f"def {NEW_NAME}() -> str:\n    return 'hello from the second commit'\n"
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", ".*_cache")


class DemoError(Exception):
    """The demo did not go as it should."""


def main() -> int:
    """Run the demo and give its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cidx-jobs-")))
            source = make_source(folder / "repositories" / "cidx-jobs")
            server = stack.enter_context(running_server(folder, source.parent))
            show(server, source)
    except DemoError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the server is stopped, the directory removed.", file=sys.stderr)
        return 130
    print("\nThe server has stopped cleanly; nothing is left behind.")
    return 0


def show(server: dict[str, str], source: Path) -> None:
    """Sync, search, change, sync again, search again."""
    say("First sync: every file is fetched and indexed")
    first = sync(server, source)
    find(server, "class JobSystem", "cidx_jobs")

    say("A change is committed, and synced again: only what changed is indexed")
    commit_change(source)
    second = sync(server, source)
    find(server, NEW_NAME, "greeting.py")

    indexed = [job["result"]["files_indexed"] for job in (first, second)]
    if not indexed[0] > indexed[1] == 1:
        message = f"{indexed[0]} files were indexed at first, then {indexed[1]} instead of 1"
        raise DemoError(message)


def sync(server: dict[str, str], source: Path) -> dict[str, Any]:
    """Run ``cidx-jobs sync``, live, then show its phases; give the job."""
    print(f"$ cidx-jobs sync {PROJECT} --url {source} --branch {BRANCH}")
    out = run_cli(server, "sync", PROJECT, "--url", str(source), "--branch", BRANCH, "--json")
    job: dict[str, Any] = json.loads(out)
    for phase, seconds in job["result"]["phase_seconds"].items():
        print(f"  {phase:<17} {seconds:7.2f} s")
    result = job["result"]
    print(
        f"  {result['files_indexed']} files indexed, {result['files_skipped']} skipped,"
        f" {result['files_total']} in all, at commit {result['commit_after'][:12]}"
    )
    return job


def find(server: dict[str, str], text: str, path: str) -> None:
    """Run ``cidx-jobs search`` below *path* and show the first line it finds."""
    print(f"$ cidx-jobs search {PROJECT} {text!r} --path {path}")
    found = json.loads(
        run_cli(server, "search", PROJECT, text, "--path", path, "--limit", "1", "--json")
    )
    if not found["hits"]:
        message = f"{text!r} was not found"
        raise DemoError(message)
    hit = found["hits"][0]
    print(f"  {hit['path']}:{hit['line_number']}: {hit['line'].strip()}")


def run_cli(server: dict[str, str], *arguments: str) -> str:
    """Run the command line; progress goes to our own stderr, what it prints is given."""
    done = subprocess.run(
        [sys.executable, "-m", "cidx_jobs", *arguments],
        env=server,
        stdin=subprocess.DEVNULL,  # Ctrl-C ends the demo; it asks nothing
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"cidx-jobs {arguments[0]} ended with {done.returncode}: {done.stdout.strip()}"
        raise DemoError(message)
    return done.stdout


def make_source(source: Path) -> Path:
    """Put this repository where the server may sync it from, as it was last committed."""
    source.parent.mkdir()
    commit = git(HERE, "rev-parse", "--short", "HEAD", check=False)
    if commit and Path(git(HERE, "rev-parse", "--show-toplevel")) == HERE:
        git(HERE, "clone", "--quiet", str(HERE), str(source))
        changed = git(HERE, "status", "--porcelain").splitlines()
        note = f", without {len(changed)} uncommitted changes" if changed else ""
        print(f"Syncing commit {commit} of {HERE}{note}")
    else:
        shutil.copytree(HERE, source, ignore=NOT_COPIED)
        git(source, "init", "--quiet")
        git(source, "add", "--all")
        git(source, "commit", "--quiet", "--message", "The folder as it is")
        print(f"Syncing a copy of {HERE}, which is no git checkout")
    git(source, "checkout", "--quiet", "-B", BRANCH)
    return source


def commit_change(source: Path) -> None:
    """Add one file to the repository."""
    (source / "greeting.py").write_text(CHANGE, encoding="utf-8")
    git(source, "add", "greeting.py")
    git(source, "commit", "--quiet", "--message", "Greet the demo")


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run git, free of what its user has configured, and give its output."""
    identity = ("-c", "user.name=demo", "-c", "user.email=demo@example.org")
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *identity, *arguments],
        cwd=folder,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        message = f"git {arguments[0]}: {done.stderr.strip()}"
        raise DemoError(message)
    return done.stdout.strip() if done.returncode == 0 else ""


@contextlib.contextmanager
def running_server(folder: Path, repositories: Path) -> Iterator[dict[str, str]]:
    """Start a server, give the environment of its clients, and stop it, which must go well."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CIDX_JOBS_")}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), own.get("PYTHONPATH")]))
    settings = {
        "CIDX_JOBS_DATA_DIR": str(folder / "data"),
        "CIDX_JOBS_PORT": "0",
        "CIDX_JOBS_GIT_LOCAL_ROOTS": str(repositories),
    }
    log = folder / "server.log"
    with log.open("wb") as stream:
        # In a session of its own, so that Ctrl-C reaches us first and the server is stopped well.
        server = subprocess.Popen(
            [sys.executable, "-m", "cidx_jobs", "serve", "--log-format", "json"],
            env=own | settings,
            stderr=stream,
            start_new_session=True,
        )
    try:
        url = wait_until_ready(server, folder / "data" / "server.json", log)
        print(f"A server is running at {url}, process {server.pid}")
        yield own | {"CIDX_JOBS_SERVER": url}
    except BaseException:
        stop(server)
        raise
    code = stop(server)
    if code != 0:
        message = f"the server ended with {code}:\n{log.read_text('utf-8')}"
        raise DemoError(message)


def wait_until_ready(server: "subprocess.Popen[bytes]", file: Path, log: Path) -> str:
    """Wait until the server says where it is, and give that."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            message = f"the server ended with {server.returncode}:\n{log.read_text('utf-8')}"
            raise DemoError(message)
        if file.exists():
            return str(json.loads(file.read_text("utf-8"))["url"])
        time.sleep(0.05)
    message = f"the server was not ready within {START_SECONDS:g} seconds"
    raise DemoError(message)


def stop(server: "subprocess.Popen[bytes]") -> int:
    """Stop the server as an operator does, and give its exit code."""
    server.terminate()
    try:
        return server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}")
    sys.stdout.flush()


def _terminate(_: int, __: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    # What the commands write must not come before what we have said.
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file
    sys.exit(main())
