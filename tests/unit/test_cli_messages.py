"""What commands say of a refused request: flags and arguments, and no JSON pointers."""

import re
from collections.abc import Iterator

import attrs
import click
import pytest

from cidx_jobs.cli.error_report import report_error
from cidx_jobs.cli.root import cidx_jobs
from cidx_jobs.cli.target import note_command
from cidx_jobs.client import AuthenticationError, RequestRefusedError
from cidx_jobs.model.errors import CidxJobsError, ValidationError
from cidx_jobs.settings import Settings
from cidx_jobs.wire import request_bodies, schedules

POINTER = re.compile(r"(?:^|[\s:])/[a-z]")


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command, with its whole name."""

    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for word, inner in sorted(command.commands.items()):
                yield from below(f"{name} {word}".strip(), inner)
        else:
            yield name, command

    yield from below("", cidx_jobs)


COMMANDS = dict(all_commands())


def all_pointers() -> list[str]:
    """Return a pointer to each member that any request has, and to some inside of them."""
    bodies = [
        body
        for module in (request_bodies, schedules)
        for body in vars(module).values()
        if isinstance(body, type) and issubclass(body, request_bodies.Body)
    ]
    members = {name for body in bodies for name in getattr(body, "__struct_fields__", ())}
    inside = {"options/repository_url", "options/names/0/a~1b", "labels/A", "limits/k:1", "x/y"}
    return ["", *(f"/{path}" for path in sorted(members | inside))]


@pytest.fixture(autouse=True)
def _no_command() -> Iterator[None]:
    """Leave no command behind for other tests."""
    yield
    note_command(None)


def told(error: CidxJobsError, capsys: pytest.CaptureFixture[str], command: str | None) -> str:
    """Return what is said of the error when the command met it."""
    note_command(None if command is None else COMMANDS[command])
    report_error(error)
    return capsys.readouterr().err


@pytest.mark.parametrize("command", [*COMMANDS, None])
def test_no_command_tells_of_a_json_pointer(
    command: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever member is wrong: a flag that is told is one that the command has."""
    pointers = all_pointers()
    errors = [{"pointer": pointer, "message": "it is odd"} for pointer in pointers]
    known = {
        flag
        for parameter in ([] if command is None else COMMANDS[command].params)
        for flag in parameter.opts
    }

    text = told(
        RequestRefusedError("several", status=422, members={"errors": errors}), capsys, command
    )
    for pointer in pointers:
        text += told(ValidationError.at(pointer, "it is odd"), capsys, command)

    assert text.count("it is odd") >= 2 * len(pointers)
    assert not POINTER.search(text), text
    assert {word.rstrip(":") for word in text.split() if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("command", "pointer", "name"),
    [
        ("sync", "/options/repository_url", "--url"),
        ("sync", "/repository_url", "--url"),
        ("sync", "/options/branch", "--branch"),
        ("sync", "/options/full_reindex", "--full"),
        ("sync", "/sync_every_seconds", "--every"),
        ("sync", "/project_id", "PROJECT"),
        ("sync", "/user_id", "--user"),
        ("submit", "/job_type", "TYPE"),
        ("submit", "/project_id", "--project"),
        ("submit", "/options", "--option"),
        ("submit", "/options/names/0", "--option names[0]"),
        ("submit", "/labels/A", "--label A"),
        ("submit", "/limits/tenant:7", "--limit tenant:7"),
        ("submit", "/timeout_seconds", "--run-timeout"),
        ("submit", "/start_at", "--start-at"),
        ("schedule add", "/name", "NAME"),
        ("schedule add", "/every_seconds", "--every"),
        ("schedule add", "/job_type", "--type"),
        ("token create", "/lifetime_seconds", "--expires-in"),
        ("token create", "/user_id", "USER"),
        ("user add", "/password", "password"),
        ("priority", "/priority", "N"),
        ("admin limits", "/resources", "--set resources"),
        ("admin limits", "/max_running_total", "--set max_running_total"),
        ("admin cleanup", "/older_than_seconds", "--older-than"),
        ("search", "/q", "TEXT"),
    ],
)
def test_a_wrong_member_is_told_by_what_was_typed(
    command: str, pointer: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flag or argument that became the member."""
    errors = [{"pointer": pointer, "message": "it is odd"}]
    error = RequestRefusedError(f"{pointer}: it is odd", status=422, members={"errors": errors})

    text = told(error, capsys, command)

    assert text == f"cidx-jobs: {name}: it is odd\n"


@pytest.mark.parametrize(
    ("command", "parameter", "name"),
    [("list", "created_after", "--since"), ("search", "q", "TEXT"), ("list", "cursor", "cursor")],
)
def test_a_wrong_parameter_is_told_by_what_was_typed(
    command: str, parameter: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters of a query become flags like members of a body."""
    error = RequestRefusedError(
        f"{parameter}: it is odd", status=400, members={"parameter": parameter}
    )

    text = told(error, capsys, command)

    assert text == f"cidx-jobs: {name}: it is odd\n"


def test_a_path_at_the_beginning_of_a_text_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like no member's pointer is left as it is."""
    error = RequestRefusedError("cannot read /etc/x: it is odd", status=409)

    assert told(error, capsys, "sync") == "cidx-jobs: cannot read /etc/x: it is odd\n"


@pytest.mark.parametrize("name", ["auth", "log_format", "log_level"])
def test_serve_offers_what_the_setting_takes(name: str) -> None:
    """A page of help loads no settings: what it lists stands beside them, and is the same."""
    (option,) = [one for one in COMMANDS["serve"].params if one.name == name]

    assert isinstance(option.type, click.Choice)
    assert ", ".join(option.type.choices) == attrs.fields_dict(Settings)[name].metadata["range"]


def test_of_several_things_an_error_says_which_it_is_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A member is wrong in one request of many."""
    note_command(COMMANDS["sync"])

    report_error(ValidationError.at("/options/repository_url", "it is needed"), about="attrs")

    assert capsys.readouterr().err == "cidx-jobs: attrs: --url: it is needed\n"


@pytest.mark.parametrize(
    ("profile", "advice"),
    [("work", "cidx-jobs login --profile work"), (None, "Log in with cidx-jobs login, or")],
)
def test_who_is_not_let_in_is_told_where_to_log_in(
    profile: str | None, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the profile that was named, whose login is over."""
    note_command(COMMANDS["list"], profile)

    code = report_error(AuthenticationError("a valid bearer token is required", status=401))

    assert code == 2
    assert advice in capsys.readouterr().err
