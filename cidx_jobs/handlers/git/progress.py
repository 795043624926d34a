"""Git's progress lines, as numbers."""

import re
from typing import Any, NamedTuple

# The numbers may be the remote's words: what is longer than git's own can be is no progress.
_AMOUNT = r"[0-9.]{1,12} [A-Za-z]{1,8}"
_LINE = re.compile(
    r"(?:remote: )?(?P<stage>[A-Z][a-z]{1,12} (?:objects|deltas)): {1,4}(?P<percent>[0-9]{1,3})%"
    r" \((?P<done>[0-9]{1,12})/(?P<total>[0-9]{1,12})\)"
    rf"(?:, (?P<amount>{_AMOUNT})(?: \| (?P<rate>{_AMOUNT}/s))?)?"
)


class _Share(NamedTuple):
    first: float
    last: float
    words: str


# Where each stage lies in the whole of a fetch, in percent.
_STAGES = {
    "Counting objects": _Share(0, 4, "counting objects"),
    "Compressing objects": _Share(4, 15, "the remote compresses objects"),
    "Receiving objects": _Share(15, 85, "receiving objects"),
    "Resolving deltas": _Share(85, 98, "resolving deltas"),
}


class FetchProgress:
    """How far a fetch is, from the lines that git writes while it works."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._percent = 0.0
        self._done: int | None = None
        self._total: int | None = None
        self._message = "asking the remote"

    def feed(self, line: str) -> None:
        """Take a line; one that tells no progress that can be is passed over."""
        match = _LINE.match(line)
        share = _STAGES.get(match["stage"]) if match else None
        if match is None or share is None or int(match["done"]) > int(match["total"]):
            return
        percent = share.first + (share.last - share.first) * min(100, int(match["percent"])) / 100
        self._percent = max(self._percent, percent)
        self._done, self._total = int(match["done"]), int(match["total"])
        words = [f"{share.words}: {match['done']} of {match['total']}"]
        words += [match["amount"]] if match["amount"] else []
        words += [match["rate"]] if match["rate"] else []
        self._message = ", ".join(words)

    def report(self) -> dict[str, Any]:
        """Return the keyword arguments of a progress report."""
        return {
            "percent": self._percent,
            "done": self._done,
            "total": self._total,
            "unit": "objects",
            "message": self._message,
        }
