"""What the README and the documentation show, runs: page by page, block by block, in order."""

import configparser
import importlib
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import pytest

from cidx_jobs import JobStatus
from cidx_jobs.client import JobPollingEngine
from cidx_jobs.engine.concurrency import ConcurrencyController
from cidx_jobs.engine.manager import SyncJobManager
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.example_runs import run_example
from tests.functional.test_cli_server import clean_environment, git, run_here
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_THE_PROCESS = re.compile(r"set_tracer_provider|sentry_sdk\.init")
"""What is set up for a whole process, ours too: `test_recipes` runs it in others."""
FILE_NAME = re.compile(r"# ([\w.]+\.(?:py|toml))\n")
ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)
EXIT_CODE = re.compile(r"# exit code (\d+)")
PASSWORD = "correct horse"
EXPORT = re.compile(r"export ([A-Z_]+)=\$\((.*)\)")
SERVER_URL = "http://127.0.0.1:8095"
SERVER = "CIDX_JOBS_SERVER"
READY = re.compile(
    r'"event": ?"server_ready".*?"url": ?"([^"]+)"|"url": ?"([^"]+)".*?"event": ?"server_ready"'
)
REPOSITORIES = ("https://github.com/python-attrs/attrs.git", "https://example.org/my-project.git")

# Made from the code, and compared with it by a test of their own.
MADE = {"python.md", "command-line.md", "errors.md", "settings.md"}
# What a reader runs and we do not: it installs, or it is what runs us.
NOT_RUN = ("pip install ", "python3 -m venv ", ". jobs/bin/activate", "make ")

PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in page.parts and page.name not in MADE and BLOCK.search(page.read_text())
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository that stands for those on the net."""
    folder = tmp_path_factory.mktemp("repositories") / "attrs"
    folder.mkdir()
    (folder / "a.py").write_text("def evolve():\n    pass\n\ndef main():\n    pass\n", "utf-8")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    return folder


class Reader:
    """Somebody who does what a page says, from the first line to the last."""

    def __init__(self, folder: Path, repository: Path) -> None:
        """Sit in an empty folder."""
        self.folder = folder
        self.repository = repository
        self.env: dict[str, str] = clean_environment()
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        # A newcomer has pytest and pytest-asyncio; our many other plugins take seconds to load.
        self.env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        self.env["PYTEST_ADDOPTS"] = "-p pytest_asyncio.plugin -p no:cacheprovider"
        # Where a login is kept; not the one of whoever runs the tests.
        self.env["XDG_CONFIG_HOME"] = str(folder / "config")
        # Where `check` looks, too: another test's server may have the usual one.
        self.env["CIDX_JOBS_PORT"] = "0"
        self.url = SERVER_URL
        self._log = folder / "server.log"
        self._server: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Stop the server, which has to end well."""
        server, self._server = self._server, None
        if server is not None:
            server.terminate()
            assert server.wait(WAIT_SECONDS) == 0

    def do(self, language: str, text: str) -> None:
        """Do what one block says."""
        match language:
            case "python":
                self._save(text)
                if "\nasync def test_" not in text and not OF_THE_PROCESS.search(text):
                    run_example(self._translate(text), self.folder)
            case "console":
                for line in text.splitlines():
                    told = EXIT_CODE.search(line)
                    command = self._translate(line.partition(" #")[0].strip())
                    self._run_line(command, int(told[1]) if told else 0)
            case "toml":
                tomllib.loads(text)
                self._save(text)
            case "ini":
                configparser.ConfigParser().read_string(text)
            case _:
                # A picture, what a command printed, or a query that another test runs.
                assert language in {"text", "json", "sql"}

    def _translate(self, text: str) -> str:
        text = text.replace(SERVER_URL, self.url).replace("port=8096", "port=0")
        for url in REPOSITORIES:
            text = text.replace(url, str(self.repository))
        return text

    def _save(self, text: str) -> None:
        if name := FILE_NAME.match(text):
            (self.folder / name[1]).write_text(text, encoding="utf-8")

    def _run_line(self, line: str, code: int = 0) -> None:
        if not line or line.startswith(NOT_RUN):
            return
        if export := EXPORT.fullmatch(line):
            self.env[export[1]] = self._run(shlex.split(export[2]), self.env).strip()
            return
        words = [each for word in shlex.split(line) for each in expand(word)]
        env = dict(self.env)
        while assigned := ASSIGNMENT.fullmatch(words[0]):
            env[assigned[1]] = assigned[2]
            words = words[1:]
        if words[:2] == ["cidx-jobs", "serve"]:
            self._serve(words, env)
        elif words[0] == "cidx-jobs" and asks(words):
            assert self._answer(words, env) == code, words
        else:
            self._run(words, env, code)

    def _answer(self, words: list[str], env: Mapping[str, str]) -> int:
        """Run a command on a terminal, and answer what it asks; return its exit code."""
        user = words[words.index("--profile") + 1] if "--profile" in words else ""
        answers = {"User": user, "confirmation": PASSWORD, "Password": PASSWORD, "y/N": "y"}
        with Terminal(words, {**env, "TERM": "xterm"}, columns=80) as terminal:
            for prompt in asks(words):
                terminal.read_until(rf"{prompt}.*[:\]] $")
                terminal.type(f"{answers[prompt]}\n")
            return terminal.finish()

    def _serve(self, words: list[str], env: Mapping[str, str]) -> None:
        self.close()
        own = {
            "CIDX_JOBS_LOG_FORMAT": "json",
            "CIDX_JOBS_GIT_LOCAL_ROOTS": str(self.repository.parent),
        }
        with self._log.open("wb") as stream:
            self._server = subprocess.Popen(
                words, cwd=self.folder, env={**env, **own}, stderr=stream
            )
        self.url = self._wait_for_server(self._server)
        self.env["CIDX_JOBS_SERVER"] = self.url

    def _wait_for_server(self, server: "subprocess.Popen[bytes]") -> str:
        until = time.monotonic() + WAIT_SECONDS
        while (ready := READY.search(text := self._log.read_text("utf-8"))) is None:
            assert server.poll() is None, text
            assert time.monotonic() < until, text
            time.sleep(0.05)
        return ready[1]

    def _run(self, words: list[str], env: Mapping[str, str], code: int = 0) -> str:
        match words:
            case ["cidx-jobs", *arguments]:
                # These find their server in the data directory.
                hidden = SERVER if arguments[0] in {"admin", "token", "user"} else None
                done = run_here(tuple(arguments), {k: v for k, v in env.items() if k != hidden})
                assert done.code == code, (words, done.err)
                return done.out
            case ["curl", url]:
                # Not every machine that runs the tests has it.
                with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
                    assert answer.status == HTTPStatus.OK
                return ""
            case _:
                return run_program(words, self.folder, env)


def asks(words: list[str]) -> tuple[str, ...]:
    """Return what a command asks on a terminal, one prompt after the other."""
    match words[1:3]:
        case ["user", "add"]:
            return ("Password", "confirmation")
        case ["user", "remove"]:
            return ("y/N",)
        case ["login", _]:
            return ("User", "Password")
        case _:
            return ()


def expand(word: str) -> list[str]:
    """Return the files that a pattern of a shell stands for; the word, where it is none.

    A lone star is in quotes wherever a page has one: it stands for all users.
    """
    is_pattern = "*" in word and word != "*"
    return (sorted(map(str, Path().glob(word))) or [word]) if is_pattern else [word]


def run_program(words: list[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run a program to its end, which must be good; give what it printed."""
    ended = subprocess.run(
        words,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended.stdout


@pytest.fixture
def reader(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Give a reader in an empty folder; what they started is stopped."""
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, repository)
    yield reader
    reader.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_a_page_can_be_followed(page: Path, reader: Reader) -> None:
    """Each block in its order: code and tests run, files are saved, commands end with 0."""
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        reader.do(language, text)


@pytest.mark.slow
def test_the_tutorials_program_prints_what_the_tutorial_says(reader: Reader) -> None:
    """The last lines of a page are what a newcomer compares with."""
    page = (ROOT / "docs" / "tutorial" / "own-job-type.md").read_text("utf-8")
    for language, text in BLOCK.findall(page):
        if language == "python":
            reader.do(language, text)

    printed = run_program([sys.executable, "app.py"], reader.folder, reader.env)

    assert f"It prints `{printed.splitlines()[-1]}`" in page


FAULTS = {
    "it failed": "async def main():\n    raise ValueError('it failed')\n",
    "Address already": "app = None\nraise OSError('Address already in use')\n",
    "not done": "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    "async def main():\n    import time\n    time.sleep(99)\n",
    "without a word": "import os\nos._exit(0)\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(("told", "text"), FAULTS.items(), ids=list(FAULTS))
def test_an_example_that_fails_says_so_and_leaves_nothing(
    told: str, text: str, tmp_path: Path
) -> None:
    """Also one that hangs, with a thread that never ends, does so in a process of its own."""
    threads = threading.enumerate()

    with pytest.raises(AssertionError, match=told):
        run_example(text, tmp_path, wait_seconds=2.0 if told == "not done" else 30.0)

    assert threading.enumerate() == threads
    assert not [process for process in multiprocessing.active_children() if process.is_alive()]


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_two_commands(command: str) -> None:
    """A newcomer finds both commands in the README, and make knows them."""
    target = command.removeprefix("make ")

    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


NAMES = re.compile(r"^\| `(\w+)` \| `([\w.]+)`", re.MULTILINE)
NAME_TABLE = (ROOT / "docs" / "reference" / "names.md").read_text("utf-8")


@pytest.mark.parametrize(("design", "code"), NAMES.findall(NAME_TABLE))
def test_a_name_of_the_design_is_a_name_of_the_code(design: str, code: str) -> None:
    """What stands in the table exists, and is the design's name in snake_case."""
    module, _, attribute = code.rpartition(".")
    holder = HOLDERS.get(module) or importlib.import_module(module)

    assert hasattr(holder, attribute)
    assert attribute in {design, re.sub(r"(?=[A-Z])", "_", design).lower()}


HOLDERS = {
    "SyncJobManager": SyncJobManager,
    "JobPersistence": JobPersistence,
    "ConcurrencyController": ConcurrencyController,
    "JobPollingEngine": JobPollingEngine,
    "JobStatus": JobStatus,
}
