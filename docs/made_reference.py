"""Makes the reference of Python and of the command line from docstrings and from click's help.

Run ``python docs/made_reference.py`` after a change of either; a test compares the pages.
"""

import ast
import enum
import importlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import msgspec

import cidx_jobs
from cidx_jobs.cli.root import cidx_jobs as command_line

DOCS = Path(__file__).parent
WIDTH = 88
STUB_WIDTH = 99

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^    (\*{0,2}[\w.]+): (.*)$")
_QUALIFIED = re.compile(r"\b(?:[a-z_]\w*\.)+([A-Za-z]\w*)")
_ADDRESS = re.compile(r"<\w+ .*? at 0x[0-9a-f]+>")
_SHOWN_ELSEWHERE = {
    "Settings": "Every setting stands in [Settings](settings.md).",
    "AttachedSystem": "Its calls are those of [`JobSystem`](#jobsystem), from `schedules` to "
    "`remove_project`, and `from_thread`.",
}


def python_page() -> str:
    """Give every public name of the package, its client and its testing kit."""
    errors = [name for name in cidx_jobs.__all__ if _is_error(getattr(cidx_jobs, name))]
    others = [name for name in cidx_jobs.__all__ if name not in errors]
    lines = [
        "# Python",
        "",
        "What can be imported from `cidx_jobs`, `cidx_jobs.client` and `cidx_jobs.testing`.",
        "Everything else may change without notice.",
        "",
        "## `cidx_jobs`",
        "",
        *_entries(cidx_jobs, others),
        "## Errors of `cidx_jobs`",
        "",
        "The codes and what to do stand in [Errors](errors.md).",
        "",
        *_error_table(cidx_jobs, errors),
    ]
    for name in ("cidx_jobs.client", "cidx_jobs.testing"):
        lines += _module_section(importlib.import_module(name))
    return "\n".join(lines)


def command_line_page() -> str:
    """Give the help of every command."""
    lines = [
        "# Command line",
        "",
        "What `cidx-jobs COMMAND --help` prints, for every command.",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in _EXIT_CODES),
        "",
    ]
    for words, command in _commands(command_line, ("cidx-jobs",)):
        with click.Context(
            command,
            info_name=" ".join(words),
            terminal_width=80,
            help_option_names=["-h", "--help"],
        ) as context:
            text = command.get_help(context)
        lines += [f"## `{' '.join(words)}`", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(lines)


_EXIT_CODES = [
    (0, "done"),
    (1, "failed, refused as invalid, or another error"),
    (2, "authentication"),
    (3, "network"),
    (4, "the time is up"),
    (5, "failed, and git was to blame (category `git_operation`)"),
    (6, "cancelled"),
    (7, "not found"),
    (8, "a conflict"),
    (64, "a wrong command line"),
    (130, "Ctrl-C"),
    (143, "SIGTERM of a client command (`serve` ends with 0)"),
]


def stub() -> str:
    """Return the public names for type checkers, which cannot follow the lazy table."""
    # In the order of ruff: by the module, then constants, classes and functions.
    ordered = sorted(
        ((home, _rank(name), name) for name, home in cidx_jobs.HOMES.items()),
    )
    lines = ["# The public names for type checkers, made of the table in __init__.py."]
    for home, _, name in ordered:
        line = f"from {home} import {name} as {name}"
        if len(line) > STUB_WIDTH:
            line = f"from {home} import (\n    {name} as {name},\n)"
        lines.append(line)
    return "\n".join([*lines, "", "__version__: str", ""])


def _rank(name: str) -> int:
    if name.isupper():
        return 0
    return 1 if name[0].isupper() else 2


PAGES: dict[str, Callable[[], str]] = {
    "reference/python.md": python_page,
    "reference/command-line.md": command_line_page,
    "../cidx_jobs/__init__.pyi": stub,
}
"""Every made page, by its path below docs/."""


def main() -> None:
    """Write every made page."""
    for path, make in PAGES.items():
        (DOCS / path).write_text(make(), "utf-8")


def _commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, (*words, name))


def _module_section(module: Any) -> list[str]:
    names = sorted(module.__all__)
    errors = [name for name in names if _is_error(getattr(module, name))]
    return [
        f"## `{module.__name__}`",
        "",
        *_markdown(inspect.getdoc(module) or ""),
        "",
        *_entries(module, [name for name in names if name not in errors]),
        *(_error_table(module, errors) if errors else []),
    ]


def _entries(module: Any, names: list[str]) -> Iterator[str]:
    for name in names:
        value = getattr(module, name)
        yield from [f"### {name}", ""]
        if inspect.isclass(value):
            yield from _class_entry(name, value)
        elif hasattr(value, "__origin__"):
            # The name of a type, such as that of a function to be given.
            yield from ["```text", f"{name} = {_short(str(value))}", "```", ""]
        elif callable(value):
            yield from _callable_entry(name, value)


def _class_entry(name: str, value: type) -> Iterator[str]:
    if name in _SHOWN_ELSEWHERE:
        yield from [*_doc(value), _SHOWN_ELSEWHERE[name], ""]
    elif issubclass(value, enum.Enum):
        yield from [*_doc(value), *(f"- `{member.value}`" for member in value), ""]
        yield from _members(value)
    elif _is_value(value) and "__init__" not in _documented(value):
        yield from [*_doc(value), *_fields(value), ""]
        yield from _members(value)
    else:
        if not getattr(value, "_is_protocol", False):
            yield from _signature(name, value)
        yield from _doc(value)
        yield from _markdown_after_first_line(value.__init__)
        yield from _members(value)


def _callable_entry(name: str, value: Any) -> Iterator[str]:
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    yield from _signature(prefix + name, value)
    yield from _doc(value)


def _members(value: type) -> Iterator[str]:
    for name in _documented(value):
        member = inspect.getattr_static(value, name)
        if name == "__init__" or name.startswith("_"):
            continue
        function = getattr(member, "__func__", member)
        yield from [f"#### {value.__name__}.{name}", ""]
        if isinstance(function, property):
            yield from _doc(function)
        else:
            yield from _callable_entry(name, function)


def _documented(value: type) -> list[str]:
    """List the members that the class, or a class of ours that it extends, documents itself."""
    names: dict[str, None] = {}
    for each in reversed(value.__mro__):
        if each.__module__.startswith("cidx_jobs"):
            names |= {name: None for name, member in vars(each).items() if _has_doc(member)}
    return list(names)


def _has_doc(member: Any) -> bool:
    function = getattr(member, "__func__", member)
    is_ours = isinstance(function, property) or inspect.isfunction(function)
    own = getattr(function, "__doc__", None)
    return is_ours and bool(own) and not own.startswith("Method generated by attrs")


def _is_value(value: type) -> bool:
    return attrs.has(value) or issubclass(value, msgspec.Struct)


def _fields(value: type) -> Iterator[str]:
    about = _field_docs(value)
    is_struct = issubclass(value, msgspec.Struct)
    for field in msgspec.structs.fields(value) if is_struct else attrs.fields(value):
        kind = _short(inspect.formatannotation(field.type))
        more = f": {about[field.name]}" if field.name in about else ""
        yield f"- `{field.name}` (`{kind}`){more}"


def _field_docs(value: type) -> dict[str, str]:
    """Give the strings that stand below the fields in the source, by field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    found: dict[str, str] = {}
    for before, node in itertools.pairwise(getattr(tree, "body", [])):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(before, ast.AnnAssign):
            text = inspect.cleandoc(str(node.value.value)).replace("``", "`")
            found[ast.unparse(before.target)] = " ".join(text.split())
    return found


def _signature(name: str, value: Any) -> list[str]:
    signature = inspect.signature(value)
    parameters = [each for key, each in signature.parameters.items() if key not in {"self", "cls"}]
    text = name + _short(str(signature.replace(parameters=parameters)))
    if len(text) > WIDTH:
        inner = ",\n    ".join(_short(str(each)) for each in _with_marks(parameters))
        result = signature.return_annotation
        ending = "" if result is signature.empty else f" -> {inspect.formatannotation(result)}"
        text = f"{name}(\n    {inner},\n){_short(ending)}"
    return ["```text", text, "```", ""]


def _with_marks(parameters: list[inspect.Parameter]) -> Iterator[Any]:
    has_star = False
    for each in parameters:
        has_star = has_star or each.kind is each.VAR_POSITIONAL
        if each.kind is each.KEYWORD_ONLY and not has_star:
            has_star = True
            yield "*"
        yield each


def _short(text: str) -> str:
    """Leave the modules out of the names of types, and show no value that is only an address."""
    text = _ADDRESS.sub("...", text.replace("'", "").replace("~", ""))
    return _QUALIFIED.sub(r"\1", text)


def _error_table(module: Any, names: list[str]) -> list[str]:
    rows = [f"| `{name}` | {_first_line(getattr(module, name))} |" for name in names]
    return ["| error | meaning |", "|---|---|", *rows, ""]


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").splitlines()[0].replace("``", "`")


def _doc(value: Any) -> list[str]:
    return [*_markdown(inspect.getdoc(value) or ""), ""]


def _markdown_after_first_line(value: Any) -> list[str]:
    rest = (inspect.getdoc(value) or "").partition("\n\n")[2]
    return [*_markdown(rest), ""] if rest else []


def _markdown(doc: str) -> Iterator[str]:
    """Turn a docstring in Google's form into Markdown: sections become lists."""
    in_section = False
    for line in doc.replace("``", "`").splitlines():
        if section := _SECTION.match(line):
            in_section = True
            yield from [f"{section[1]}:", ""]
        elif in_section and (entry := _ENTRY.match(line)):
            yield f"- `{entry[1]}`: {entry[2]}"
        elif in_section and line.startswith("    "):
            yield f"  {line.strip()}"
        else:
            in_section = in_section and not line
            yield line


if __name__ == "__main__":
    main()
