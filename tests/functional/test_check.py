"""``check`` refuses what ``serve`` refuses: the same message, the same exit code, and no trace."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cidx_jobs import JobSystem
from cidx_jobs.cli.actions.serve import serve_until_stopped
from cidx_jobs.cli.actions.settings import show_settings
from cidx_jobs.cli.error_report import exit_code_of_error
from cidx_jobs.cli.target import Target
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.settings import Settings

Setup = Callable[[Path], Mapping[str, object]]
"""Makes what is wrong in a folder, and returns the settings that meet it."""

# Closed at the end of each test.
_held = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the log, a signal and sockets as they were."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield
    _held.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _file(path: Path, text: str = "", mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def _folder(path: Path, mode: int = 0o700) -> Path:
    path.mkdir(parents=True)
    path.chmod(mode)
    return path


def _listening_port() -> int:
    listener = _held.enter_context(socket.create_server(("127.0.0.1", 0)))
    port: int = listener.getsockname()[1]
    return port


def _listening_file(path: Path) -> Path:
    listener = _held.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen()
    return path


def _module(folder: Path, text: str) -> str:
    name = f"types_of_{folder.name.replace('-', '_')}"
    _file(folder / f"{name}.py", text)
    sys.path.append(str(folder))
    _held.callback(sys.path.remove, str(folder))
    return f"{name}:TYPES"


def _damaged(folder: Path) -> Path:
    return _file(_folder(folder / "d") / "jobs.db", "no database at all" * 100).parent


def _without_database(folder: Path) -> Path:
    return _file(_folder(folder / "d") / "jobs.db-wal", "left over").parent


REFUSED: Mapping[str, Setup] = {
    "an unknown setting": lambda _: {"max_runing_total": 3},
    "a value out of range": lambda _: {"port": 70_000},
    "a word that is no choice": lambda _: {"auth": "magic"},
    "a setting of another way in": lambda _: {"proxy_header": "X-User"},
    "no way in on all addresses": lambda _: {"host": "0.0.0.0", "auth": "none"},
    "a root over the data": lambda folder: {"git_local_roots": folder},
    "a log in no folder": lambda folder: {"log_file": folder / "no" / "log"},
    "a log that is a folder": lambda folder: {"log_file": _folder(folder / "log")},
    "a log below a file": lambda folder: {"log_file": _file(folder / "f") / "log"},
    "a time for a type that is not there": lambda _: {"retention_by_type": "repositry_sync=1d"},
    "handlers that are not there": lambda _: {"handlers": "not_there_at_all:TYPES"},
    "handlers without a name": lambda _: {"handlers": "json"},
    "handlers of another name": lambda _: {"handlers": "json:TYPES"},
    "handlers that are none": lambda _: {"handlers": "json:loads"},
    "handlers that raise": lambda folder: {"handlers": _module(folder, "1 / 0\n")},
    "handlers that end the program": lambda folder: {
        "handlers": _module(folder, "raise ValueError('no')\n")
    },
    "a key that is not there": lambda folder: {
        "auth": "jwt",
        "jwt_algorithm": "RS256",
        "jwt_key_file": folder / "key.pem",
    },
    "a key that is none": lambda folder: {
        "auth": "jwt",
        "jwt_algorithm": "RS256",
        "jwt_key_file": _file(folder / "key.pem", "no key"),
    },
    "a key that is short": lambda _: {
        "auth": "jwt",
        "jwt_algorithm": "HS256",
        "jwt_key": "short",
    },
    "data in a file": lambda folder: {"data_dir": _file(folder / "d")},
    "data below a file": lambda folder: {"data_dir": _file(folder / "f") / "d" / "e"},
    "data where nothing can be made": lambda _: {"data_dir": "/proc/d"},
    "data that others may write": lambda folder: {"data_dir": _folder(folder / "d", 0o777)},
    "a lock that is a folder": lambda folder: {
        "data_dir": _folder(folder / "d" / "owner.lock").parent
    },
    "a database that is none": lambda folder: {"data_dir": _damaged(folder)},
    "a log without its database": lambda folder: {"data_dir": _without_database(folder)},
    "a port that is taken": lambda _: {"port": _listening_port()},
    "an address of another machine": lambda _: {"host": "203.0.113.7", "auth": "tokens"},
    "a socket in no folder": lambda folder: {"unix_socket": folder / "no" / "s"},
    "a socket that is taken": lambda folder: {"unix_socket": _listening_file(folder / "s")},
    "a socket that is a file": lambda folder: {"unix_socket": _file(folder / "s")},
    "a socket below a file": lambda folder: {"unix_socket": _file(folder / "f") / "s"},
    "a socket of a long name": lambda folder: {"unix_socket": folder / ("s" * 120)},
}


def refusal(start: Callable[[], object]) -> tuple[int, str]:
    """Return the exit code and the message of a start that is refused."""
    with pytest.raises(CidxJobsError) as caught:
        start()
    return exit_code_of_error(caught.value), caught.value.message


def contents(folder: Path) -> set[tuple[str, int]]:
    """Return what lies in the folder, with the sizes."""
    return {(str(path), path.lstat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize("how", REFUSED)
def test_what_serve_refuses_check_refuses_too(
    how: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same message and exit code, and without a trace of having looked."""
    values = {"data_dir": folder / "data", "port": 0, **REFUSED[how](folder)}
    for name, value in values.items():
        monkeypatch.setenv(f"CIDX_JOBS_{name.upper()}", str(value))
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.setup_logging", _open_log)
    before = contents(folder)

    checked = refusal(lambda: show_settings(Target(), None, None))
    after = contents(folder)
    served = refusal(lambda: serve_until_stopped(None))

    assert checked == served
    assert checked[0] == 1
    assert {entry for entry in after ^ before if "__pycache__" not in entry[0]} == set()


def test_a_limit_of_files_that_is_too_low_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By both, before anything is opened that the limit would keep from it."""
    monkeypatch.setattr("cidx_jobs.web.server.resource.getrlimit", lambda _: (20, 20))
    monkeypatch.setenv("CIDX_JOBS_DATA_DIR", str(folder / "data"))

    checked = refusal(lambda: show_settings(Target(), None, None))
    served = refusal(lambda: serve_until_stopped(None))

    assert checked == served
    assert "the limit of open files is 20" in checked[1]


@pytest.mark.parametrize("how", ["a port that is taken", "a socket that is taken"])
def test_a_taken_address_is_found_before_anything_is_stored(
    how: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that cannot serve recovers nothing: it makes no epoch, and not even a directory."""
    monkeypatch.setattr("cidx_jobs.cli.actions.serve.setup_logging", _open_log)
    values = {"data_dir": folder / "data", **REFUSED[how](folder)}

    _, message = refusal(lambda: serve_until_stopped(None, **values))

    assert "address already in use" in message
    assert not (folder / "data").exists()


def _open_log(settings: Settings) -> None:
    # As `setup_logging` does, which would leave the handlers of this process changed.
    from cidx_jobs.observe.log_file import LogFile  # noqa: PLC0415 - for this alone

    if settings.log_file is not None:
        LogFile(settings.log_file).close()


@pytest.mark.slow
def test_a_process_refuses_alike(tmp_path: Path) -> None:
    """A socket that is none, which only a process of its own can be handed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIDX_")}
    environ = {**kept, "CIDX_JOBS_DATA_DIR": str(tmp_path / "data"), "LISTEN_FDS": "1"}

    checked, served = (
        subprocess.run(
            [sys.executable, "-m", "cidx_jobs", command],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        for command in ("check", "serve")
    )

    assert "LISTEN_FDS" in checked.stderr
    assert (checked.returncode, checked.stderr) == (served.returncode, served.stderr)


async def test_the_settings_of_a_running_server_can_be_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory that is owned, and the address of its owner, are no fault but a note."""
    from cidx_jobs.web.preflight import check_start  # noqa: PLC0415 - loads a whole server

    settings = Settings(data_dir=folder / "data", unix_socket=folder / "s")

    async with JobSystem.open(settings):
        warnings = await check_start(settings)

    assert "already_owned" in {warning.code for warning in warnings}


async def test_a_socket_may_lie_in_the_directory_that_a_start_makes(folder: Path) -> None:
    """Nothing is made to find out."""
    from cidx_jobs.web.preflight import check_start  # noqa: PLC0415 - loads a whole server

    directory = folder / "new"

    await check_start(Settings(data_dir=directory, unix_socket=directory / "s"))

    assert not directory.exists()


def test_files_for_git_that_cannot_be_used_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs refuse them, not the start: they are read anew by each."""
    files = {
        "git_ssh_key": _file(folder / "key", "k", 0o644),
        "git_ca_file": folder / "ca.pem",
        "git_credentials": _file(folder / "c", "https://a:b@c.example", 0o640),
    }
    for name, path in {"data_dir": folder / "data", **files}.items():
        monkeypatch.setenv(f"CIDX_JOBS_{name.upper()}", str(path))
    monkeypatch.setenv("CIDX_JOBS_PORT", "0")

    code = show_settings(Target(), None, None)

    told = capsys.readouterr().err
    assert code == 0
    assert all(f"git_file_unusable: the file of the setting {name}" in told for name in files)


@pytest.mark.usefixtures("may_block")
def test_what_syncs_would_miss_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by its setting: the index program, and roots of local repositories.

    The roots are resolved while nothing else turns in the loop yet.
    """
    values = {
        "port": 0,
        "index_command": "no-such-program --all",
        "git_local_roots": f"{folder},{folder / 'gone'},{_file(folder / 'file')}",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"CIDX_JOBS_{name.upper()}", str(value))

    code = show_settings(Target(), folder.parent / f"{folder.name}-data", None)

    told = capsys.readouterr().err
    missing = "git_root_missing: git_local_roots: there is no directory"
    assert code == 0
    assert f"{missing} {folder / 'gone'}\n{missing} {folder / 'file'}\n" in told
    assert "index_command_missing: index_command: there is no program no-such-program" in told


@pytest.mark.parametrize(
    ("text", "variables", "told"),
    [
        ('port = 1\n\n"max_runing_total" = 3\n', {}, "max_running_total? ({file}, line 3)"),
        ("port = 70000\n", {}, "not 70,000 ({file}, line 1)"),
        ("[resources]\ngit = 0\n", {}, "({file}, line 1)"),
        ("port = 1\n", {"CIDX_JOBS_PORT": "x"}, "(the variable CIDX_JOBS_PORT)"),
        ("", {"CIDX_JOBS_MAX_RUNING_TOTAL": "1"}, "(the variable CIDX_JOBS_MAX_RUNING_TOTAL)"),
        ("[server]\nport = 1\n", {}, "server: this version has no such setting ({file}, line 1)"),
        ("auth = 'jwt'\n", {}, "auth: jwt needs either jwt_key or jwt_key_file ({file}, line 1)"),
    ],
)
def test_a_wrong_setting_is_told_by_its_place(
    tmp_path: Path, text: str, variables: Mapping[str, str], told: str
) -> None:
    """The line of the file, or the variable that wins over it."""
    file = _file(tmp_path / "jobs.toml", text)

    _, message = refusal(lambda: Settings.load(file, variables))

    assert message.endswith(told.format(file=file)), message


def test_a_flag_that_is_wrong_is_not_told_by_the_file(tmp_path: Path) -> None:
    """It wins over both, and whoever typed it knows where it stands."""
    file = _file(tmp_path / "jobs.toml", "port = 1\n")

    _, message = refusal(lambda: Settings.load(file, {}, {"port": 70_000}))

    assert message == "port must be from 0 to 65,535, not 70,000"
