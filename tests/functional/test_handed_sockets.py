"""Sockets that are handed to the server: a restart leaves no gap."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.web.handed_sockets import is_local, take_sockets
from tests.fakes import WAIT_SECONDS
from tests.functional.test_cli_server import clean_environment

ROOT = Path(__file__).parents[2]


def listener(host: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens, as systemd makes them."""
    made = socket.create_server((host, 0), backlog=128)
    os.set_inheritable(made.fileno(), True)
    return made


def serve(handed: socket.socket, data_dir: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start a server with the socket as its first descriptor, as systemd does."""
    number = handed.fileno()
    serving = f"{sys.executable} -m cidx_jobs serve --data-dir {data_dir} --log-format json"
    script = f"LISTEN_FDS=1 LISTEN_PID=$$ exec {serving} 3<&{number}"
    with log.open("ab") as stream:
        return subprocess.Popen(
            ["/bin/bash", "-c", script],
            cwd=ROOT,
            env=clean_environment(),
            pass_fds=[number],
            stderr=stream,
        )


class Poller(threading.Thread):
    """A client that polls all the time, and counts what went wrong."""

    def __init__(self, url: str) -> None:
        """Poll the url, a new connection each time."""
        super().__init__(daemon=True)
        self.faults: list[str] = []
        self.good = 0
        self.longest = 0.0
        self._url = url
        self._is_over = threading.Event()

    def run(self) -> None:
        """Ask until it is over."""
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self._url, timeout=20) as answer:  # noqa: S310 - ours
                    json.load(answer)
                self.good += 1
            except OSError as error:
                self.faults.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - began)

    def finish(self) -> None:
        """Let it end."""
        self._is_over.set()
        self.join(WAIT_SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_restart_leaves_no_gap(tmp_path: Path) -> None:
    """A client that polls while the server is stopped and started is answered each time."""
    log = tmp_path / "log"
    with listener() as handed:
        url = f"http://127.0.0.1:{handed.getsockname()[1]}/api/jobs"
        server = serve(handed, tmp_path / "data", log)
        poller = Poller(url)
        poller.start()
        codes = []
        for _ in range(2):
            _until((tmp_path / "data" / "server.json").exists)
            before = poller.good
            _until(lambda before=before: poller.good > before + 5)  # type: ignore[misc]
            server.terminate()
            codes.append(server.wait(WAIT_SECONDS))
            server = serve(handed, tmp_path / "data", log)
        before = poller.good
        _until(lambda: poller.good > before + 5)
        poller.finish()
        server.terminate()
        codes.append(server.wait(WAIT_SECONDS))

    assert poller.faults == []
    assert codes == [0, 0, 0]
    assert url.removesuffix("/api/jobs") in log.read_text("utf-8")


def _until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_FDS": "0"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}],
)
def test_without_sockets_for_this_process_none_are_taken(environ: dict[str, str]) -> None:
    """Whoever starts us may have left the variables of its own."""
    assert take_sockets(environ) == ()


@pytest.mark.parametrize("count", ["x", "-1", "²"])
def test_a_wrong_count_is_refused(count: str) -> None:
    """It names the variable."""
    with pytest.raises(SettingsError, match="LISTEN_FDS"):
        take_sockets({"LISTEN_FDS": count})


def test_what_does_not_listen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is no socket, and a connection takes no others; each stays as it is."""
    with socket.socket() as connection, Path(os.devnull).open("rb") as file:
        for number in (connection.fileno(), file.fileno()):
            monkeypatch.setattr("cidx_jobs.web.handed_sockets.FIRST_DESCRIPTOR", number)
            with pytest.raises(SettingsError, match=f"LISTEN_FDS: descriptor {number} "):
                take_sockets({"LISTEN_FDS": "1"})
            os.fstat(number)


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_who_can_reach_a_socket_is_known(
    host: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without log-in takes only those of this machine."""
    made = listener(host)
    monkeypatch.setattr("cidx_jobs.web.handed_sockets.FIRST_DESCRIPTOR", made.detach())

    (taken,) = take_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})

    with taken:
        assert is_local(taken) is local
        assert not os.get_inheritable(taken.fileno())
