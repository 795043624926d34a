"""What the values of members keep to, as JSON Schemas of the OpenAPI document.

They are told there, and not checked by the types: in a request the engine checks them, for every
door alike; in an answer a client takes what comes.
"""

from typing import Annotated, Any

from msgspec import Meta

from cidx_jobs.model.account import MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS
from cidx_jobs.model.ids import (
    JOB_ID_PATTERN,
    JOB_TYPE_PATTERN,
    MAX_USER_ID_CHARACTERS,
    PROJECT_ID_PATTERN,
)
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY, JobStatus
from cidx_jobs.model.limits import (
    LABEL_KEY_PATTERN,
    LIMIT_KEY_PATTERN,
    MAX_KEY_LIMIT,
    MAX_KEYS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_TIMEOUT_SECONDS,
    MAX_TOKEN_LABEL_CHARACTERS,
)
from cidx_jobs.model.webhooks.notify_url import MAX_URL_CHARACTERS

Rule = dict[str, Any]

_NO_CONTROLS: Rule = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}

NOT_NEGATIVE: Rule = {"minimum": 0}
FROM_ONE: Rule = {"minimum": 1}
PERCENT: Rule = {"minimum": 0, "maximum": 100}
JOB_ID: Rule = {"pattern": f"^{JOB_ID_PATTERN}$"}
JOB_TYPE: Rule = {"pattern": f"^{JOB_TYPE_PATTERN}$"}
PROJECT_ID: Rule = {"pattern": f"^{PROJECT_ID_PATTERN}$"}
USER_ID: Rule = {"minLength": 1, "maxLength": MAX_USER_ID_CHARACTERS, **_NO_CONTROLS}
PRIORITY: Rule = {"minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY}
PASSWORD: Rule = {
    "minLength": MIN_PASSWORD_CHARACTERS,
    "maxLength": MAX_PASSWORD_CHARACTERS,
}
LABELS: Rule = {
    "maxProperties": MAX_LABELS,
    "propertyNames": {"pattern": f"^{LABEL_KEY_PATTERN}$"},
}
LIMITS: Rule = {
    "maxProperties": MAX_KEYS,
    "propertyNames": {"pattern": f"^{LIMIT_KEY_PATTERN}$"},
}
SCOPES = (
    "`read`, `write` or `admin`, each of which includes those before it; or `audit`, which reads "
    "jobs, projects, logs and figures of everybody, but no code, and changes nothing."
)
NOTIFY: Rule = {"format": "uri", "maxLength": MAX_URL_CHARACTERS}
TOKEN_LABEL: Rule = {"maxLength": MAX_TOKEN_LABEL_CHARACTERS, **_NO_CONTROLS}
SECONDS: Rule = {"exclusiveMinimum": 0}
TIMEOUT: Rule = {"exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_SECONDS}
FINAL_STATUSES: Rule = {
    "items": {"enum": [status.value for status in JobStatus if status.is_final]}
}

Labels = dict[
    str,
    Annotated[str, Meta(extra_json_schema={"maxLength": MAX_LABEL_CHARACTERS, **_NO_CONTROLS})],
]
"""Labels that a caller sets."""

KeyLimits = dict[
    str, Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MAX_KEY_LIMIT})]
]
"""Limits by key that a caller sets."""


def about(words: str, rule: Rule | None = None) -> Meta:
    """Return what the document of the API tells of a member: in words, and as a JSON Schema."""
    return Meta(description=words, extra_json_schema=rule)


def between(low: float, high: float) -> Rule:
    """Return the rule of a number in a range."""
    return {"minimum": low, "maximum": high}


def named_numbers(low: int, high: int) -> Rule:
    """Return the rule of whole numbers by name, each in a range."""
    return {
        "propertyNames": USER_ID,
        "additionalProperties": {"type": "integer", "minimum": low, "maximum": high},
    }
