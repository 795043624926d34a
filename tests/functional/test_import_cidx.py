"""``import-cidx``: what a CIDX server has comes into a data directory."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from cidx_jobs.store.cidx_server import read_cidx_server
from tests.functional.test_cli_server import (
    Done,
    clean_environment,
    run_here,
    start_server,
    stop_server,
)

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
URL = "https://example.org/a/b.git"
TABLES = """
CREATE TABLE users (username TEXT PRIMARY KEY, password_hash TEXT, role TEXT, created_at TEXT);
CREATE TABLE golden_repos_metadata (alias TEXT PRIMARY KEY, repo_url TEXT, default_branch TEXT);
CREATE TABLE sync_jobs (job_id TEXT, username TEXT, user_alias TEXT, status TEXT,
    created_at TEXT, repository_url TEXT);
CREATE TABLE background_jobs (job_id TEXT, operation_type TEXT, status TEXT, created_at TEXT,
    username TEXT, repo_alias TEXT);
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a CIDX server, with the files of its activations beside it."""
    folder = tmp_path_factory.mktemp("cidx")
    file = folder / "server.db"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript(TABLES)
        users = [("ann", hashed, "normal_user"), ("boss", hashed, "admin"), ("odd", "x", "admin")]
        db.executemany("INSERT INTO users VALUES (?, ?, ?, '')", users)
        golden = [("gold", URL, "main"), ("local", "/srv/repo", "main")]
        db.executemany("INSERT INTO golden_repos_metadata VALUES (?, ?, ?)", golden)
        syncs = [
            ("j1", "ann", "mine", "running", "1", URL),
            ("j2", "ann", "mine", "completed", "2", URL),
            ("j3", "ann", "other", "queued", "3", URL),
        ]
        db.executemany("INSERT INTO sync_jobs VALUES (?, ?, ?, ?, ?, ?)", syncs)
        jobs = [
            ("k1", "sync_repository", "pending", "1", "ann", "mine"),
            ("k2", "add_golden_repo", "pending", "2", "boss", "gold"),
        ]
        db.executemany("INSERT INTO background_jobs VALUES (?, ?, ?, ?, ?, ?)", jobs)
        db.commit()
    for alias, known in {
        "mine": {"golden_repo_alias": "gold", "current_branch": "main"},
        "work": {"golden_repo_alias": "gold", "current_branch": "dev"},
        "here": {"golden_repo_alias": "local", "current_branch": "main"},
        "many": {"golden_repo_alias": "gold", "is_composite": True},
        "gone": {"golden_repo_alias": "none"},
    }.items():
        place = folder / "activated-repos" / "ann" / f"{alias}_metadata.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(known), encoding="utf-8")
    (folder / "activated-repos" / "ann" / "torn_metadata.json").write_text("{", encoding="utf-8")
    return file


def outcomes(done: Done) -> dict[str, str]:
    """Return what became of each thing."""
    items: list[dict[str, Any]] = done.json["items"]
    return {f"{one['kind']} {one['name']}": one["outcome"] for one in items}


def test_what_a_cidx_server_has_is_brought_in_once(database: Path, tmp_path: Path) -> None:
    """Users with their passwords, projects with a sync, unfinished syncs; nothing twice."""
    server = start_server(tmp_path, CIDX_JOBS_AUTH="tokens")

    def bring_in(*more: str) -> Done:
        here = ("--data-dir", str(server.data_dir), "--json", *more)
        return run_here(("import-cidx", str(database), *here), clean_environment())

    try:
        dry = outcomes(bring_in("--dry-run"))
        first = bring_in()
        again = outcomes(bring_in())
        here = ("--data-dir", str(server.data_dir), "--json")
        users = run_here(("user", "list", *here), clean_environment()).json["users"]
        admin = (server.data_dir / "admin.token").read_text("utf-8").strip()
        jobs = server.cli("list", "--all", "--json", CIDX_JOBS_TOKEN=admin).json["jobs"]
    finally:
        assert stop_server(server) == 0

    made = outcomes(first)
    assert first.code == 1
    assert dry["user ann"] == dry["project mine of ann"] == "would be made"
    assert made["user ann"] == made["user boss"] == made["project mine of ann"] == "made"
    assert made["user odd"].startswith("refused: ")
    assert made["project here of ann"].startswith("refused: ")
    assert made["project many of ann"].startswith("left out")
    assert made["project gone of ann"].startswith("left out")
    assert "first sync" in made["job j1 of ann"]
    assert "first sync" in made["job k1 of ann"]
    assert made["job j3 of ann"] == "made"
    assert [name for name, one in again.items() if one == "made"] == []
    assert again["job j3 of ann"] == again["job j1 of ann"] == "is there already"
    assert {one["user_id"]: one["scope"] for one in users} == {"ann": "write", "boss": "admin"}
    assert sorted(job["project_id"] for job in jobs) == ["mine", "other", "work"]
    branches = {job["project_id"]: job["options"].get("branch") for job in jobs}
    assert branches["work"] == "dev"


def test_a_dry_run_makes_no_directory(database: Path, tmp_path: Path) -> None:
    """All of it would be new."""
    here = ("--data-dir", str(tmp_path / "none"), "--dry-run", "--json")

    done = run_here(("import-cidx", str(database), *here), clean_environment())

    assert done.code == 0
    assert set(outcomes(done).values()) == {"would be made"}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("what", ["none", "text", "other"])
def test_what_is_no_database_of_a_cidx_server_is_refused(what: str, tmp_path: Path) -> None:
    """In one line, and before anything is made."""
    file = tmp_path / "x.db"
    if what == "text":
        file.write_text("text" * 1_000, encoding="utf-8")
    if what == "other":
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE t (a)")

    done = run_here(
        ("import-cidx", str(file), "--data-dir", str(tmp_path / "d")), clean_environment()
    )

    assert done.code in {1, 64}
    assert "x.db" in done.err
    assert not (tmp_path / "d").exists()


def test_the_table_of_activations_counts_too(database: Path, tmp_path: Path) -> None:
    """A server of several nodes keeps them there, and a file of the same name is newer."""
    file = tmp_path / "server.db"
    file.write_bytes(database.read_bytes())
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute(
            "CREATE TABLE activated_repos (username TEXT, user_alias TEXT, "
            "golden_repo_alias TEXT, current_branch TEXT, is_composite INTEGER)"
        )
        db.execute("INSERT INTO activated_repos VALUES ('boss', 'b', 'gold', 'main', 0)")
        db.commit()

    there = read_cidx_server(file)

    assert [(one.user_id, one.alias, one.url) for one in there.repositories] == [
        ("boss", "b", URL)
    ]
