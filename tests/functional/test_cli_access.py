"""Commands and the ways in of a server: who administers it, and who logs in."""

import contextlib
import http.server
import io
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.functional.test_cli_server import (
    Done,
    Server,
    clean_environment,
    run_here,
    start_server,
    stop_server,
)

pytestmark = pytest.mark.slow

SIGNED = {
    "CIDX_JOBS_AUTH": "jwt",
    "CIDX_JOBS_JWT_KEY": "s" * 32,
    "CIDX_JOBS_JWT_ALGORITHM": "HS256",
}


@pytest.mark.parametrize("depth", [0, 12])
def test_a_server_is_administered_whatever_its_way_in_is(tmp_path: Path, depth: int) -> None:
    """By the socket in its directory, also where that has a longer path than sockets take."""
    place = tmp_path.joinpath(*["a-long-name"] * depth)
    place.mkdir(parents=True, exist_ok=True)
    server = start_server(place, **SIGNED)
    try:
        here = ("--data-dir", str(server.data_dir))
        stats = server.cli("admin", "stats", "--json", *here)
        elsewhere = server.cli("admin", "stats", "--json")
        socket = server.data_dir / "server.sock"
        mode = socket.stat().st_mode & 0o777
    finally:
        code = stop_server(server)

    assert (stats.code, elsewhere.code, code) == (0, 2, 0)
    assert mode == 0o600
    assert not socket.exists()


def test_a_key_is_checked_before_the_server_starts(tmp_path: Path) -> None:
    """``check`` and ``serve`` refuse it alike, and neither shows it."""
    short = {**SIGNED, "CIDX_JOBS_JWT_KEY": "too-short", "CIDX_JOBS_DATA_DIR": str(tmp_path)}
    good = {**SIGNED, "CIDX_JOBS_DATA_DIR": str(tmp_path), "CIDX_JOBS_PORT": "0"}

    refused = [run_here((command,), short) for command in ("check", "serve")]
    checked = run_here(("check",), good)

    assert [done.code for done in refused] == [1, 1]
    assert all("jwt_key: a key for HS256 has 32 bytes" in done.err for done in refused)
    assert checked.code == 0
    assert "s" * 32 not in checked.out
    assert not any("too-short" in done.err for done in refused)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of a team: alice has an account, and the administrator too."""
    server = start_server(tmp_path_factory.mktemp("team"), CIDX_JOBS_AUTH="tokens")
    for user, scope in (("alice", "write"), ("root", "admin"), ("carol", "audit")):
        body = {"user_id": user, "password": "correct horse", "scope": scope}
        _ask_server(server, "POST", "/api/admin/users", body)
    yield server
    assert stop_server(server) == 0


def _ask_server(server: Server, method: str, path: str, body: Any = None) -> Any:
    token = (server.data_dir / "admin.token").read_text("utf-8").strip()
    request = urllib.request.Request(  # noqa: S310 - our own server
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
        text = answer.read()
    return json.loads(text) if text else None


class Home:
    """Somebody's commands, with the logins that they keep."""

    def __init__(self, server: Server, folder: Path) -> None:
        """Know the server's address and nothing else."""
        self.file = folder / "cidx-jobs" / "client.toml"
        self._env = {**clean_environment(), "XDG_CONFIG_HOME": str(folder)}
        self._url = server.url

    def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Done:
        """Run a command."""
        with mock.patch("sys.stdin", io.StringIO(stdin)):
            return run_here(arguments, {**self._env, **env})

    def log_in(self, user: str, *more: str) -> Done:
        """Log in with the password."""
        lines = f"{user}\ncorrect horse\n"
        return self("login", "--server", self._url, *more, stdin=lines)


@pytest.fixture
def home(team: Server, tmp_path: Path) -> Home:
    """Return somebody who has never logged in."""
    return Home(team, tmp_path)


def test_who_logs_in_needs_no_variables(team: Server, home: Home) -> None:
    """Server and token are kept for them alone, and forgotten when they want."""
    before = home("whoami", "--server", team.url)
    entered = home.log_in("alice", "--json")
    known = home("whoami", "--json").json
    listed = home("list")
    mode = home.file.stat().st_mode & 0o777
    home("logout")
    after = home("whoami", "--server", team.url)

    assert before.code == 2
    assert "cidx-jobs login" in before.err
    assert (entered.code, listed.code, after.code) == (0, 0, 2)
    assert (known["user_id"], known["role"], known["server"]) == ("alice", "user", team.url)
    assert mode == 0o600
    assert "correct horse" not in entered.out + entered.err
    assert "eyJ" not in entered.out + entered.err


def test_there_may_be_several_logins(team: Server, home: Home) -> None:
    """Each has a name, and --profile says which is meant."""
    home.log_in("alice")
    home.log_in("carol", "--profile", "eyes")

    users = [
        home("whoami", *profile, "--json").json["user_id"]
        for profile in ((), ("--profile", "eyes"), ("--profile", "default"))
    ]
    unknown = home("whoami", "--profile", "none")

    assert users == ["alice", "carol", "alice"]
    assert unknown.code == 64
    assert "default, eyes" in unknown.err


def test_a_token_comes_from_stdin(team: Server, home: Home) -> None:
    """And is kept only if the server knows it."""
    token = _ask_server(team, "POST", "/api/admin/tokens", {"user_id": "dora"})["token"]

    wrong = home("login", "--server", team.url, "--token", stdin="cidxj_wrong\n")
    nothing = home("login", "--server", team.url, "--token", stdin="\n")
    was_kept = home.file.exists()
    right = home("login", "--server", team.url, "--token", stdin=f"{token}\n")

    assert (wrong.code, nothing.code, was_kept) == (2, 64, False)
    assert right.code == 0
    assert "dora" in home("whoami").out
    assert token not in right.out + right.err


def test_a_login_goes_to_its_own_server_alone(team: Server, home: Home) -> None:
    """Whoever is named in its place never sees the token; variables win over it."""
    home.log_in("alice")
    seen: list[str | None] = []
    with listening_for_tokens(seen) as url:
        home("list", "--server", url)
        home("list", CIDX_JOBS_SERVER=url)
        home("list", CIDX_JOBS_SERVER=url, CIDX_JOBS_TOKEN="another")

    assert seen == [None, None, "Bearer another"]


@contextlib.contextmanager
def listening_for_tokens(seen: list[str | None]) -> Iterator[str]:
    """Listen as a server that notes what it is shown, and knows nobody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_that_others_may_read_is_refused(team: Server, home: Home) -> None:
    """It holds tokens; the text says what to do."""
    home.log_in("alice")
    home.file.chmod(0o644)

    done = home("list")

    assert done.code == 64
    assert "chmod 600" in done.err


def test_an_administrator_who_is_logged_in_needs_no_directory(
    team: Server, home: Home, tmp_path: Path
) -> None:
    """Where there is none, the login says which server is meant."""
    home.log_in("root", "--profile", "team")
    nowhere = {"CIDX_JOBS_DATA_DIR": str(tmp_path / "none")}

    by_profile = home("user", "list", "--profile", "team", "--json", **nowhere)

    assert by_profile.code == 0, by_profile.err
    assert {one["user_id"] for one in by_profile.json["users"]} == {"alice", "root", "carol"}
