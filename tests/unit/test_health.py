"""A server says why it is not ready."""

import pytest

from cidx_jobs.observe.health import find_reasons


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        ({"is_open": True, "is_stopping": False}, ()),
        ({"is_open": False, "is_stopping": False}, ("starting",)),
        ({"is_open": True, "is_stopping": True}, ("stopping",)),
        ({"is_open": False, "is_stopping": True}, ("stopping",)),
        ({"is_open": True, "is_stopping": False, "is_draining": True}, ("draining",)),
        ({"is_open": True, "is_stopping": False, "can_write": False}, ("storage_unavailable",)),
    ],
)
def test_each_reason_has_its_code(facts: dict[str, bool], reasons: tuple[str, ...]) -> None:
    """Ready means that there is no reason left."""
    assert find_reasons(**facts) == reasons
