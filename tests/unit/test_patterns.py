"""No pattern of the package takes long for any text that fits a request's body.

A pattern that looks at each character from each character on stops the loop, and everybody with
it. Here each is measured with 64 KB of what is worst for it: texts made of its own pieces.
"""

import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from re import _constants as marks  # type: ignore[attr-defined]  # what `re` parses to
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

import pytest

import cidx_jobs
from cidx_jobs.model.redact import redact, redact_secrets

SIZE = 64 * 1024
MOST_SECONDS = 0.01
PIECES = 8
SCREEN = 4
"""A text of a fourth of the size is tried first: what is quadratic takes a sixteenth there."""
ENDS = ("\x00", " ")
"""What a run of pieces may end with, so that a pattern has to give up on it."""
SOURCE = "\n".join(
    path.read_text("utf-8") for path in Path(cidx_jobs.__file__).parent.rglob("*.py")
)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Return every compiled pattern that a module of the package holds, by its place."""
    found: dict[str, tuple[str, re.Pattern[Any]]] = {}
    for module in pkgutil.walk_packages(cidx_jobs.__path__, "cidx_jobs."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for number, pattern in enumerate(_patterns_in(value, 0)):
                found.setdefault(pattern.pattern, (f"{module.name}:{name}:{number}", pattern))
    return dict(found.values())


def _patterns_in(value: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 3 and isinstance(value, tuple | list):
        for part in value:
            yield from _patterns_in(part, depth + 1)


def pieces(pattern: re.Pattern[Any]) -> list[str]:
    """Return short texts that parts of the pattern fit: its words, and one of each class."""
    parsed = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    found = dict.fromkeys(_pieces(parsed))
    return list(found)[:PIECES]


def _pieces(parsed: Any) -> Iterator[str]:
    word = ""
    for mark, argument in parsed:
        if mark is marks.LITERAL:
            word += chr(argument)
            continue
        if word:
            yield word
            word = ""
        yield from _of_part(mark, argument)
    if word:
        yield word


def _of_part(mark: Any, argument: Any) -> Iterator[str]:
    if mark is marks.IN:
        for kind in ("a1", ".-/:' \"\t"):
            yield from [one for one in kind if _is_in(one, argument)][:1]
    elif mark in {marks.NOT_LITERAL, marks.ANY}:
        yield "a"
    elif mark is marks.SUBPATTERN:
        yield from _pieces(argument[-1])
        yield from _whole(argument[-1])
    elif mark is marks.BRANCH:
        for branch in argument[1]:
            yield from _pieces(branch)
    elif mark in {marks.MAX_REPEAT, marks.MIN_REPEAT, marks.POSSESSIVE_REPEAT}:
        yield from _pieces(argument[2])
        yield from _whole(argument[2])


def _whole(parsed: Any) -> Iterator[str]:
    text = "".join(_pieces(parsed))
    if text:
        yield text


_KINDS = {
    marks.CATEGORY_DIGIT: str.isdigit,
    marks.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    marks.CATEGORY_SPACE: str.isspace,
    marks.CATEGORY_WORD: str.isalnum,
}


def _is_in(character: str, members: Any) -> bool:
    is_negated = members[0][0] is marks.NEGATE
    return is_negated is not any(_fits(character, *member) for member in members[is_negated:])


def _fits(character: str, mark: Any, what: Any) -> bool:
    if mark is marks.LITERAL:
        return bool(ord(character) == what)
    if mark is marks.RANGE:
        return bool(what[0] <= ord(character) <= what[1])
    return bool(_KINDS[what](character))


def worst_texts(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Yield texts of the size: runs of each piece and of each pair, with ends that do not fit."""
    known = pieces(pattern)
    for one, other in itertools.product(known, repeat=2):
        run = one if one == other else one + other
        for last in ENDS:
            yield (run * size)[:size] + last
        yield one + (other * size)[:size] + "\x00"
    for one in known:
        yield one + " " * size + "\x00"


def _seconds(pattern: re.Pattern[Any], text: str, methods: set[str]) -> float:
    subject = text.encode() if isinstance(pattern.pattern, bytes) else text
    begin = time.thread_time()
    if "fullmatch" in methods:
        pattern.fullmatch(subject)
    if "match" in methods:
        pattern.match(subject)
    if "search" in methods:
        pattern.search(subject)
    if methods & {"sub", "findall", "finditer"}:
        pattern.sub("" if isinstance(subject, str) else b"", subject)
    return time.thread_time() - begin


def _methods(name: str) -> set[str]:
    """Return how a pattern of this name is asked, anywhere in the package."""
    return set(re.findall(rf"\b{name}\.([a-z]+)\(", SOURCE)) or {"sub"}


def find_slow(pattern: re.Pattern[Any], methods: set[str]) -> list[str]:
    """Return the beginnings of the texts that take longer than they may."""
    texts = zip(worst_texts(pattern, SIZE // SCREEN), worst_texts(pattern, SIZE), strict=True)
    return [
        whole[:40]
        for part, whole in texts
        if _seconds(pattern, part, methods) > MOST_SECONDS / SCREEN**2
        and min(_seconds(pattern, whole, methods) for _ in range(3)) > MOST_SECONDS
    ]


PATTERNS = patterns()


def test_all_patterns_are_known_here() -> None:
    """Each is compiled once, where its module is loaded."""
    assert len(PATTERNS) > 30


@pytest.mark.slow
@pytest.mark.parametrize("place", sorted(PATTERNS))
def test_a_pattern_takes_no_time_for_its_worst_text(place: str) -> None:
    """Less than 10 ms for 64 KB, so that nobody waits for one request's text."""
    assert find_slow(PATTERNS[place], _methods(place.split(":")[1])) == []


def test_a_pattern_that_looks_back_and_back_is_found() -> None:
    """The measure has teeth: this is how a URL's password was looked for once."""
    pattern = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")

    assert any(
        _seconds(pattern, text, {"search"}) > MOST_SECONDS
        for text in worst_texts(pattern, SIZE // SCREEN)
    )


@pytest.mark.parametrize(
    "text", ["a.", "a:", "password ", "/a", "cidxj_", "ghp_", "glpat-", "://", "'", "x y "]
)
def test_a_long_text_is_cut_before_its_secrets_are_looked_for(text: str) -> None:
    """However long it is, it takes no longer."""
    begin = time.thread_time()

    shown = redact(text * 1_000_000)

    assert time.thread_time() - begin < 0.1
    assert len(shown) < 10_000


@pytest.mark.parametrize("secret", ["https://bob:hunter2@example.com", "cidxj_hunter2hunter2"])
@pytest.mark.parametrize("cut_at", range(8_150, 8_200, 3))
def test_the_cut_leaves_no_half_of_a_secret(secret: str, cut_at: int) -> None:
    """A word that the cut goes through goes wholly."""
    assert "hunter" not in redact_secrets("x " * (cut_at // 2) + secret + " y" * 100)
