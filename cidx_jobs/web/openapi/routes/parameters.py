"""What requests may carry in their query and their headers."""

from collections.abc import Sequence

from cidx_jobs.model.ids import JOB_TYPE_PATTERN, PROJECT_ID_PATTERN
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.web.openapi.routes.contract import Parameter, Schema
from cidx_jobs.web.routes import events, projects
from cidx_jobs.web.routes import job_list as lists
from cidx_jobs.web.routes.job_watch import MAX_WAIT_SECONDS, Until

MAX_NUMBER = 10**18 - 1
"""The largest whole number that a query takes."""

_TIME: Schema = {"type": "string", "format": "date-time"}


def _whole(low: int, high: int, default: int | None = None) -> Schema:
    schema: Schema = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else {**schema, "default": default}


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _choice(values: Sequence[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


WATCHING = (
    Parameter(
        "wait",
        f"How many seconds to wait at most; more than {MAX_WAIT_SECONDS} is cut to that.",
        _whole(0, MAX_NUMBER, 0),
        example=30,
    ),
    Parameter(
        "since", "The version of the job that the caller has.", _whole(0, MAX_NUMBER), example=3
    ),
    Parameter(
        "until",
        "What to wait for: any change, another status, or the end. Without it: a change if the "
        "caller named what it has, else the end.",
        _choice([until.value for until in Until]),
        example="change",
    ),
    Parameter(
        "If-None-Match",
        "The tag of what the caller has: if that is still so, the answer is 304 without a body.",
        {"type": "string"},
        place="header",
        example='W/"7"',
    ),
)
IF_MATCH = Parameter(
    "If-Match",
    "The tag of what the caller has: if the job is at another version, nothing is changed (412).",
    {"type": "string"},
    place="header",
    example='W/"2"',
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "Makes a repeat safe: the same key with the same request gives the one job, for 24 hours.",
    {"type": "string", "pattern": r"^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$"},
    place="header",
    example="8c1d3f52-build-1744",
)
PREFER = Parameter(
    "Prefer",
    "`wait=N` answers when the job has ended, or after N seconds (RFC 7240).",
    {"type": "string"},
    place="header",
    example="wait=10",
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    "The id of the last event that the reader of a stream has.",
    {"type": "string"},
    place="header",
    example="1021",
)
REQUEST_ID = Parameter(
    "X-Request-Id",
    "Names the request in the answer and in the server's log; a name that is not harmless is "
    "replaced.",
    {"type": "string"},
    place="header",
    example="build-1744",
)

LIST_FILTERS = (
    Parameter(
        "status",
        "Only jobs with one of these, separated by commas or repeated; `pending` is created and "
        "queued.",
        {"type": "array", "items": _choice([*(status.value for status in JobStatus), "pending"])},
        is_list=True,
        example=["queued", "running"],
    ),
    Parameter("job_type", "Only jobs of this type.", _text(JOB_TYPE_PATTERN)),
    Parameter("project_id", "Only jobs of this project.", _text(PROJECT_ID_PATTERN)),
    Parameter(
        "user_id",
        "Only jobs of this user; for administrators. `@me` is whoever asks, and for everybody.",
        {"type": "string"},
    ),
    Parameter(
        "label",
        "Only jobs with this label, as `key:value`; repeated, all of them.",
        {"type": "array", "items": _text("[^:]+:.*")},
        is_list=True,
        example=["origin:ci"],
    ),
    Parameter("created_after", "Only jobs that were submitted after this time.", _TIME),
    Parameter("created_before", "Only jobs that were submitted before this time.", _TIME),
    Parameter(
        "order",
        "Newest first, or oldest first.",
        {**_choice(["-created_at", "created_at"]), "default": "-created_at"},
    ),
)
_CURSOR = Parameter(
    "cursor",
    "The `next_cursor` of the page before, of the same list.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
)
LIST_PAGES = (
    Parameter(
        "limit",
        "How many on a page.",
        _whole(1, lists.MAX_LIMIT, lists.DEFAULT_LIMIT),
    ),
    _CURSOR,
    Parameter("offset", "How many to pass over; not with a cursor.", _whole(0, MAX_NUMBER, 0)),
)
PAGES = (
    Parameter(
        "limit",
        "How many on a page.",
        _whole(1, events.MAX_LIMIT, events.DEFAULT_LIMIT),
    ),
    _CURSOR,
)
SEARCH = (
    Parameter(
        "q",
        "The text to find, 3 characters or more.",
        {"type": "string", "minLength": 3, "maxLength": projects.MAX_CHARACTERS},
        is_required=True,
        example="def main",
    ),
    Parameter(
        "limit",
        "How many lines at most.",
        _whole(1, projects.MAX_LIMIT, projects.DEFAULT_LIMIT),
    ),
    Parameter(
        "path",
        "Only files whose path begins with this.",
        {"type": "string", "maxLength": projects.MAX_PATH_CHARACTERS},
        example="src/",
    ),
)
