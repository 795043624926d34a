"""The other rules of the model: ids, phases, back-off, guidance, redaction, settings."""

import inspect
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import cidx_jobs
from cidx_jobs import client
from cidx_jobs.client import JobPollingEngine
from cidx_jobs.model import errors
from cidx_jobs.model.error_codes import GUIDANCE, make_error
from cidx_jobs.model.errors import CidxJobsError, Fatal, Retryable, SettingsError
from cidx_jobs.model.ids import ProjectId, UserId, is_job_id, is_project_id, make_job_id
from cidx_jobs.model.job.job import Job, PhaseState, PhaseStatus, Transition
from cidx_jobs.model.job.phases import ALMOST_DONE, overall_progress, percent
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.listing import Change
from cidx_jobs.model.redact import redact
from cidx_jobs.settings import Settings


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1))
def test_a_job_id_is_a_uuid_of_version_7(milliseconds: int, counter: int, bits: int) -> None:
    """It has RFC 9562's version and variant, lower case, and the time in front."""
    job_id = make_job_id(milliseconds, counter, bits)

    assert is_job_id(job_id)
    parsed = uuid.UUID(job_id)
    assert (parsed.variant, str(parsed)) == (uuid.RFC_4122, job_id)
    assert parsed.int >> 80 == milliseconds


def test_later_ids_sort_behind() -> None:
    """Time first, then the counter: inserts go to the end of the index."""
    ids = [make_job_id(5, 1, 99), make_job_id(5, 2, 0), make_job_id(6, 0, 0)]

    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a", True), ("a" * 64, True), ("a" * 65, False), (".git", False), ("-rf", False),
     ("a/b", False), ("a\n", False), ("", False), ("A.b_c-9", True)],
)  # fmt: skip
def test_project_ids_keep_their_form(text: str, is_one: bool) -> None:
    """api.md 1.1: 1 to 64 characters, the first a letter or digit."""
    assert is_project_id(text) is is_one


@given(
    st.lists(
        st.builds(
            PhaseState,
            name=st.just("x"),
            status=st.sampled_from(PhaseStatus),
            weight=st.floats(0, 1),
            progress=st.integers(0, 100),
        )
    )
)
def test_the_progress_of_phases_is_a_whole_number_under_100(phases: list[PhaseState]) -> None:
    """100 is for completed jobs only."""
    assert 0 <= overall_progress(phases) <= ALMOST_DONE


def test_progress_is_the_weighted_sum_of_the_phases() -> None:
    """A finished phase counts whole, a running one by its part."""
    phases = [
        PhaseState(name="a", status=PhaseStatus.COMPLETED, weight=0.4, progress=100),
        PhaseState(name="b", status=PhaseStatus.RUNNING, weight=0.5, progress=50),
    ]

    assert overall_progress(phases) == 65


@pytest.mark.parametrize(("done", "total", "expected"), [(1, 3, 33), (0, 0, 0), (9, 3, 100)])
def test_percent_is_whole_and_bounded(done: int, total: int, expected: int) -> None:
    """An unknown total is 0, and more than all is all."""
    assert percent(done, total) == expected


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_back_off_is_within_its_cap(failures: int, fraction: float) -> None:
    """Full jitter: from nothing to the bound, which doubles up to the cap."""
    policy = RetryPolicy(base_seconds=1, cap_seconds=30)

    wait = policy.backoff_seconds(failures, fraction)

    assert 0 <= wait <= min(30, 2.0 ** min(failures - 1, 10))


def test_codes_of_the_error_tree_are_its_own() -> None:
    """Each class that a caller may tell apart has a code of its own."""
    classes = [c for c in vars(errors).values() if isinstance(c, type) and c.__doc__]
    tree = [c for c in classes if issubclass(c, CidxJobsError) and c not in {Fatal, Retryable}]
    # A class without one says the same as its parent, in the words of another client.
    codes = [c.code for c in tree if "code" in vars(c)]

    assert len(codes) == len(set(codes))
    assert {c.__name__ for c in tree} <= set(re.findall(r"\w+", errors.__doc__ or ""))


def test_every_code_of_a_job_says_what_to_do() -> None:
    """A failed job never leaves its reader alone."""
    for code in GUIDANCE:
        error = make_error(code, "x", at=datetime.now(UTC))
        assert error.actions
        assert all(action.endswith(".") for action in error.actions)


def test_a_code_of_a_job_types_own_is_kept() -> None:
    """It comes without guidance, as an error of the system."""
    error = make_error("MINE-1", "x", at=datetime.now(UTC))

    assert (error.code, error.category, error.actions) == ("MINE-1", "system", ())


@pytest.mark.parametrize(
    "text",
    ["https://bob:hunter2@example.com/x", "token=hunter2", "Authorization: Bearer hunter2hunter2",
     "cidxj_hunter2", f"bad ghp_hunter2{'0' * 30}!", f"glpat-hunter2-{'0' * 20} has expired",
     "password: 'hunter2'", "cannot open /srv/hunter2/jobs.db"],
)  # fmt: skip
def test_secrets_and_paths_are_taken_out_of_texts(text: str) -> None:
    """What is stored or logged holds none of them."""
    assert "hunter2" not in redact(text)


def test_a_harmless_text_is_left_alone() -> None:
    """Redaction changes nothing else."""
    text = "cannot find branch main of https://example.com/a/b.git (3/4)"

    assert redact(text) == text


@pytest.mark.parametrize(
    "signature",
    [cidx_jobs.Job, cidx_jobs.JobError, cidx_jobs.PhaseState, cidx_jobs.AttemptRecord,
     cidx_jobs.JobType.__init__, cidx_jobs.JobSystem.attach, cidx_jobs.JobContext.run,
     cidx_jobs.SyncJobContext.phase, JobPollingEngine.start_polling],
    ids=lambda signature: signature.__qualname__,
)  # fmt: skip
def test_what_a_signature_names_can_be_imported(signature: Callable[..., Any]) -> None:
    """Who writes types in an application finds each class of ours among the public names."""
    public = {getattr(cidx_jobs, name) for name in vars(cidx_jobs)["__all__"]}
    public |= {getattr(client, name) for name in client.__all__}

    named = {one for hint in get_type_hints(signature).values() for one in _classes_in(hint)}

    assert named - public == set()


def _classes_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, list | tuple):
        for part in hint:
            yield from _classes_in(part)
    elif isinstance(hint, type) and hint.__module__.startswith("cidx_jobs"):
        yield hint
    yield from (one for part in get_args(hint) for one in _classes_in(part))


class TestSettings:
    """Settings come from a file, the environment and the caller, in this order."""

    def test_the_environment_speaks_after_the_file(self, tmp_path: Path) -> None:
        """Lists, maps, booleans and durations are read from text."""
        config = tmp_path / "c.toml"
        config.write_text('port = 1\ngit_ssh = true\nallowed_hosts = ["a"]\n', "utf-8")
        environ = {
            "CIDX_JOBS_PORT": "2",
            "CIDX_JOBS_RESOURCES": "git=1, gpu=2",
            "CIDX_JOBS_GIT_LOCAL_ROOTS": "/a,/b",
            "CIDX_JOBS_RETENTION_SECONDS": "3.5",
            "CIDX_JOBS_GIT_ALLOWED_HOSTS": "a.b:3000, [::1]:80, ::1",
            "CIDX_JOBS_ALLOWED_ORIGINS": "https://a.b:8443, http://[::1]/",
            "CIDX_JOBS_SERVER": "http://x",
            "HOME": "/root",
        }

        settings = Settings.load(config, environ, {"host": "::1"})

        assert (settings.port, settings.git_ssh, settings.host) == (2, True, "::1")
        assert settings.resources == {"git": 1, "gpu": 2}
        assert settings.git_local_roots == (Path("/a"), Path("/b"))
        assert settings.git_allowed_hosts == ("a.b:3000", "[::1]:80", "::1")
        assert settings.allowed_origins == ("https://a.b:8443", "http://[::1]/")
        assert settings.retention_seconds == 3.5

    def test_a_program_loads_the_settings_as_serve_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the process's own variables, without a file; a setting of another mode is refused."""
        monkeypatch.setenv("CIDX_JOBS_DATA_DIR", str(tmp_path))

        settings = Settings.load()
        monkeypatch.setenv("CIDX_JOBS_JWT_USER_CLAIM", "sub")

        assert settings.data_dir == tmp_path
        with pytest.raises(SettingsError, match=r"^jwt_user_claim: "):
            Settings.load()

    def test_a_relative_path_counts_from_the_file_that_names_it(self, tmp_path: Path) -> None:
        """In a variable it counts from where the server is started."""
        config = tmp_path / "c.toml"
        config.write_text(
            'data_dir = "data"\ngit_local_roots = ["a", "/b"]\ngit_ssh_key = "key"\n', "utf-8"
        )

        settings = Settings.load(str(config), {"CIDX_JOBS_UNIX_SOCKET": "s"})

        assert settings.data_dir == tmp_path / "data"
        assert settings.git_local_roots == (tmp_path / "a", Path("/b"))
        assert settings.git_ssh_key == tmp_path / "key"
        assert settings.unix_socket == Path("s")

    @pytest.mark.parametrize(
        ("name", "value"),
        [("NO_SUCH", "1"), ("PORT", "x"), ("PORT", "70000"), ("GIT_SSH", "yes"),
         ("DATA_DIR", ""),
         ("RESOURCES", "git"), ("AUTH", "maybe"), ("POISON_AFTER", "-1"),
         ("RESOURCES", "git=0"), ("RESOURCES", "=1"), ("RESOURCES", "git=1,git=2"),
         ("USER_PRIORITIES", "bob=10"),
         ("RETENTION_SECONDS_BY_STATUS", "failed=-1"),
         ("RETENTION_SECONDS_BY_STATUS", "failed=nan"),
         ("ALLOWED_HOSTS", "http://a"), ("GIT_ALLOWED_HOSTS", "a,https://b/c"),
         ("WEBHOOK_ALLOWED_HOSTS", "*.a"), ("ALLOWED_ORIGINS", "a.example")],
    )  # fmt: skip
    def test_a_wrong_setting_is_named(self, name: str, value: str) -> None:
        """The error says which it was."""
        with pytest.raises(SettingsError, match=name.lower()):
            Settings.load(None, {f"CIDX_JOBS_{name}": value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [("port", "x"), ("data_dir", None), ("resources", "git"), ("git_ssh", 1),
         ("allowed_hosts", 5), ("max_files", 1.5), ("index_command", "'"), ("log_level", None)],
    )  # fmt: skip
    def test_a_program_hears_of_a_wrong_setting_as_the_command_line_does(
        self, name: str, value: object
    ) -> None:
        """`SettingsError` with the setting's name, never a bare error of what reads it."""
        with pytest.raises(SettingsError, match=f"^{name}"):
            Settings(**{name: value})  # type: ignore[arg-type] # on purpose

    @pytest.mark.parametrize(
        ("name", "value"),
        [("ui", True), ("ui_secret", None)],
    )  # fmt: skip
    def test_what_this_version_does_not_do_is_refused_by_name(
        self, tmp_path: Path, name: str, value: object
    ) -> None:
        """By variable, file and argument, also with the value that would be the default."""
        config = tmp_path / "c.toml"
        config.write_text(f"{name} = {json.dumps(value or '')}\n", encoding="utf-8")

        with pytest.raises(SettingsError, match=f"^{name}: this version has no such setting"):
            Settings(**{name: value})  # type: ignore[arg-type] # on purpose
        with pytest.raises(SettingsError, match=name):
            Settings.load(config, {})
        with pytest.raises(SettingsError, match=name):
            Settings.load(None, {f"CIDX_JOBS_{name.upper()}": ""})

    def test_every_setting_is_obeyed_somewhere(self) -> None:
        """Its name stands in code outside of the settings, or in a rule that they are asked by."""
        package = Path(cidx_jobs.__file__).parent
        texts = [
            path.read_text("utf-8")
            for path in package.rglob("*.py")
            if path.parent != package / "settings"
        ]
        named = {name: f".{name}" for name in attrs.fields_dict(Settings)} | {"auth": ".auth_mode"}

        assert [
            name for name, use in named.items() if not any(use in text for text in texts)
        ] == []

    def test_a_range_is_told_in_full(self) -> None:
        """No number is rounded, in the limits or in what was given."""
        with pytest.raises(SettingsError, match="from 0 to 315,360,000, not 315,360,001"):
            Settings(project_retention_seconds=315_360_001)

    def test_none_is_refused_where_others_can_reach(self) -> None:
        """Without authentication a server is for its own machine only."""
        assert Settings().auth_mode == "none"
        assert Settings(host="0.0.0.0").auth_mode == "tokens"
        with pytest.raises(SettingsError, match="auth"):
            Settings(host="0.0.0.0", auth="none")

    def test_a_local_root_may_not_hold_the_data(self, tmp_path: Path) -> None:
        """Or a user could sync the database."""
        with pytest.raises(SettingsError, match="git_local_roots"):
            Settings(data_dir=tmp_path / "data", git_local_roots=(tmp_path,))


def every_struct(kind: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    """Yield the classes of the package that are made of msgspec's struct."""
    for each in kind.__subclasses__():
        yield from every_struct(each)
        if each.__module__.startswith("cidx_jobs."):
            yield each


def test_values_never_change() -> None:
    """What is made of msgspec's struct is frozen, but for a component's own notes."""
    kinds = list(every_struct())

    assert {Job, Transition, Change, SubmitRequest} <= set(kinds)
    known = [kind for kind in kinds if not kind.__name__.startswith("_")]
    assert [kind for kind in known if not kind.__struct_config__.frozen] == []


def test_a_value_of_many_members_takes_them_by_name_alone() -> None:
    """Nobody can tell the sixth of some texts in a row from the fifth."""
    kinds = [
        kind
        for kind in every_struct()
        if len(kind.__struct_fields__) > 5 and not kind.__name__.startswith("_")
    ]

    parameters = [each for kind in kinds for each in inspect.signature(kind).parameters.values()]

    assert {each.kind for each in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_a_changed_copy_has_no_members_of_its_own() -> None:
    """A misspelt member of a copy is an error, and the rest of a good copy is the same."""
    request = SubmitRequest(user_id=UserId("ann"), project_id=ProjectId("web"), priority=3)

    copy = replace(request, priority=4)

    assert (copy.project_id, copy.priority, request.priority) == ("web", 4, 3)
    with pytest.raises(TypeError, match="prioritty"):
        replace(request, prioritty=4)
