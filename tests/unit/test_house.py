"""Rules of the house that no linter knows."""

import ast
import importlib.util
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cidx_jobs.model.late_imports import LATE_MODULES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cidx_jobs"
# 300 or 400 lines that are one thing are better than three parts that only make sense together.
MANY_CODE_LINES = 400
MAX_CODE_LINES = 600
MAX_MODULES_IN_A_ROOM = 12
MAX_WORDS_IN_THE_GLOSSARY = 25

# The one place that starts processes, and the calls that do.
PROCESS_STARTER = PACKAGE / "handlers" / "process" / "children.py"
FIRST_PROCESS = PACKAGE / "runtime" / "first_process.py"
STARTS_A_PROCESS = re.compile(
    # `prepare` finds the main module anew, in a process that is started already.
    r"(subprocess|multiprocessing(?!\.spawn\.prepare$)|pty)(\..*)?"
    r"|asyncio(\..*)?\.create_subprocess_\w+|asyncio\.subprocess"
    r"|os\.(fork|forkpty|popen|system|exec\w+|spawn\w+|posix_spawnp?)"
    r"|.*\.(subprocess_exec|subprocess_shell)"
)
# What a file that somebody made on their own machine gives away.
TRACES_OF_A_MACHINE = re.compile(r"/(?:home|Users)/\w+|[A-Z]:\\Users\\\w+")

# Calls that wait for a thread of the loop's own executor, which handlers may fill.
WAITS_FOR_THE_LOOP_S_THREADS = re.compile(
    r".*\.to_thread|.*\.run_in_executor\(None.*|loop\.get(addr|name)info"
)

MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({path.parent for path in MODULES})


def names(paths: list[Path]) -> list[str]:
    """Name each file by its path in the repository."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


@pytest.fixture(params=MODULES, ids=names(MODULES))
def module(request: pytest.FixtureRequest) -> Path:
    """Give each module of the package in turn."""
    path: Path = request.param
    return path


def tricks(source: str) -> list[str]:
    """List what in *source* makes code at run time or changes what belongs to others."""
    tree = ast.parse(source)
    others = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    # The streams of a program are its own to open, as long as it leaves `sys.modules` alone.
    others.discard("sys")
    return [ast.unparse(node) for node in ast.walk(tree) if _is_trick(node, others)]


def _is_trick(node: ast.AST, others: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="exec" | "eval" | "SimpleNamespace")):
            return True
        case ast.ImportFrom(names=taken):
            return any(re.match("_[^_]", each.name) for each in taken)
        case ast.Call(
            func=ast.Attribute(attr="__setattr__"), args=[_, ast.Constant("__class__"), _]
        ):
            return True
        case ast.Call(func=ast.Name(id="setattr"), args=[changed, *_]):
            return ast.unparse(changed).partition(".")[0] in others
        case ast.Assign(targets=targets):
            return any(_is_trick_target(target, others) for target in targets)
        case _:
            return False


def _is_trick_target(target: ast.expr, others: set[str]) -> bool:
    text = ast.unparse(target)
    # A name that was imported whole is another module: what is set in it is seen by everybody.
    is_others = text.partition(".")[0] in others and isinstance(target, ast.Attribute)
    return is_others or text.endswith(".__class__") or text.startswith("sys.modules[")


def used_names(tree: ast.AST) -> Iterator[str]:
    """Yield every imported and every dotted name, aliases of modules resolved."""
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                origin[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, dot, rest = ast.unparse(node).partition(".")
            yield f"{origin.get(first, first)}{dot}{rest}"


def process_starts(source: str) -> list[str]:
    """List the names in *source* that can start a process."""
    return [name for name in used_names(ast.parse(source)) if STARTS_A_PROCESS.fullmatch(name)]


def code_lines(source: str) -> int:
    """Count the lines that hold code: no blanks, no comments, no docstrings."""
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {
        line
        for token in tokens
        if token.type not in silent
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstring_lines(ast.parse(source)))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Give the numbers of the lines that belong to docstrings."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def tracked_files() -> list[Path]:
    """List the files that git keeps or would keep here."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the project is unknown")
    found = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in found if path.is_file()]


def test_a_module_is_one_concept(module: Path) -> None:
    """A module of over 600 code lines holds two concepts: part them; over 400, think of it."""
    lines = code_lines(module.read_text(encoding="utf-8"))

    assert lines <= MAX_CODE_LINES
    if lines > MANY_CODE_LINES:
        pytest.xfail(f"{lines} code lines: is it still one concept?")


@pytest.mark.parametrize("room", ROOMS, ids=names(ROOMS))
def test_a_room_holds_few_modules(room: Path) -> None:
    """A folder with more than twelve modules is to be parted by the questions that it answers."""
    modules = [path.stem for path in room.glob("*.py") if not path.stem.startswith("__")]

    assert len(modules) <= MAX_MODULES_IN_A_ROOM, sorted(modules)


def test_a_room_and_a_module_say_what_they_are(module: Path) -> None:
    """The first line of each docstring is a whole line of the map."""
    first_line = (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n")[0]

    assert first_line.endswith((".", "?")), first_line


def test_no_module_plays_tricks(module: Path) -> None:
    """No code made from text, no swapped class, no stand-in without a type, no private name."""
    assert tricks(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "exec('x = 1')",
        "eval('1')",
        "job.__class__ = Other",
        "object.__setattr__(job, '__class__', Other)",
        "from types import SimpleNamespace\nSimpleNamespace(a=1)",
        "from cidx_jobs.wire.strict_json import _read",
        "import sys\nsys.modules['rich'] = None",
        "import ssl\nssl.SSLContext.load_default_certs = nothing",
        "import ssl\nsetattr(ssl.SSLContext, 'load_default_certs', nothing)",
    ],
)
def test_every_trick_is_seen(source: str) -> None:
    """The rule above finds each planted trick."""
    assert tricks(source) != []


def test_migrations_are_numbered_without_gaps() -> None:
    """Two of one number would let no server start."""
    schema = PACKAGE / "store" / "sqlite" / "schema"
    numbers = sorted(int(path.name.partition("_")[0]) for path in schema.glob("*.sql"))

    assert numbers == list(range(1, len(numbers) + 1))


def test_the_glossary_is_short_and_in_order() -> None:
    """More words of our own than a reader can keep would be a language."""
    page = (ROOT / "docs" / "explanation" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^- \*\*(.+?)\*\*: ", page, flags=re.MULTILINE)

    assert words == sorted(words)
    assert 0 < len(words) <= MAX_WORDS_IN_THE_GLOSSARY


def test_imports_name_the_whole_way(module: Path) -> None:
    """No import is relative."""
    tree = ast.parse(module.read_text(encoding="utf-8"))

    relative = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


def test_one_module_starts_processes(module: Path) -> None:
    """Only handlers/process/children.py, which ends what it starts, starts processes.

    (And the first process of a container, which is ended with everything that it has started.)
    """
    if module in {PROCESS_STARTER, FIRST_PROCESS}:
        return

    assert process_starts(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import run",
        "import os\nos.system('true')",
        "import os as system\nsystem.execv('/bin/true', [])",
        "from os import posix_spawn",
        "import asyncio\nasyncio.create_subprocess_exec('true')",
        "from asyncio import create_subprocess_shell as shell",
        "import asyncio.subprocess",
        "loop.subprocess_exec(protocol)",
        "import multiprocessing.pool",
    ],
)
def test_every_way_to_start_a_process_is_seen(source: str) -> None:
    """The rule above finds each planted start."""
    assert process_starts(source) != []


def test_nothing_of_ours_waits_for_threads_that_handlers_may_fill(module: Path) -> None:
    """Blocking work has threads of its own (`runtime.blocking`)."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Attribute)]

    waits = [
        text
        for node in found
        if WAITS_FOR_THE_LOOP_S_THREADS.fullmatch(text := ast.unparse(node).partition(",")[0])
    ]

    assert waits == []


MAY_IMPORT_BY_NAME = {
    "cidx_jobs/__init__.py": "the lazy table of public names",
    "cidx_jobs/model/late_imports.py": "the table of what is loaded when it is first used",
    "cidx_jobs/web/server.py": "the operator's own modules (the setting `handlers`)",
}
"""Where a module is imported by a text, which no import contract sees, with the reason."""


def test_what_is_loaded_late_stands_in_one_table(module: Path) -> None:
    """Any other import that no linter sees would be an arrow that nobody has drawn."""
    names = set(used_names(ast.parse(module.read_text("utf-8"))))
    by_name = names & {"importlib.import_module", "importlib.__import__", "__import__"}

    assert not by_name or module.relative_to(ROOT).as_posix() in MAY_IMPORT_BY_NAME


def test_each_late_import_is_one_that_something_asks_for() -> None:
    """A name of the table that nobody loads, or that is no module, is a line too many."""
    table = PACKAGE / "model" / "late_imports.py"
    texts = [path.read_text("utf-8") for path in MODULES if path != table]
    ours = [name for name in LATE_MODULES if name.startswith("cidx_jobs.")]

    assert [name for name in LATE_MODULES if not any(f'"{name}"' in text for text in texts)] == []
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []


def test_only_code_lines_are_counted() -> None:
    """Blanks, comments and docstrings are free; each line of a long expression counts."""
    head = '"""Doc.\n\nMore.\n"""\n\n# why\nx = [\n    1,\n]\n'
    source = head + '\n\ndef f():\n    """Doc."""\n    return x\n'

    assert code_lines(source) == 5


def test_no_file_shows_whose_machine_it_was_made_on() -> None:
    """No file of the project holds a path into somebody's home."""
    own = Path(__file__)
    texts = (
        (path, path.read_text(encoding="utf-8", errors="replace"))
        for path in tracked_files()
        if path != own
    )

    found = [(path.name, hit) for path, text in texts for hit in TRACES_OF_A_MACHINE.findall(text)]

    assert found == []


MAY_CATCH_ALL = {
    "cidx_jobs/cli/main.py": "an error becomes the exit code",
    "cidx_jobs/engine/run/runner.py": "without an end of some kind a row would run for ever",
    "cidx_jobs/engine/run/scheduler.py": "a fault must not stop all starts",
    "cidx_jobs/handlers/process/worker.py": "what a function raises goes back to its caller",
    "cidx_jobs/model/foreign.py": "the one that calls foreign code",
    "cidx_jobs/runtime/foreign_code.py": "the one that awaits foreign code",
    "cidx_jobs/store/sqlite/commit/writer.py": "the callers of the batch get it",
    "cidx_jobs/web/http/endpoint.py": "no answer shows the inside of an error",
}
"""Where an except takes whatever comes and goes on: once in each, with the reason."""


def test_few_places_catch_everything_and_go_on() -> None:
    """At most eight: what is swallowed elsewhere is a fault that nobody learns of."""
    found = Counter(
        path.relative_to(ROOT).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if catches_all(node)
    )

    assert found == Counter(MAY_CATCH_ALL.keys())


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("try: f()\nexcept Exception: pass", True),
        ("try: f()\nexcept (ValueError, BaseException) as e: log(e)", True),
        ("try: f()\nexcept: pass", True),
        ("with contextlib.suppress(Exception): f()", True),
        ("try: f()\nexcept BaseException:\n    undo()\n    raise", False),
        ("try: f()\nexcept Exception as e:\n    raise OurError from e", False),
        ("try: f()\nexcept ValueError: pass", False),
    ],
)
def test_what_catches_everything_is_seen(code: str, *, is_one: bool) -> None:
    """An except that ends with a raise hides nothing; a suppress is an except."""
    assert any(map(catches_all, ast.walk(ast.parse(code)))) is is_one


def catches_all(node: ast.AST) -> bool:
    """Tell whether the node takes every exception and does not end by raising one."""
    match node:
        case ast.ExceptHandler(type=caught, body=[*_, last]):
            is_broad = caught is None or any(map(_is_everything, ast.walk(caught)))
            return is_broad and not isinstance(last, ast.Raise)
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=caught):
            return any(map(_is_everything, caught))
        case _:
            return False


def _is_everything(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in {"Exception", "BaseException"}
