"""Makes the pages of the documentation that are read off the code; a test compares them.

Run ``python docs/made_pages.py`` after a change of settings, errors, routes, documents or the
state machine.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from cidx_jobs.model.error_codes import GUIDANCE
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.job.lifecycle import TRANSITIONS
from cidx_jobs.settings import PREFIX, Settings
from cidx_jobs.web.http.problems import PROBLEMS
from cidx_jobs.web.openapi.document import make_document
from cidx_jobs.web.routes.table import list_routes

DOCS = Path(__file__).parent

_BOXES: dict[str, tuple[int, int]] = {
    "(nothing)": (70, 60),
    JobStatus.CREATED: (230, 60),
    JobStatus.QUEUED: (400, 60),
    JobStatus.RUNNING: (590, 60),
    JobStatus.COMPLETED: (800, 60),
    JobStatus.FAILED: (800, 200),
    JobStatus.CANCELLED: (400, 300),
}
_HALF_WIDTH, _HALF_HEIGHT = 52, 18
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 350"
 font-family="sans-serif" font-size="12">
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
 orient="auto"><path d="M0 0L8 4L0 8z" fill="#567"/></marker></defs>
<rect width="900" height="350" fill="#fff"/>"""


def settings_page() -> str:
    """Give the table of all settings."""
    rows = [
        f"| `{field.name}` | {_default(field)} | {field.metadata['range'] or '-'} "
        f"| {field.metadata['about']} |"
        for field in attrs.fields(Settings)
    ]
    head = [
        "# Settings",
        "",
        f"Each setting `name` is read from the variable `{PREFIX}NAME`, or from the TOML file",
        "that `--config` names. An unknown key is an error that names it.",
        "In variables, lists are separated by commas, maps are `k=v,k=v`, booleans are `true` or",
        "`false`, durations are seconds or `90s`, `15m`, `8h`, `7d`, and sizes bytes or `512M`,",
        "`2G`; TOML has its own lists, tables and booleans.",
        "",
        "| name | default | range | what it is |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def errors_page() -> str:
    """Give the tables of all codes: of jobs that failed, and of requests that were refused."""
    jobs = [
        f"| `{code}` | {rule.category} | {rule.severity} | {'yes' if rule.retryable else 'no'} "
        f"| {rule.meaning} | {' '.join(rule.actions)} |"
        for code, rule in GUIDANCE.items()
    ]
    requests = [
        f"| `{code}` | {one.status} | {type(one.sample).__name__} | {one.title} "
        f"| {', '.join(f'`{name}`' for name in one.sample.members) or '-'} |"
        for code, one in PROBLEMS.items()
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            "Codes are stable and never reused.",
            "",
            "## Codes of jobs",
            "",
            "A failed or cancelled job carries one of these in `error.code`.",
            "A job type may use codes of its own besides.",
            "",
            "| code | category | severity | retried | meaning | what to do |",
            "|---|---|---|---|---|---|",
            *jobs,
            "",
            "## Codes of requests",
            "",
            "A refused request carries one of these as `code` of its problem document (RFC 9457).",
            "",
            "| code | status | Python | title | members of its own |",
            "|---|---|---|---|---|",
            *requests,
            "",
        ]
    )


def api_page() -> str:
    """Give the table of all routes; the document of the API says the rest."""
    rows = [
        f"| `{route.method} {path}` | {route.scope or 'open'} | {route.summary} |"
        for path, route in list_routes("/api", is_own=True)
    ]
    head = [
        "# HTTP",
        "",
        "Every GET can be a HEAD, which never waits.",
        "Parameters, bodies, answers and errors of each route stand in",
        "{download}`openapi.json` (OpenAPI 3.1).",
        "A server gives the same at `/openapi.json`, and as a page at `/docs`.",
        "",
        "| route | scope | what it does |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def lifecycle_picture() -> str:
    """Give the state machine as an SVG picture, each edge from the one table."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        edges.setdefault((before or "(nothing)", after), []).append(event)
    drawn = [_edge(start, end, events) for (start, end), events in edges.items()]
    boxes = [_box(name, *place) for name, place in _BOXES.items()]
    return "\n".join(
        [
            _HEAD,
            *drawn,
            *boxes,
            "</svg>",
            "",
        ]
    )


def api_document() -> str:
    """Give the document of the HTTP API, as a server of its own answers with it."""
    document = make_document(list_routes("/api", is_own=True))
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings_page,
    "reference/errors.md": errors_page,
    "reference/http.md": api_page,
    "reference/openapi.json": api_document,
    "explanation/lifecycle.svg": lifecycle_picture,
}
"""Every made page, by its path below docs/."""


def main() -> None:
    """Write every made page."""
    for path, make in PAGES.items():
        (DOCS / path).write_text(make(), "utf-8")


# Defaults that are not the same everywhere.
_OF_THE_MACHINE = {"resources": {"git": 10, "indexing": "PROCESSORS"}}


def _default(field: Any) -> str:
    value = _OF_THE_MACHINE.get(field.name, getattr(Settings(), field.name))
    if value is None or value in ((), {}):
        return "-"
    if isinstance(value, dict):
        value = ",".join(f"{name}={part}" for name, part in value.items())
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _box(name: str, x: int, y: int) -> str:
    final = name in {status for status in JobStatus if status.is_final}
    fill = "#e8f0e8" if final else "#eef2f8"
    return (
        f'<rect x="{x - _HALF_WIDTH}" y="{y - _HALF_HEIGHT}" width="{2 * _HALF_WIDTH}" '
        f'height="{2 * _HALF_HEIGHT}" rx="6" fill="{fill}" stroke="#567"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle">{name}</text>'
    )


def _edge(start: str, end: str, events: list[str]) -> str:
    (x1, y1), (x2, y2) = _BOXES[start], _BOXES[end]
    label = ", ".join(events)
    if start == end:
        path = (
            f"M{x1 - 20} {y1 - _HALF_HEIGHT}C{x1 - 20} 8 {x1 + 20} 8 {x1 + 20} {y1 - _HALF_HEIGHT}"
        )
        return _drawn(path, x1, 12, label)
    if y1 == y2 and x1 < x2:
        return _drawn(
            f"M{x1 + _HALF_WIDTH} {y1}H{x2 - _HALF_WIDTH}", (x1 + x2) // 2, y1 - 6, label
        )
    if y1 == y2:
        low = y1 + _HALF_HEIGHT
        path = f"M{x1} {low}C{x1} {low + 45} {x2} {low + 45} {x2 + 20} {low}"
        return _drawn(path, (x1 + x2) // 2, low + 48, label)
    leaves, arrives = (_HALF_HEIGHT, -_HALF_HEIGHT) if y1 < y2 else (-_HALF_HEIGHT, _HALF_HEIGHT)
    shift = 14 if y1 < y2 else -14
    path = f"M{x1 + shift} {y1 + leaves}L{x2 + shift} {y2 + arrives}"
    middle_x, middle_y = (x1 + 2 * x2) // 3 + shift, (y1 + 2 * y2) // 3
    return _drawn(path, middle_x, middle_y, label)


def _drawn(path: str, x: int, y: int, label: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="#567" marker-end="url(#arrow)"/>'
        f'<text x="{x}" y="{y}" text-anchor="middle" font-size="11" stroke="#fff" '
        f'stroke-width="4" paint-order="stroke">{label}</text>'
    )


if __name__ == "__main__":
    main()
