"""Which proxy, credential and file of the operator is for a remote."""

from pathlib import Path

import pytest

from cidx_jobs.handlers.git.network.credentials import find_credential
from cidx_jobs.handlers.git.network.operator_files import find_fault
from cidx_jobs.handlers.git.network.proxies import ProxyRules
from cidx_jobs.handlers.git.url_rules import Remote, RemoteRules
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import Settings, read_proxy_variables

HOSTS = ("git.corp.example", "git.corp.example:8443", "10.1.2.3", "localhost:8080")
PROXY = "http://proxy.corp.example:3128"


def remote(url: str) -> Remote:
    """Return the remote of a url whose host the operator lists."""
    return RemoteRules(allowed_hosts=frozenset(HOSTS), allows_ssh=True).read(url)


@pytest.mark.parametrize(
    ("url", "exceptions", "is_used"),
    [
        ("https://git.corp.example/a", "", True),
        ("http://localhost:8080/a", "", True),
        ("ssh://git.corp.example/a", "", False),
        ("https://git.corp.example/a", "*", False),
        ("https://git.corp.example/a", "example.org, corp.example", False),
        ("https://git.corp.example/a", ".corp.example", False),
        ("https://git.corp.example/a", "*.CORP.example", False),
        ("https://git.corp.example/a", "orp.example", True),
        ("https://git.corp.example:8443/a", "git.corp.example:8443", False),
        ("https://git.corp.example/a", "git.corp.example:8443", True),
        ("https://10.1.2.3/a", "10.0.0.0/8", False),
        ("https://10.1.2.3/a", "10.1.2.3", False),
        ("https://10.1.2.3/a", "192.168.0.0/16,::1", True),
    ],
)
def test_a_proxy_is_for_the_web_and_has_exceptions(
    url: str, exceptions: str, is_used: bool
) -> None:
    """Names, their endings, ports, addresses and networks, as curl takes them."""
    rules = ProxyRules(url=PROXY, exceptions=exceptions)
    assert rules.find(remote(url)) == (PROXY if is_used else None)


def test_the_proxy_of_the_environment_is_for_https_where_none_is_set() -> None:
    """Plain http is for hosts inside."""
    rules = ProxyRules(environment_url=PROXY)
    assert rules.find(remote("https://git.corp.example/a")) == PROXY
    assert rules.find(remote("http://localhost:8080/a")) is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://u:p%40@proxy:3128/", "https://u:p%40@proxy:3128"),
        ("socks5://proxy:1080", "socks5h://proxy:1080"),
    ],
)
def test_a_proxy_is_taken_in_these_forms(given: str, taken: str) -> None:
    """In the setting as in the variable."""
    assert Settings(git_proxy=given).git_proxy == taken
    assert read_proxy_variables({"HTTPS_PROXY": given, "no_proxy": "a"}) == (taken, "a")


@pytest.mark.parametrize(
    "given", ["http://proxy", "ftp://u:secret@proxy:1", "http://u:secret@proxy:x", "http://p:1/x"]
)
def test_what_is_no_proxy_is_refused_without_showing_it(given: str) -> None:
    """It may hold a password; a variable that is none is not used."""
    with pytest.raises(SettingsError, match="git_proxy: must be") as refused:
        Settings.load(environ={"CIDX_JOBS_GIT_PROXY": given})

    assert "secret" not in str(refused.value)
    assert read_proxy_variables({"https_proxy": given}) == (None, "")


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://git.corp.example/team/code", "host"),
        ("https://git.corp.example/finance/pay.git", "finance"),
        ("https://git.corp.example/finance", "finance"),
        ("https://git.corp.example/financed/x", "host"),
        ("https://git.corp.example/finance/pay/roll", "roll"),
        ("https://git.corp.example:8443/x", None),
        ("http://localhost:8080/x", "plain"),
        ("ssh://git.corp.example/x", None),
    ],
)
def test_of_credentials_the_longest_path_counts(
    tmp_path: Path, url: str, user: str | None
) -> None:
    """Of equal ones the first; what is none is passed over."""
    file = tmp_path / "credentials"
    file.write_text(
        "# ours\n\nhttps://nobody@[\n"
        "https://host:p@git.corp.example\n"
        "https://second:p@git.corp.example/\n"
        "https://finance:p@git.corp.example/finance\n"
        "https://roll:p@git.corp.example/finance/pay/roll.git\n"
        "http://plain:p@localhost:8080\n"
        "https://broken:a%0Ab@git.corp.example:8443\n"
    )
    found = find_credential(file, remote(url))
    assert (found.user if found else None) == user


def test_escapes_in_a_credential_are_undone(tmp_path: Path) -> None:
    """And the password is not shown."""
    file = tmp_path / "credentials"
    file.write_text("https://a%40b:p%3A%2F@git.corp.example\n")

    found = find_credential(file, remote("https://git.corp.example/x"))

    assert found is not None
    assert (found.user, found.password) == ("a@b", "p:/")
    assert "p:/" not in repr(found)


@pytest.mark.parametrize(
    ("mode", "is_secret", "word"),
    [
        (0o600, True, None),
        (0o400, True, None),
        (0o640, True, "read by others"),
        (0o604, True, "read by others"),
        (0o644, False, None),
        (0o664, False, "changed by others"),
        (0o646, False, "changed by others"),
    ],
)
def test_a_file_of_the_operator_is_held_against_others(
    tmp_path: Path, mode: int, is_secret: bool, word: str | None
) -> None:
    """What is secret must not be read, and nothing changed."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)

    fault = find_fault(file, is_secret=is_secret)

    assert fault is None if word is None else word in str(fault)


def test_what_is_no_file_cannot_be_used(tmp_path: Path) -> None:
    """It says so without its path."""
    assert find_fault(tmp_path, is_secret=False) == "cannot be read by the server"
    assert find_fault(tmp_path / "none", is_secret=False) == "is not there"


def test_a_file_of_the_operator_counts_from_where_the_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git and ssh, which are given it, work elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert Settings(git_ssh_key=Path("key")).git_ssh_key == tmp_path / "key"
