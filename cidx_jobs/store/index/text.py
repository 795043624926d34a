"""Text search: which files are text, the trigram query, and the lines that match."""

from collections.abc import Iterator

from cidx_jobs.model.index import SearchHit

MIN_CHARACTERS = 3
"""A shorter text holds no trigram."""

_SNIFFED_BYTES = 8 * 1024
_MAX_UNDECODABLE = 0.3
_MAX_TRIGRAMS = 24
_MAX_LINE_CHARACTERS = 1_000
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
_SIGMA_AT_AN_END = "\N{GREEK SMALL LETTER FINAL SIGMA}"


def decode_text(data: bytes) -> str | None:
    """Return the text of a file, or None for a binary one.

    Binary is what holds a NUL in its first 8 KiB (git's own rule) or is for more than 30 % no
    UTF-8; in other files what is no UTF-8 is replaced, so that the rest is found.
    """
    if b"\0" in data[:_SNIFFED_BYTES]:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        if text.count(_REPLACEMENT) > _MAX_UNDECODABLE * len(text):
            return None
    return text.removeprefix(_BYTE_ORDER_MARK).replace("\0", _REPLACEMENT)


def match_expression(text: str) -> str | None:
    """Return the FTS5 query for contents that hold all trigrams of *text*.

    Each trigram is a quoted string, so nothing of the text is query syntax. None where the text
    cannot be in any index.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    trigrams = list(dict.fromkeys(text[i : i + 3] for i in range(len(text) - 2)))
    if not trigrams or "\0" in text:
        return None
    step = -(-len(trigrams) // _MAX_TRIGRAMS)
    return " ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step])


def fold(text: str) -> str:
    """Return *text* in the form in which letter case does not count."""
    # At the end of a word the lower case of a sigma is another letter, wherever words end.
    return text.lower().replace(_SIGMA_AT_AN_END, _SIGMA)


def matching_lines(path: str, text: str, wanted: str) -> Iterator[SearchHit]:
    """Yield each line of *text* that holds *wanted* (as of `fold`), letter case aside."""
    lowered = fold(text)
    found = lowered.find(wanted)
    if found < 0:
        return
    lines = text.split("\n")
    number, counted = 0, 0
    while found >= 0:
        number += lowered.count("\n", counted, found)
        start = lowered.rfind("\n", 0, found) + 1
        yield SearchHit(
            path=path, line_number=number + 1, line=_shown(lines[number], found - start)
        )
        counted = lowered.find("\n", found)
        if counted < 0:
            return
        found = lowered.find(wanted, counted + 1)


def _shown(line: str, place: int) -> str:
    # A minified file is one line of a megabyte: only the part around the text is shown.
    line = line.removesuffix("\r")
    if len(line) <= _MAX_LINE_CHARACTERS:
        return line
    first = max(0, place - _MAX_LINE_CHARACTERS // 2)
    return line[first : first + _MAX_LINE_CHARACTERS]
