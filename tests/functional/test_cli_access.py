"""Commands and the ways in of a server: who administers it, and who logs in."""

from pathlib import Path

import pytest

from tests.functional.test_cli_server import run_here, start_server, stop_server

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
    good = {**SIGNED, "CIDX_JOBS_DATA_DIR": str(tmp_path)}

    refused = [run_here((command,), short) for command in ("check", "serve")]
    checked = run_here(("check",), good)

    assert [done.code for done in refused] == [1, 1]
    assert all("jwt_key: a key for HS256 has 32 bytes" in done.err for done in refused)
    assert checked.code == 0
    assert "s" * 32 not in checked.out
    assert not any("too-short" in done.err for done in refused)
