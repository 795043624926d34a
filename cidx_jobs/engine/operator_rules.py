"""What an operator may set while the server runs, and what of that is refused."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import attrs
from msgspec.structs import replace

from cidx_jobs.model.errors import Fault, SettingsError, ValidationError
from cidx_jobs.model.ids import MAX_USER_ID_CHARACTERS, UserId, is_job_type
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY, JobStatus
from cidx_jobs.model.limits import (
    MAX_AGE_SECONDS,
    MAX_LIFETIME_SECONDS,
    MAX_TOKEN_LABEL_CHARACTERS,
    MAX_UNITS,
    SCOPES,
    Limits,
    Pauses,
)
from cidx_jobs.settings import Settings

FINAL = frozenset(status for status in JobStatus if status.is_final)
NAME_RULE = f"1 to {MAX_USER_ID_CHARACTERS} printable characters"

N = TypeVar("N", bound=str)


def apply_limits(now: Limits, changes: Mapping[str, Any], settings: Settings) -> Limits:
    """Return the limits with other members; of the resources only those that are named change.

    Raises:
        ValidationError: a value is out of the range that the setting of that name has.
    """
    changed = dict(changes)
    if "resources" in changed:
        changed["resources"] = {**now.resources, **changed["resources"]}
    faults = [fault for name in changes for fault in _limit_faults(settings, name, changes[name])]
    if faults:
        raise ValidationError(faults)
    return replace(now, **changed)


def apply_pauses(
    now: Pauses, *, user_id: str | None, job_type: str | None, is_paused: bool
) -> Pauses:
    """Return the pauses with one more or less: a user's, a job type's, or that of everything.

    Raises:
        ValidationError: there can be no such user or type.
    """
    faults = [] if user_id is None else _user_faults(user_id)
    if job_type is not None and not is_job_type(job_type):
        faults.append(Fault("/job_type", "it is no name of a job type"))
    if faults:
        raise ValidationError(faults)
    pauses = now
    if user_id is not None:
        pauses = replace(pauses, users=_toggled(pauses.users, UserId(user_id), is_in=is_paused))
    if job_type is not None:
        pauses = replace(pauses, job_types=_toggled(pauses.job_types, job_type, is_in=is_paused))
    if user_id is None and job_type is None:
        pauses = replace(pauses, everything=is_paused)
    return pauses


def check_cleanup(older_than_seconds: float, statuses: Collection[JobStatus]) -> None:
    """Check which jobs shall be deleted.

    Raises:
        ValidationError: the age is out of range, or a status is not final.
    """
    faults = []
    if not 0 <= older_than_seconds <= MAX_AGE_SECONDS:
        faults.append(Fault("/older_than_seconds", f"it is from 0 to {MAX_AGE_SECONDS}"))
    for number, status in enumerate(statuses):
        if status not in FINAL:
            rule = f"only {', '.join(sorted(FINAL))} jobs can be deleted"
            faults.append(Fault(f"/statuses/{number}", rule))
    if faults:
        raise ValidationError(faults)


def check_token(
    user_id: str, scope: str, *, lifetime_seconds: float | None, label: str | None
) -> None:
    """Check what a token shall be.

    Raises:
        ValidationError: a member is out of its range.
    """
    faults = _user_faults(user_id)
    if scope not in SCOPES:
        faults.append(Fault("/scope", f"it is one of {', '.join(SCOPES)}"))
    if lifetime_seconds is not None and not 0 < lifetime_seconds <= MAX_LIFETIME_SECONDS:
        faults.append(Fault("/lifetime_seconds", f"it is over 0, at most {MAX_LIFETIME_SECONDS}"))
    if label is not None and not (
        len(label) <= MAX_TOKEN_LABEL_CHARACTERS and label.isprintable()
    ):
        rule = f"it has at most {MAX_TOKEN_LABEL_CHARACTERS} printable characters"
        faults.append(Fault("/label", rule))
    if faults:
        raise ValidationError(faults)


def _user_faults(user_id: str) -> list[Fault]:
    return [] if is_user_id(user_id) else [Fault("/user_id", f"it has {NAME_RULE}")]


def _toggled(names: frozenset[N], name: N, *, is_in: bool) -> frozenset[N]:
    return names | {name} if is_in else names - {name}


def _limit_faults(settings: Settings, name: str, value: Any) -> list[Fault]:
    match name:
        case "resources":
            return _map_faults("/resources", value, 1, MAX_UNITS)
        case "user_max_priorities":
            return _map_faults("/user_max_priorities", value, MIN_PRIORITY, MAX_PRIORITY)
        case _:
            try:
                attrs.evolve(settings, **{name: value})
            except SettingsError as error:
                # The pointer says which.
                return [Fault(f"/{name}", error.message.removeprefix(name).lstrip(": "))]
            return []


def _map_faults(pointer: str, numbers: Mapping[str, int], low: int, high: int) -> list[Fault]:
    rule = f"the number is from {low} to {high}, and the name has {NAME_RULE}"
    return [
        Fault(pointer, f"{name[:80]!r}: {rule}")
        for name, number in numbers.items()
        if not low <= number <= high or not is_user_id(name)
    ]


def is_user_id(text: str) -> bool:
    """Return whether the text can name a user."""
    return 1 <= len(text) <= MAX_USER_ID_CHARACTERS and text.isprintable()
