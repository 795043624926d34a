"""What git's words mean: failures, progress, trees; and how foreign text is shown."""

import io
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cidx_jobs.handlers.git.errors import (
    asks_proxy,
    find_failure,
    is_answer,
    is_traced,
    recognise,
)
from cidx_jobs.handlers.git.objects import read_files, read_tree
from cidx_jobs.handlers.git.progress import FetchProgress
from cidx_jobs.handlers.repository_sync.phases import WEIGHTS, weigh_phases
from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.error_codes import GUIDANCE
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.index import TreeEntry, WantedFile
from cidx_jobs.model.job.job import Category

URL = "https://github.com/a/b"
BLOB = "78981922613b2afb6025042ff6bd878ac1994e85"
SHA256_BLOB = BLOB + "0" * 24


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"fatal: repository '{URL}/' not found", "GIT-001"),
        ("fatal: couldn't find remote ref refs/heads/x", "GIT-002"),
        ("fatal: '/x' does not appear to be a git repository", "GIT-003"),
        (f"fatal: {URL}/info/refs not valid: is this a git repository?", "GIT-003"),
        ("error: object file objects/12/34 is empty\nfatal: loose object is corrupt", "GIT-005"),
        ("fatal: bad object 1234", "GIT-005"),
        ("error: Could not read 0123456789012345678901234567890123456789", "GIT-005"),
        ("fatal: pack has 3 unresolved deltas\nfatal: fetch-pack: invalid index-pack", "GIT-005"),
        (
            (
                "remote: fatal: unable to read 36cbcc272764b52a76bea8fd71b67cadea3d5b11\n"
                "remote: aborting due to possible repository corruption on the remote side.\n"
                "fatal: protocol error: bad pack header"
            ),
            "GIT-005",
        ),
        (
            (
                "remote: aborting due to possible repository corruption on the remote side.\n"
                "fatal: early EOF\nfatal: fetch-pack: invalid index-pack output"
            ),
            "GIT-005",
        ),
        ("fatal: protocol error: bad pack header", "GIT-005"),
        ("fatal: protocol error: bad line length character: <htm", "GIT-003"),
        ("fatal: transport 'ext' not allowed", "GIT-007"),
        (f"fatal: could not read Username for '{URL}': terminal prompts disabled", "AUTH-001"),
        (f"fatal: Authentication failed for '{URL}/'", "AUTH-002"),
        ("fatal: unable to access '': The requested URL returned error: 403", "AUTH-002"),
        ("git@x: Permission denied (publickey).\nfatal: Could not read from remote", "AUTH-002"),
        ("fatal: unable to access '': Could not resolve host: x", "NET-001"),
        ("Failed to connect to x port 443: Connection refused", "NET-002"),
        ("Failed to connect to x port 443 after 1 ms: No route to host", "NET-002"),
        ("Failed to connect to x port 443 after 1 ms: Connection timed out", "NET-004"),
        ("fatal: unable to access '': SSL certificate problem: self signed", "NET-003"),
        (
            "fatal: unable to access '': server certificate verification failed. CAfile: none",
            "NET-003",
        ),
        ("fatal: unable to access '': SSL: no alternative certificate subject name", "NET-003"),
        ("fatal: unable to access '': GnuTLS, handshake failed: TLS alert", "NET-004"),
        ("fatal: unable to access '': gnutls_handshake() failed: Error in the pull", "NET-004"),
        ("fatal: unable to access '': OpenSSL SSL_connect: SSL_ERROR_SYSCALL in x", "NET-004"),
        ("error: RPC failed; curl 56 GnuTLS recv error (-110): not terminated", "NET-004"),
        ("error: RPC failed; curl 56 OpenSSL SSL_read: unexpected eof, errno 0", "NET-004"),
        ("fatal: unable to access '': SSL connection timeout", "NET-004"),
        ("fatal: remote error: upload-pack: not our ref " + "a" * 40, "GIT-008"),
        ("fatal: git upload-pack: want " + "a" * 40 + " not valid", "GIT-008"),
        ("fatal: dumb http transport does not support shallow capabilities", "GIT-007"),
        ("error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec", "NET-004"),
        ("fatal: the remote end hung up unexpectedly\nfatal: early EOF", "NET-004"),
        ("fatal: unable to access '': The requested URL returned error: 302", "NET-006"),
        ("fatal: unable to access '': The requested URL returned error: 503", "NET-007"),
        ("fatal: write error: No space left on device\nfatal: index-pack failed", "RES-001"),
        ("fatal: write error: File too large\nfatal: index-pack failed", "RES-004"),
        ("fatal: Out of memory, malloc failed (tried to allocate 5 bytes)", "RES-004"),
        ("fatal: mmap failed: Cannot allocate memory", "RES-004"),
        (
            (
                "fatal: attempting to allocate 1073741825 over limit 268435456\n"
                "fatal: fetch-pack: invalid index-pack output"
            ),
            "RES-004",
        ),
        (
            "error: index-pack died of signal 9\nfatal: fetch-pack: invalid index-pack output",
            "RES-002",
        ),
        (
            "Receiving objects:  66% (2/3)\rfatal: fetch-pack: invalid index-pack output\n",
            "RES-002",
        ),
        ("remote: Compressing objects:  50% (1/2)\rfatal: No space left on device", "RES-001"),
        ("fatal: the moon is in the wrong phase", "GIT-006"),
        ("", "GIT-006"),
    ],
)
def test_each_failure_is_recognised(words: str, code: str) -> None:
    """Git's words become a code that the table of guidance holds, and a sentence."""
    failure = recognise(words, URL)

    assert failure.failure_code == code
    assert code in GUIDANCE
    assert failure.message


@pytest.mark.parametrize(
    ("url", "words", "code"),
    [
        ("https://github.com/a/OpenSSL", "fatal: repository '{url}/' not found", "GIT-001"),
        ("https://github.com/a/timeout", "fatal: repository '{url}/' not found", "GIT-001"),
        (
            "https://github.com/a/Certificates",
            "fatal: {url}/info/refs not valid: is this a git repository?",
            "GIT-003",
        ),
        (
            "https://github.com/a/TLS",
            "fatal: unable to access '{url}/': The requested URL returned error: 500",
            "NET-007",
        ),
        (
            "https://github.com/a/SSL",
            "fatal: unable to access '{url}/': Failed to connect to x: Couldn't connect to server",
            "NET-002",
        ),
        (
            "/link/to/it",
            "fatal: '/roots/timeout' does not appear to be a git repository",
            "GIT-003",
        ),
    ],
)
def test_the_name_of_a_repository_says_nothing_of_its_failure(
    url: str, words: str, code: str
) -> None:
    """What git tells of a failure counts, not the names and URLs that it tells it of."""
    assert recognise(words.format(url=url), url).failure_code == code


TRACED = "05:06:08.755759 http.c:684              <= Recv header: "
REDIRECTED = "fatal: unable to access '': The requested URL returned error: 301\n"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (
            "https://github.com/a/b.git/info/refs?service=git-upload-pack",
            "redirects to https://github.com/a/b.git, and redirects are not followed: sync that",
        ),
        ("/c/d/info/refs?service=git-upload-pack", "redirects to https://github.com/c/d,"),
        (
            "/users/sign_in",
            "https://github.com/users/sign_in, and redirects are not followed: that",
        ),
        ("https://u:hidden@x.org/a\x1b[31m", "x.org/a\\x1b[31m"),
    ],
)
def test_a_redirection_names_its_target(location: str, shown: str) -> None:
    """The host's answer says where it leads; what to write instead is told where it is known."""
    failure = recognise(f"{TRACED}Location: {location}\n{REDIRECTED}", URL)

    assert failure.failure_code == "NET-006"
    assert shown in failure.message
    assert "hidden" not in failure.message


def busy(retry_after: str) -> str:
    """Return what git says of a host that is busy, with its header."""
    answer = f"{TRACED}HTTP/1.1 429 Too Many Requests\n{TRACED}Retry-After: {retry_after}\n"
    return f"{answer}fatal: unable to access '{URL}/': The requested URL returned error: 429\n"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("8", 8.0),
        ("999999999999", 86_400.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("١٢", None),
    ],
)
def test_a_busy_host_says_when_to_ask_again(header: str, seconds: float | None) -> None:
    """In seconds or as a date, a day at most; what is neither is passed over."""
    failure = recognise(busy(header), URL)
    assert (failure.failure_code, failure.after) == ("NET-007", seconds)


def test_a_busy_host_may_say_a_date() -> None:
    """Of which what is left counts."""
    after = recognise(busy(format_datetime(datetime.now(UTC) + timedelta(minutes=5))), URL).after
    assert after is not None
    assert 290 < after <= 300


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        (f"{TRACED}HTTP/1.1 200 OK", (True, True, False)),
        (f"{TRACED}HTTP/2 503", (True, True, False)),
        (f"{TRACED}server: nginx", (False, True, False)),
        (TRACED.replace("<= Recv", "=> Send") + "CONNECT a:443 HTTP/1.1", (False, True, True)),
        ('Authenticated to host ([192.0.2.1]:22) using "publickey".', (True, False, False)),
        ("remote: Authenticated to nobody", (False, False, False)),
    ],
)
def test_an_answer_is_heard_in_what_git_says(line: str, kinds: tuple[bool, bool, bool]) -> None:
    """The first line of a host's answer, or that ssh was let in; a proxy is asked before."""
    assert (is_answer(line), is_traced(line), asks_proxy(line)) == kinds


def test_the_headers_of_an_answer_are_no_words_of_git() -> None:
    """A host may put anything into them."""
    header = f"{TRACED}X-A: No space left on device\rfatal: No space left on device\n"

    failure = recognise(f"{header}fatal: the moon is in the wrong phase\n", URL)

    assert failure.failure_code == "GIT-006"


def test_an_unknown_failure_shows_the_last_words_without_secrets() -> None:
    """What is not recognised is shown, less paths of the server and passwords."""
    words = "fatal: first\nfatal: odd \x1b[31m thing in /srv/data/p/x at https://u:pw@host/a\n"

    message = recognise(words, URL).message

    assert "odd \\x1b[31m thing" in message
    assert "/srv" not in message
    assert "pw" not in message


@pytest.mark.parametrize(
    "words",
    ["No space left on device", "Out of memory", "File too large", "died of signal 9"],
)
def test_a_remote_speaks_of_itself(words: str) -> None:
    """What a remote says of its disk and memory is no fault of this server's."""
    for said in (f"remote: fatal: {words}\n", f"remote: a\rremote: {words}\n"):
        assert recognise(f"{said}fatal: early EOF\n", URL).failure_code == "NET-004"
    assert recognise(f"fatal: remote error: {words}", URL).failure_code == "GIT-006"


def test_a_git_that_is_killed_is_a_fault_of_the_machine() -> None:
    """Neither the remote nor the copy is blamed, and another attempt is made."""
    failure = find_failure(ChildResult(returncode=-9, stdout="", stderr="fatal: early EOF"), URL)

    assert (failure.failure_code, failure.retryable) == ("RES-002", True)
    assert GUIDANCE[failure.failure_code].category is Category.RESOURCE


def test_long_words_are_cut_before_they_are_kept() -> None:
    """A line as long as is kept of a child's words becomes a short sentence, in no time."""
    words = f"fatal: {'://' * 20_000}\n"

    began = time.perf_counter()
    message = recognise(words, URL).message

    assert len(message) < 250
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "line",
    [
        f"Receiving objects:  50% ({'9' * 5_000}/{'9' * 5_000})",
        "Receiving objects:  50% (9999999999999/9999999999999)",
        "remote: Counting objects:  50% (7/3)",
        "remote: Counting objects: 1000% (1/2)",
        f"remote: {'A' + 'a' * 100} objects:  50% (1/2)",
        "Receiving objects:  50% (\u0661/\u0662)",
    ],
)
def test_progress_that_cannot_be_is_passed_over(line: str) -> None:
    """Numbers that no fetch has, in any digits, are not taken."""
    progress = FetchProgress()
    before = progress.report()

    progress.feed(line)

    assert progress.report() == before


def test_amounts_of_the_remote_are_short() -> None:
    """What stands behind the numbers is shown only where git could have written it."""
    progress = FetchProgress()

    progress.feed(f"remote: Counting objects:  50% (1/2), {'1' * 500} {'x' * 500}")

    assert progress.report()["message"] == "counting objects: 1 of 2"


def test_progress_grows_over_the_stages() -> None:
    """The stages of a fetch follow each other in one percentage, with git's own numbers."""
    progress = FetchProgress()
    seen = []
    for line in (
        "remote: Counting objects:  50% (5/10)        ",
        "remote: Compressing objects: 100% (4/4), done.        ",
        "Receiving objects:  50% (500/1000), 1.20 MiB | 2.30 MiB/s",
        "warning: something else",
        "Resolving deltas: 100% (7/7), done.",
    ):
        progress.feed(line)
        seen.append(progress.report())

    percents = [report["percent"] for report in seen]
    assert percents == sorted(percents)
    assert seen[2] == seen[3]
    assert (seen[2]["done"], seen[2]["total"], seen[2]["unit"]) == (500, 1000, "objects")
    assert seen[2]["message"] == "receiving objects: 500 of 1000, 1.20 MiB, 2.30 MiB/s"
    assert percents[-1] < 100


def test_a_tree_is_read_entry_by_entry() -> None:
    """Files, links and submodules are told apart; names may hold everything but NUL."""
    listed = (
        f"100644 blob {BLOB}       2\ta\tb\n.txt\0"
        f"120000 blob {BLOB}      17\tlink\0"
        f"160000 commit {SHA256_BLOB}       -\tmodule\0"
    ).encode()

    assert list(read_tree(io.BytesIO(listed), 10)) == [
        TreeEntry("a\tb\n.txt", "100644", BLOB, 2),
        TreeEntry("link", "120000", BLOB, 17),
        TreeEntry("module", "160000", SHA256_BLOB, None),
    ]


def test_directories_are_counted_and_not_given() -> None:
    """A tree of directories alone comes to its end like one of files."""
    listed = f"040000 tree {BLOB}       -\ta\0".encode()

    assert list(read_tree(io.BytesIO(listed * 2), 2)) == []
    with pytest.raises(JobFailure) as failed:
        list(read_tree(io.BytesIO(listed * 3), 2))
    assert failed.value.failure_code == "RES-003"


@pytest.mark.parametrize("kind", ["100644 blob", "040000 tree"])
def test_a_path_has_a_length(kind: str) -> None:
    """4,096 bytes are a path and one more is none, also before its end has come."""
    head = f"{kind} {BLOB}       -\t".encode()

    list(read_tree(io.BytesIO(head + b"x" * 4_096 + b"\0"), 2))
    for tail in (b"x" * 4_097 + b"\0", b"x" * 10_000_000):
        listed = io.BytesIO(head + tail)
        with pytest.raises(JobFailure) as failed:
            list(read_tree(listed, 2))
        assert failed.value.failure_code == "RES-003"
        assert listed.tell() <= 128 * 1024


def test_the_paths_of_a_tree_have_a_sum() -> None:
    """Long paths are taken, but not for every one of the files that a tree may have."""
    listed = b"".join(
        f"100644 blob {BLOB}       2\t{number:04000}\0".encode() for number in range(1_000)
    )

    assert len(list(read_tree(io.BytesIO(listed), 25_000))) == 1_000
    with pytest.raises(JobFailure) as failed:
        list(read_tree(io.BytesIO(listed), 10_000))
    assert failed.value.failure_code == "RES-003"


def test_a_tree_is_counted_while_it_is_read() -> None:
    """One entry too many ends the reading."""
    listed = f"100644 blob {BLOB}       2\ta\0".encode() * 3

    with pytest.raises(JobFailure) as failed:
        list(read_tree(io.BytesIO(listed), 2))

    assert failed.value.failure_code == "RES-003"


def test_what_is_no_tree_is_damage() -> None:
    """Words that are not git's are not guessed at."""
    with pytest.raises(JobFailure) as failed:
        list(read_tree(io.BytesIO(b"hello\0"), 2))

    assert failed.value.failure_code == "GIT-005"


def test_files_are_read_by_name_in_order() -> None:
    """Each file's bytes are what git says they are, line ends included."""
    requests = io.BytesIO()
    answers = io.BytesIO(f"{BLOB} blob 3\na\nb\n{SHA256_BLOB} blob 0\n\n".encode())
    wanted = [WantedFile("a", BLOB, 3), WantedFile("b", SHA256_BLOB, 0)]

    documents = list(read_files(requests, answers, wanted))

    assert requests.getvalue() == f"{BLOB}\n{SHA256_BLOB}\n".encode()
    assert [document.data for document in documents] == [b"a\nb", b""]


@pytest.mark.parametrize(
    "answer",
    ["", f"{BLOB} missing\n", f"{BLOB} blob 4\nabcd\n", f"{BLOB} blob 3\nab", f"{BLOB} tree 3\n"],
)
def test_a_file_that_is_not_as_listed_is_damage(answer: str) -> None:
    """A missing, cut or different object is noticed."""
    with pytest.raises(JobFailure) as failed:
        list(read_files(io.BytesIO(), io.BytesIO(answer.encode()), [WantedFile("a", BLOB, 3)]))

    assert failed.value.failure_code == "GIT-005"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("src/größe.py", "src/größe.py"),
        ("a\x1b[2J\r\n\u202eb", "a\\x1b[2J\\r\\n\\u202eb"),
        ("\ud800", "\\ud800"),
        ("x" * 11, "xxxx…xxxx"),
    ],
)
def test_foreign_text_is_made_printable(text: str, shown: str) -> None:
    """Nothing that moves a cursor or turns a line round comes through, and nothing endless."""
    assert printable(text, 10) == shown or printable(text, 100) == shown


def test_first_weights_are_the_usual_ones() -> None:
    """Without a sync before, the phases weigh what the table says."""
    assert dict(weigh_phases(tuple(WEIGHTS), {})) == dict(WEIGHTS)


def test_later_weights_lean_to_what_phases_took() -> None:
    """Half of a weight is the table's, half is the share of the last sync's time."""
    weights = dict(weigh_phases(tuple(WEIGHTS), {**dict.fromkeys(WEIGHTS, 0.0), "indexing": 8.0}))

    assert weights["indexing"] == pytest.approx(0.725)
    assert weights["git_sync"] == pytest.approx(0.175)
    assert sum(weights.values()) == pytest.approx(1.0)
