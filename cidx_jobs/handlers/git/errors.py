"""Git's messages on stderr as failures of the job, each with a code.

The words are those of git and curl in the C locale; the first pattern that is found wins. So the
reasons stand before their consequences: a full disk also makes an invalid pack. What a remote says
of itself counts only where it is about the remote: its disk may be full, and ours is not.
"""

import re
import signal
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.redact import redact

NOT_GIT = "GIT-003"
HOST_KEY_SETTING = "git_ssh_known_hosts"
_REDIRECTED = "NET-006"
DAMAGED = "GIT-005"
UNRECOGNISED = "GIT-006"
DEAD_END = "255.255.255.255"
"""Where git's requests to hosts that were not checked go; no connection to it is ever begun."""

_DAMAGED_SENTENCE = "what {url} sent, or the copy of it, is damaged"
_KILLED = "RES-002"
_KILLED_SENTENCE = "a git that worked on {url} was killed, as the system does for want of memory"
# The machine was short of memory, not the job greedy: the next attempt may fare better.
_WORTH_ANOTHER_ATTEMPT = {_KILLED}

_OURS = (
    (
        rf"connect to {re.escape(DEAD_END)}",
        "NET-006",
        "{url} leads on to another host, and only its own is spoken to",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "RES-001",
        "the server's disk is full",
    ),
    (
        (
            r"Resource temporarily unavailable|Too many open files|Text file busy"
            r"|unable to create (async )?thread|[Cc]annot (fork|create thread)|unable to fork"
        ),
        "RES-005",
        "the server is short of processes, threads or open files for {url}",
    ),
    (
        r"File too large|signal 25|pack exceeds maximum allowed size",
        "RES-004",
        "{url} is larger than max_repository_bytes",
    ),
    (
        r"[Oo]ut of memory|attempting to allocate|Cannot allocate memory|mmap failed",
        "RES-004",
        "{url} takes more memory than git_memory_bytes",
    ),
    (
        r"died of signal 9\b",
        _KILLED,
        _KILLED_SENTENCE,
    ),
)
_THEIRS = (
    (
        r"possible repository corruption|bad pack header",
        DAMAGED,
        _DAMAGED_SENTENCE,
    ),
    (
        r"Host key verification failed",
        "AUTH-002",
        f"the ssh key of the host of {{url}} is none of those in {HOST_KEY_SETTING}",
    ),
    (
        r"(CONNECT tunnel failed, response|Received HTTP code|returned error:) 407",
        "CFG-007",
        "the proxy of this server (git_proxy) does not take its user and password",
    ),
    (
        r"CONNECT tunnel failed, response 5\d\d|Received HTTP code 5\d\d from proxy",
        "NET-002",
        "the proxy of this server (git_proxy) cannot reach the host of {url}",
    ),
    (
        r"CONNECT tunnel failed|from proxy after CONNECT",
        "CFG-007",
        "the proxy of this server (git_proxy) does not let it reach the host of {url}",
    ),
    (
        r"Could not resolve proxy|Proxy CONNECT aborted",
        "NET-002",
        "the proxy of this server (git_proxy) cannot be reached",
    ),
    (
        r"could not read (Username|Password)|terminal prompts disabled",
        "AUTH-001",
        "{url} asks for credentials, or does not exist",
    ),
    (
        (r"Authentication failed|returned error: 40[13]|Permission denied \(publickey"),
        "AUTH-002",
        "the server may not read {url}",
    ),
    (
        r"Could not resolve host|Name or service not known|name resolution",
        "NET-001",
        "the host of {url} is not known",
    ),
    (
        r"returned error: 3\d\d|unable to update url base from redirection",
        _REDIRECTED,
        "{url} redirects to another place, and redirects are not followed",
    ),
    (
        r"[Cc]ertificate|CAfile|[Ss]elf.signed",
        "NET-003",
        "the certificate of the host of {url} is not one that this server trusts",
    ),
    (
        r"not our ref|\bwant [0-9a-f]{40,64} not valid",
        "GIT-008",
        "{url} changed while it was fetched",
    ),
    (
        r"dumb http transport does not support",
        "GIT-007",
        "{url} is served as plain files (dumb HTTP), of which only a whole history can be fetched",
    ),
    (
        r"Connection refused|No route to host|[Nn]etwork is unreachable|Couldn't connect",
        "NET-002",
        "the host of {url} cannot be reached",
    ),
    (
        r"returned error: (5\d\d|429)",
        "NET-007",
        "the host of {url} answers with an error of its own",
    ),
    (
        (
            r"too slow|timed out|timeout|Connection reset|unexpected disconnect|early EOF|hung up"
            r"|RPC failed|transfer closed|Empty reply|Connection closed|Broken pipe"
            # Of a secure connection whatever is not about the certificate: it was cut.
            r"|SSL|TLS|gnutls"
        ),
        "NET-004",
        "the connection with the host of {url} was too slow or broke off",
    ),
    (
        r"Failed to connect",
        "NET-002",
        "the host of {url} cannot be reached",
    ),
    (
        r"couldn't find remote ref|Remote branch \S{1,300} not found",
        "GIT-002",
        "{url} has no such branch",
    ),
    (
        (
            r"transport '[^'\n]{0,300}' not allowed|is not a supported|remote helper"
            r"|dubious ownership|access denied or repository not exported"
        ),
        "GIT-007",
        "{url} refuses to be read this way",
    ),
    (
        r"returned error: 4(04|10)|repository '[^'\n]{0,300}' not found|No such file or directory",
        "GIT-001",
        "there is no repository at {url}",
    ),
    (
        (
            r"is this a git repository|does not appear to be a git repository"
            r"|not a git repository|invalid server response|protocol error|bad line length"
        ),
        NOT_GIT,
        "there is no git repository at {url}",
    ),
    (
        (
            r"corrupt|unable to read|could not get object info|did not send all necessary"
            r"|Could not read [0-9a-f]{40}|does not point to a valid|[Nn]ot a valid"
        ),
        DAMAGED,
        _DAMAGED_SENTENCE,
    ),
    (
        (
            r"bad (object|tree|pack)|(index|fetch)-pack|inflate|unresolved delta|packfile"
            r"|loose object|m(alformed|issing)"
        ),
        DAMAGED,
        _DAMAGED_SENTENCE,
    ),
)
_OF_THE_REMOTE = re.compile(r"^remote:.*$|\bremote error:.*$", re.MULTILINE)
# Names and URLs that git tells of: a repository may be called "timeout".
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'")
# An index-pack that ends by itself says why; git then does not look how it ended.
_DIED_WITHOUT_A_WORD = "fetch-pack: invalid index-pack output"
_MAX_WORDS = 1_000
_SHOWN_CHARACTERS = 300
# What git writes where it traces its requests: the lines of a host's answer, among others.
_TRACE = re.compile(r"^\d\d:\d\d:\d\d\.\d{6} http\.c:\d+ .*(?:\n|\Z)", re.MULTILINE)
_ANSWERED = r"^\d\d:\d\d:\d\d\.\d{6} http\.c:\d+ +<= Recv header: "
_LOCATION = re.compile(rf"{_ANSWERED}location: *(.+)$", re.MULTILINE | re.IGNORECASE)
_ADVERTISEMENT = re.compile(
    rf"{_ANSWERED}content-type: *application/x-git-upload-pack-", re.MULTILINE | re.IGNORECASE
)
_TRACED = re.compile(r"\d\d:\d\d:\d\d\.\d{6} http\.c:\d+ ")
# The first line of a host's answer over HTTP, and what ssh says once it was let in.
_ANSWER = re.compile(r"\d\d:\d\d:\d\d\.\d{6} http\.c:\d+ +<= Recv header: HTTP/|Authenticated to ")
_ASKED_PROXY = re.compile(r"\d\d:\d\d:\d\d\.\d{6} http\.c:\d+ +=> Send header: CONNECT ")
_RETRY_AFTER = re.compile(rf"{_ANSWERED}retry-after: *(.+)$", re.MULTILINE | re.IGNORECASE)
_LONGEST_RETRY_SECONDS = 86_400.0
_MOST_DIGITS = 9
_BUSY = "NET-007"
_FIRST_REQUEST = "/info/refs"
_MOST_READ = 16_384
_LAST_WORDS = re.compile(r"^(?:fatal|error|remote: fatal): (.+(?:\n\t.+)*)$", re.MULTILINE)
# Said by our end when the other one, on this machine too, had given up and said why.
_CONSEQUENCE = "Could not read from remote repository"


def find_failure(ended: ChildResult, url: str) -> JobFailure:
    """Return the failure of a git that did not end well; *url* is the repository."""
    if ended.returncode == -signal.SIGKILL:
        return _make_failure(_KILLED, _KILLED_SENTENCE, url)
    return recognise(ended.stderr, url)


def recognise(stderr: str, url: str) -> JobFailure:
    """Return the failure that git's words stand for.

    Args:
        stderr: what git said, in the C locale; it may have traced its requests.
        url: the repository, for the sentence; it is the user's own.
    """
    words = _TRACE.sub("", stderr)
    failure = _recognise(words, url)
    if failure.failure_code == _REDIRECTED and (target := _find_redirection(stderr)):
        return JobFailure(_describe_redirection(url, target), code=_REDIRECTED)
    if failure.failure_code == _BUSY:
        after = _find_retry_after(stderr)
        return JobFailure(failure.message, code=_BUSY, after=after)
    return failure


def is_traced(line: str) -> bool:
    """Return whether a line is one of the trace of git's requests, and no word of git."""
    return _TRACED.match(line) is not None


def asks_proxy(line: str) -> bool:
    """Return whether a line on stderr says that a proxy is asked for the host."""
    return _ASKED_PROXY.match(line) is not None


def is_answer(line: str) -> bool:
    """Return whether a line on stderr says that the host has answered a request."""
    return _ANSWER.match(line) is not None


def is_of_git(stderr: str) -> bool:
    """Return whether a host answered as git does, by what was traced of its answers."""
    return _ADVERTISEMENT.search(stderr) is not None


def _recognise(stderr: str, url: str) -> JobFailure:
    # A line of progress ends where the next one overwrites it; git marks each of the remote's.
    said = _shorten(stderr).replace(url, "").replace("\r", "\n")
    said = _QUOTED.sub("''", said)
    ours = _OF_THE_REMOTE.sub("", said)
    if _LAST_WORDS.findall(ours) == [_DIED_WITHOUT_A_WORD]:
        return _make_failure(_KILLED, _KILLED_SENTENCE, url)
    for words, recognised in ((ours, _OURS), (said, _THEIRS)):
        for pattern, code, sentence in recognised:
            # Compiled, and kept by `re`, at the first failure: a start has no use for them.
            if re.search(pattern, words):
                return _make_failure(code, sentence, url)
    last = _find_last_words(stderr)
    return JobFailure(f"git failed: {printable(redact(last))}", code=UNRECOGNISED)


def _find_retry_after(stderr: str) -> float | None:
    """Return for how many seconds the host asks to be left alone, a day at most."""
    found = _RETRY_AFTER.findall(stderr)
    if not found:
        return None
    text = found[-1].strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:_MOST_DIGITS])
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = until.timestamp() - time.time()
    return max(0.0, min(seconds, _LONGEST_RETRY_SECONDS))


def _find_redirection(stderr: str) -> str | None:
    found = _LOCATION.findall(stderr)
    return found[-1].strip() if found else None


def _describe_redirection(url: str, location: str) -> str:
    """Say where a host leads to, and what to write in place of the url."""
    target, _, _ = urljoin(f"{url}{_FIRST_REQUEST}", location).partition("?")
    shown = printable(redact(target.removesuffix(_FIRST_REQUEST)), _SHOWN_CHARACTERS)
    leads = f"{printable(url)} redirects to {shown}, and redirects are not followed"
    if target.endswith(_FIRST_REQUEST):
        return f"{leads}: sync that URL instead"
    return f"{leads}: that is no repository; perhaps one logs in there"


def _shorten(stderr: str) -> str:
    """Return the beginning and the end of what git said; a remote may say as much as it likes."""
    if len(stderr) <= _MOST_READ:
        return stderr
    half = _MOST_READ // 2
    return f"{stderr[:half]}\n{stderr[-half:]}"


def _make_failure(code: str, sentence: str, url: str) -> JobFailure:
    retryable = True if code in _WORTH_ANOTHER_ATTEMPT else None
    return JobFailure(sentence.format(url=printable(url)), code=code, retryable=retryable)


def _find_last_words(stderr: str) -> str:
    words = _LAST_WORDS.findall(stderr) or stderr.split("\n")
    causes = [line for line in words if line.strip() and not line.startswith(_CONSEQUENCE)]
    last = causes[-1] if causes else "it said nothing"
    # A remote may make the line as long as it likes; what is shown of it is short.
    return " ".join(last.split())[:_MAX_WORDS]
