"""Whom a git may speak to, as its configuration says it."""

from collections.abc import Sequence

import pytest

from cidx_jobs.handlers.git.shields import Access, configure
from cidx_jobs.handlers.git.url_rules import RemoteRules

INSIDE = RemoteRules(allowed_hosts=frozenset({"127.0.0.1:3000", "[::1]:3000"}), allows_ssh=True)
PUBLIC = RemoteRules()
WAYS = ("proxy", "curloptResolve")
DEAD_END = "http.proxy=http://255.255.255.255:9"


def ways(rules: RemoteRules, url: str, addresses: Sequence[str]) -> list[str]:
    """Return what the configuration for a URL says of hosts."""
    remote = rules.read(url)
    access = Access(remote=remote, source=remote.url, addresses=addresses)
    return [
        option
        for option in configure(access, 60)
        if option.partition("=")[0].rpartition(".")[2] in WAYS
    ]


@pytest.mark.parametrize(
    ("rules", "url", "addresses", "opened"),
    [
        (
            PUBLIC,
            "https://Example.org/code",
            ["192.0.2.7", "2001:db8::7"],
            [
                "http.https://example.org:443/.proxy=",
                "http.curloptResolve=example.org:443:192.0.2.7,[2001:db8::7]",
            ],
        ),
        (
            INSIDE,
            "http://127.0.0.1:3000/code",
            ["127.0.0.1"],
            [
                "http.http://127.0.0.1:3000/.proxy=",
                "http.curloptResolve=127.0.0.1:3000:127.0.0.1",
            ],
        ),
        (INSIDE, "http://[::1]:3000/code", ["::1"], ["http.http://[::1]:3000/.proxy="]),
    ],
)
def test_one_scheme_host_and_port_is_open(
    rules: RemoteRules, url: str, addresses: Sequence[str], opened: list[str]
) -> None:
    """All requests go to a dead end but those to the host of the URL, at its addresses."""
    assert ways(rules, url, addresses) == [DEAD_END, *opened]


def test_nothing_of_the_web_is_open_for_other_remotes() -> None:
    """A git that speaks ssh asks nothing of the web, and one without a remote nothing at all."""
    rules = RemoteRules(allows_ssh=True)

    assert ways(rules, "git@example.org:code", ["192.0.2.7"]) == [DEAD_END]
    assert DEAD_END in configure(None, 60)
