"""Output of an index program: how far it is, what it warns of, and its last lines."""

import json
import re
from collections import deque
from typing import Any

from cidx_jobs.model.redact import redact

KEPT_LINES = 50
"""So many of the last lines are in the error of a program that fails."""
MAX_WARNINGS = 20

_SHOWN_CHARACTERS = 200
_WARNED_WITHIN = 40
# What stands in a longer path, date or word is no count.
_COUNT = re.compile(r"(?<![\w/.-])(\d{1,12})\s{0,8}(?:/|of)\s{0,8}(\d{1,12})(?![\w/-])")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d{1,12})?\s{0,8}%")
# "[retry 2/3]" counts attempts, and no files.
_OF_ATTEMPTS = re.compile(r"\b(?:re-?)?(?:try|tries|tried|trying|attempts?)\b", re.IGNORECASE)
# At the beginning of a line, or in capitals behind a time and a name.
_WARNING = re.compile(
    r"(?:[ \[(<*#>|:-]{0,8}[Ww][Aa][Rr][Nn](?:[Ii][Nn][Gg])?|.{0,40}?\bWARN(?:ING)?)"
    r"[\s:\])-]{1,4}(.*)"
)


class ProgramOutput:
    """What a program has written so far; a million lines cost next to nothing."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._warnings: dict[str, None] = {}

    def hear(self, line: str) -> None:
        """Take a line."""
        self._lines.append(line)
        if "warn" in line[:_WARNED_WITHIN].lower() and len(self._warnings) < MAX_WARNINGS:
            found = _WARNING.match(line)
            if found is not None and found[1].strip():
                self._warnings[_show(found[1].strip())] = None

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines, each cut and made harmless."""
        return tuple(_show(line) for line in self._lines)

    @property
    def last_line(self) -> str:
        """The last of them; empty where there is none."""
        return _show(self._lines[-1]) if self._lines else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it warned of, each once, the first `MAX_WARNINGS`."""
        return tuple(self._warnings)

    @property
    def progress(self) -> dict[str, Any]:
        """How far the program says it is, as arguments of a progress report.

        The newest line that tells it counts: a JSON object with ``current``, ``total`` and perhaps
        ``info``, or a line with ``17/300``, ``17 of 300`` or ``6 %``.
        """
        message = self.last_line or "the index program runs"
        for line in reversed(self._lines):
            told = _read_json(line) or _read_words(line)
            if told is not None:
                return {"message": message, **told}
        return {"message": message}


def _read_json(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    counted = _make_count(told.get("current"), told.get("total"))
    info = told.get("info")
    if counted is not None and isinstance(info, str) and info:
        counted["message"] = _show(info)
    return counted


def _read_words(line: str) -> dict[str, Any] | None:
    if _OF_ATTEMPTS.search(line):
        return None
    if counted := _COUNT.search(line):
        return _make_count(int(counted[1]), int(counted[2]))
    if share := _PERCENT.search(line):
        return {"percent": float(min(100, int(share[1])))}
    return None


def _make_count(done: object, total: object) -> dict[str, Any] | None:
    if type(done) is not int or type(total) is not int or not 0 <= done <= total or not total:
        return None
    return {"done": done, "total": total, "unit": "files", "percent": 100.0 * done / total}


def _show(text: str) -> str:
    cut = text[:_SHOWN_CHARACTERS]
    return redact("".join(part if part.isprintable() else "?" for part in cut))
