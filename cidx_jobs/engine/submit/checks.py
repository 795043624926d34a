"""What may be asked for in a submit: every range in one place, each fault with its pointer."""

import re
from collections.abc import Iterator

from cidx_jobs.model.errors import Fault, ValidationError
from cidx_jobs.model.ids import MAX_USER_ID_CHARACTERS, PROJECT_ID_RULE, is_project_id
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY
from cidx_jobs.model.job.key_limits import check_key_limits
from cidx_jobs.model.job.labels import check_labels
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.limits import MAX_ATTEMPTS, Limits

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_request(request: SubmitRequest, limits: Limits, max_timeout_seconds: float) -> None:
    """Check all members of a submit but its options.

    Raises:
        ValidationError: with every fault there is.
    """
    faults = list(_faults(request, limits, max_timeout_seconds))
    if faults:
        raise ValidationError(faults)


def check_priority(user_id: str, priority: int, limits: Limits) -> Iterator[Fault]:
    """Yield what is wrong with a priority that the user asks for."""
    highest = highest_priority(user_id, limits)
    if not MIN_PRIORITY <= priority <= highest:
        yield Fault("/priority", f"it is from {MIN_PRIORITY} to {highest}")


def highest_priority(user_id: str, limits: Limits) -> int:
    """Return the highest priority that the user's jobs may have."""
    return min(limits.user_max_priorities.get(user_id, limits.max_priority), MAX_PRIORITY)


def _faults(request: SubmitRequest, limits: Limits, max_timeout_seconds: float) -> Iterator[Fault]:
    if not is_project_id(request.project_id):
        yield Fault("/project_id", PROJECT_ID_RULE)
    if not 1 <= len(request.user_id) <= MAX_USER_ID_CHARACTERS or _CONTROL.search(request.user_id):
        yield Fault("/user_id", f"it is 1 to {MAX_USER_ID_CHARACTERS} characters, none a control")
    if request.priority is not None:
        yield from check_priority(request.user_id, request.priority, limits)
    if request.max_attempts is not None and not 1 <= request.max_attempts <= MAX_ATTEMPTS:
        yield Fault("/max_attempts", f"it is from 1 to {MAX_ATTEMPTS}")
    timeout = request.timeout_seconds
    if timeout is not None and not 0 < timeout <= max_timeout_seconds:
        yield Fault("/timeout_seconds", f"it is over 0, at most {max_timeout_seconds:.0f} seconds")
    if request.start_at is not None and request.start_at.tzinfo is None:
        yield Fault("/start_at", "it needs a time zone, such as Z")
    yield from check_labels(request.labels)
    yield from check_key_limits(request.limits)
