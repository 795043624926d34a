"""Which URLs, branches and host addresses are taken."""

import json
from pathlib import Path

import pytest

from cidx_jobs.handlers.git.network.host_addresses import HostLookup, find_addresses, is_public
from cidx_jobs.handlers.git.url_rules import Remote, RemoteRules, Scheme, check_branch
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.options import SyncOptions, admit, find_limits
from cidx_jobs.model.errors import JobFailure, ValidationError
from cidx_jobs.model.ids import ProjectId, UserId, is_project_id
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.job.key_limits import check_key_limits
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import Settings

HOSTILE = Path(__file__).parents[1] / "data" / "bad_inputs.jsonl"
PUBLIC = RemoteRules()
URL = "https://github.com/someone/something.git"


def hostile(group: str) -> list[object]:
    """Give the inputs of one group of the hostile table, named by their ids."""
    rows = map(json.loads, HOSTILE.read_text("utf-8").splitlines())
    return [pytest.param(row["input"], id=row["id"]) for row in rows if row["group"] == group]


def project(url: str | None = None, branch: str | None = None) -> Project:
    """Give a project, as it is known before a submit."""
    return Project(
        user_id=UserId("u"), project_id=ProjectId("p"), repository_url=url, branch=branch
    )


def pointers(options: JsonObject, known: Project, rules: RemoteRules = PUBLIC) -> list[str]:
    """Give the pointers of what is wrong with a submit."""
    with pytest.raises(ValidationError) as refused:
        admit(rules, options, known)
    return [fault.pointer for fault in refused.value.faults]


@pytest.mark.parametrize("url", hostile("U"))
def test_a_hostile_url_is_refused(url: str | None) -> None:
    """No URL of the hostile table comes past the submit; the error points at it."""
    assert pointers({"repository_url": url}, project()) == ["/options/repository_url"]


@pytest.mark.parametrize("branch", hostile("B"))
def test_a_hostile_branch_is_refused(branch: str) -> None:
    """No branch of the hostile table comes past the submit; the error points at it."""
    assert pointers({"branch": branch}, project(URL)) == ["/options/branch"]


@pytest.mark.parametrize("project_id", hostile("P"))
def test_a_hostile_project_is_none(project_id: str) -> None:
    """No project id of the hostile table is one."""
    assert not is_project_id(project_id)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        (URL, URL),
        ("https://GitHub.COM/a/b/", "https://github.com/a/b"),
        ("https://github.com:443/a/b", "https://github.com/a/b"),
        ("https://git.sr.ht/~user/some_thing", "https://git.sr.ht/~user/some_thing"),
        ("https://xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"),
        ("https://github.com/org/.github", "https://github.com/org/.github"),
        ("https://github.com/a/-rf", "https://github.com/a/-rf"),
        ("https://gcc.gnu.org/libstdc++", "https://gcc.gnu.org/libstdc++"),
        (
            "https://dev.azure.com/org/My%20Project/_git/r%C3%A9po",
            "https://dev.azure.com/org/My%20Project/_git/r%C3%A9po",
        ),
    ],
)
def test_a_public_https_url_is_taken(url: str, taken: str) -> None:
    """Ordinary URLs are taken, in one spelling."""
    assert PUBLIC.read(url).url == taken


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/.",
        "https://github.com/a/../b",
        "https://github.com/a/...",
        "https://github.com/a/%2e%2E/b",
        "https://github.com/a%2fb",
        "https://github.com/a%5Cb",
        "https://github.com/a%00b",
        "https://github.com/a%0Ab",
        "https://github.com/a%1bb",
        "https://github.com/a%E2%80%AEb",
        "https://github.com/a%ffb",
        "https://github.com/a%2",
        "https://github.com/a%zz",
        "https://github.com//a",
        "https://a..b/c",
        "https://-a.example/c",
        "https://a.example-/c",
        "https://a.1e5/c",
        "https://" + "a." * 130 + "example/c",
        "HTTPS://github.com/a",
        "https://github.com/a?b",
        "https://github.com./a",
        "\thttps://github.com/a",
        "https://github.com/a\n",
        "ssh://git@github.com/a/b",
        "file://localhost/etc",
    ],
)
def test_an_odd_url_is_refused(url: str) -> None:
    """What two readers could understand differently is refused."""
    with pytest.raises(ValidationError):
        PUBLIC.read(url)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("github.com/a/b", "begin with https://"),
        ("HTTPS://github.com/a", "small letters"),
        ("https://u:p@github.com/a", "user or password"),
        ("https://github.com/a?b=c", "no query"),
        ("https://github.com/a#b", "no fragment"),
        ("https://github.com/", "a path behind the host"),
        ("https://github.com/a//b", "an empty part"),
        ("https://github.com/a b", "percent escape: %20"),
        ("https://github.com/ä", "percent escape: %C3%A4"),
        ("https://github.com/a%zz", "two hex digits"),
        ("https://github.com/a%ff", "no UTF-8"),
        ("https://github.com/a%2fb", "no name may have"),
        ("https://github.com/../b", "dots alone"),
        ("https://gi_thub.com/a", "its host"),
    ],
)
def test_what_is_wrong_with_a_url_is_named(url: str, wrong: str) -> None:
    """Whoever wrote it sees what to write."""
    with pytest.raises(ValidationError, match=wrong):
        PUBLIC.read(url)


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        (
            "http://127.0.0.1:8080/x.git",
            Remote(
                scheme=Scheme.HTTP,
                url="http://127.0.0.1:8080/x.git",
                host="127.0.0.1",
                port=8080,
                is_allowed_inside=True,
            ),
        ),
        (
            "https://[::1]:8443/x",
            Remote(
                scheme=Scheme.HTTPS,
                url="https://[::1]:8443/x",
                host="::1",
                port=8443,
                is_allowed_inside=True,
            ),
        ),
        (
            "http://corp/x",
            Remote(
                scheme=Scheme.HTTP,
                url="http://corp/x",
                host="corp",
                port=80,
                is_allowed_inside=True,
            ),
        ),
    ],
)
def test_a_listed_host_is_taken_as_it_is_listed(url: str, remote: Remote) -> None:
    """A host of git_allowed_hosts may be an inside one, also by plain http."""
    rules = RemoteRules(allowed_hosts=frozenset({"127.0.0.1:8080", "[::1]:8443", "corp"}))

    assert rules.read(url) == remote


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081/x", "http://127.0.0.1/x", "https://corp:8443/x", URL]
)
def test_a_host_that_is_not_listed_is_refused(url: str) -> None:
    """Where hosts are listed there are no others, nor other ports."""
    rules = RemoteRules(allowed_hosts=frozenset({"127.0.0.1:8080", "corp"}))

    with pytest.raises(ValidationError):
        rules.read(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/git/a", "/srv/git/a"),
        ("/srv/git/a/", "/srv/git/a"),
        ("file:///srv/git/a%20b", "/srv/git/a b"),
        ("/srv/git", "/srv/git"),
    ],
)
def test_a_path_below_a_root_is_taken(url: str, path: str) -> None:
    """A local repository may be named by its path or by a file URL."""
    assert RemoteRules(local_roots=(Path("/srv/git"),)).read(url).url == path


@pytest.mark.parametrize(
    "url",
    [
        "/srv/gitx",
        "/srv/git/../other",
        "/srv/git//a",
        "/srv/git/./a",
        "/srv/git/a\x1b",
        "file:///srv/git/%2e%2e/x",
        "file:///srv/git/%00",
        "/",
    ],
)
def test_a_path_outside_the_roots_is_refused(url: str) -> None:
    """A path must lie below a root as it is written."""
    with pytest.raises(ValidationError):
        RemoteRules(local_roots=(Path("/srv/git"),)).read(url)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
        ("ssh://git@github.com/a/b.git", "ssh://git@github.com/a/b.git"),
        ("ssh://github.com:22/a", "ssh://github.com/a"),
    ],
)
def test_ssh_is_taken_where_it_is_enabled(url: str, taken: str) -> None:
    """Both spellings of an ssh URL are taken, as one."""
    assert RemoteRules(allows_ssh=True).read(url).url == taken
    with pytest.raises(ValidationError):
        PUBLIC.read(url)


@pytest.mark.parametrize(
    "url", ["ssh://-oProxyCommand=id/x", "git@-oX:a", "ssh://git@127.0.0.1/x"]
)
def test_a_hostile_ssh_url_is_refused(url: str) -> None:
    """Enabling ssh enables no options and no inside addresses."""
    with pytest.raises(ValidationError):
        RemoteRules(allows_ssh=True).read(url)


@pytest.mark.parametrize(
    "branch",
    [
        *("main", "feature/x-1", "release/1.0", "a@b", "größe", "dependabot/npm/x", "HEAD2"),
        *("c++", "a+b", "नि\u200dयम", "👩\u200d💻", "a\u200cb", "x" * 255, "a\u3000b"),
    ],
)
def test_an_ordinary_branch_is_taken(branch: str) -> None:
    """Names that people give their branches are taken."""
    check_branch(branch)


@pytest.mark.parametrize(
    "branch",
    [
        *("", "@", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock/b", "a~1", "a^", "a*", "a?"),
        *("a[b", "a\\b", "a\x7f", "a\u202eb", "a\u0085b", "a\u2028b", "a\ud800", "x" * 256),
        *("ä" * 128, "-a", "+a"),
    ],
)
def test_a_name_that_git_refuses_is_refused(branch: str) -> None:
    """The rules of git-check-ref-format hold, and no invisible characters."""
    with pytest.raises(ValidationError):
        check_branch(branch)


def test_a_submit_takes_url_and_branch_from_the_project() -> None:
    """What a submit leaves out is what the last one said."""
    admission = admit(PUBLIC, {}, project(URL, "main"))

    assert admission.options == {
        "repository_url": URL,
        "branch": "main",
        "full_reindex": False,
        "skip_indexing": False,
    }


def test_the_same_url_keeps_the_branch() -> None:
    """Naming the repository again is no reason to leave the branch."""
    admission = admit(PUBLIC, {"repository_url": URL + "/"}, project(URL, "dev"))

    assert admission.options["branch"] == "dev"


def test_another_url_forgets_the_branch() -> None:
    """A branch belongs to its repository; the project learns both."""
    other = "https://github.com/someone/else"

    admission = admit(PUBLIC, {"repository_url": other}, project(URL, "dev"))

    assert admission.options["branch"] is None
    assert admission.project == project(other, None)


def test_a_first_submit_needs_a_url() -> None:
    """Without a url there is nothing to sync."""
    assert pointers({}, project()) == ["/options/repository_url"]


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "192.0.1.1", "198.20.0.1", "223.255.255.254"),
        *("2606:4700::1111", "2001:4860:4860::8888", "2c0f:fb50::1", "2001:200::1"),
        *("64:ff9b::808:808", "2002:808:808::", "::ffff:8.8.8.8"),
    ],
)
def test_an_outside_address_is_public(address: str) -> None:
    """Addresses of the internet are public, also where one is wrapped in another."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "localhost",
        # Site-local, deprecated and still routed at some sites.
        *("fec0::1", "feff:ffff::1"),
        # Reserved, or kept for protocols, in the registries of IANA.
        *("192.0.0.1", "192.0.0.9", "192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1"),
        *("0.1.2.3", "247.0.0.1", "239.1.1.1", "203.0.113.7", "198.51.100.7"),
        *("100::1", "200::1", "400::1", "1000::1", "4000::1", "5f00::1", "8000::1", "fb00::1"),
        *("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:4:112::1", "2620:4f:8000::1"),
        *("2d00::1", "2e00::1", "3000::1", "3ffe::1", "3fff::1", "::8.8.8.8"),
        # Teredo: whom it would lead to is said by a server that nobody checked.
        "2001:0:808:808::f7f7:f7f7",
        "64:ff9b::a00:1",
        "2606:4700::1111%eth0",
    ],
)
def test_an_inside_address_is_not_public(address: str) -> None:
    """Addresses of this machine, of its network and of no network are not public."""
    assert not is_public(address)


async def test_a_name_is_looked_up_in_a_child(may_block: None) -> None:
    """The addresses of a name are those that the system knows."""
    children = Children("test:1")

    found = await HostLookup(children)("localhost", 443)

    assert set(found) <= {"127.0.0.1", "::1"}
    assert found
    assert not children.active


async def test_a_name_without_an_address_is_an_error_of_the_system(may_block: None) -> None:
    """What the system does not know raises what a resolver raises."""
    with pytest.raises(OSError, match="not known"):
        await HostLookup(Children("test:1"))("no-such-name.invalid", 443)


@pytest.mark.slow
async def test_a_look_up_that_hangs_is_ended(tmp_path: Path, may_block: None) -> None:
    """A name server that does not answer is a fault of the network, and nothing stays of it."""
    program = tmp_path / "hangs.py"
    program.write_text("import time\ntime.sleep(60)\n")
    children = Children("test:1")
    remote = PUBLIC.read(URL)

    with pytest.raises(JobFailure) as failed:
        await find_addresses(remote, HostLookup(children, program), seconds=0.2)

    assert failed.value.failure_code == "NET-001"
    assert "0.2 seconds" in failed.value.message
    assert not children.active


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("https://GitHub.com/a/b", {"host:github.com": 2}),
        ("https://git.example.org:8443/a/b", {"host:git.example.org:8443": 2}),
        ("http://git.example.org/a/b", {"host:git.example.org": 2}),
        ("ssh://git@git.example.org/a/b", {"host:git.example.org": 2}),
        ("https://[2001:db8::1]:8443/a/b", {"host:2001:db8::1:8443": 2}),
        (f"https://{'a.' * 80}org/a/b", {f"host:{('a.' * 80 + 'org')[-123:]}": 2}),
        ("/srv/git/b", {}),
    ],
)
def test_syncs_of_one_code_host_share_a_key(url: str, limits: dict[str, int]) -> None:
    """The name, with the port unless it is the scheme's own; a path on this machine has none."""
    hosts = (
        *("github.com", "git.example.org", "git.example.org:8443", "[2001:db8::1]:8443"),
        *("git.example.org:22", "a." * 80 + "org"),
    )
    rules = RemoteRules(
        allowed_hosts=frozenset(hosts), local_roots=(Path("/srv/git"),), allows_ssh=True
    )

    found = find_limits(rules, Settings(git_per_host=2), SyncOptions(repository_url=url))

    assert {key: most for key, most in found.items() if not key.startswith("copy:")} == limits
    assert not list(check_key_limits(found))
