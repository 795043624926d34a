"""Text search: the trigram query, and the lines that match."""

from collections.abc import Iterator

from cidx_jobs.model.index import SearchHit

MIN_CHARACTERS = 3
"""A shorter text holds no trigram."""

_MAX_TRIGRAMS = 24
"""Of a longer text only so many are looked up, evenly spread; what they find is compared whole."""
_MAX_LINE_CHARACTERS = 1_000
_DOTTED_I = "i\N{COMBINING DOT ABOVE}"


def match_expression(text: str) -> str | None:
    """Return the FTS5 query for contents that hold all trigrams of *text*.

    Each trigram is a quoted string, so nothing of the text is query syntax. None where the text
    cannot be in any index.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return match_folded(fold(text))


def match_sample(text: str) -> str | None:
    """Return the FTS5 query for three characters in the middle of *text*; None if it has fewer."""
    # Folded first: a part that is folded by itself may become what the whole does not hold.
    folded = fold(text)
    middle = (len(folded) - MIN_CHARACTERS) // 2
    return match_folded(folded[max(0, middle) :][:MIN_CHARACTERS])


def match_folded(text: str) -> str | None:
    """Return the query of `match_expression` for a text that is folded already."""
    trigrams = list(dict.fromkeys(text[i : i + 3] for i in range(len(text) - 2)))
    if not trigrams or "\0" in text:
        return None
    step = -(-len(trigrams) // _MAX_TRIGRAMS)
    return " ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step])


def fold(text: str) -> str:
    """Return *text* in the form in which letter case does not count, in any script."""
    # What the capital I with a dot is folded to; nobody who looks for it writes it so.
    return text.casefold().replace(_DOTTED_I, "i")


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
    first = max(0, _unfold(line, place) - _MAX_LINE_CHARACTERS // 2)
    return line[first : first + _MAX_LINE_CHARACTERS]


def _unfold(line: str, place: int) -> int:
    """Return the place in a line that is at *place* once the line is folded."""
    folded = 0
    for number, character in enumerate(line):
        folded += len(fold(character))
        if folded > place:
            return number
    return len(line)
