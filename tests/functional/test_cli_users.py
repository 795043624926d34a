"""``cidx-jobs user``: accounts kept from the command line."""

import json
import subprocess
import sys
from pathlib import Path


def user(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of the group in a data directory that no server owns."""
    command = [sys.executable, "-m", "cidx_jobs", "user", *arguments, "--data-dir", str(directory)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_accounts_are_kept_from_the_command_line(tmp_path: Path) -> None:
    """Made, listed, changed, removed; the password comes from stdin and is shown nowhere."""
    made = user(tmp_path, "add", "alice", "--password-stdin", stdin="correct horse\n")
    again = user(tmp_path, "add", "alice", "--password-stdin", stdin="correct horse\n")
    unasked = user(tmp_path, "add", "bob", stdin="correct horse\n")
    short = user(tmp_path, "add", "bob", "--password-stdin", stdin="short\n")
    changed = user(tmp_path, "passwd", "alice", "--password-stdin", stdin="battery staple\n")
    listed = user(tmp_path, "list", "--json")
    removed = user(tmp_path, "remove", "alice", "--projects")
    missing = user(tmp_path, "remove", "alice")

    assert made.returncode == 0, made.stderr
    assert (again.returncode, short.returncode) == (8, 1)
    assert unasked.returncode == 64
    assert "--password-stdin" in unasked.stderr
    assert changed.returncode == 0, changed.stderr
    assert [one["user_id"] for one in json.loads(listed.stdout)["users"]] == ["alice"]
    assert removed.returncode == 0, removed.stderr
    assert missing.returncode == 7
    assert "horse" not in made.stdout + made.stderr + listed.stdout
