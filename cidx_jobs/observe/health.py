"""Readiness: whether the server can take work, and the reason codes if not."""

STARTING = "starting"
STOPPING = "stopping"
DRAINING = "draining"
STORAGE = "storage_unavailable"


def find_reasons(
    *, is_open: bool, is_stopping: bool, is_draining: bool = False, can_write: bool = True
) -> tuple[str, ...]:
    """Return the reason codes of not being ready; none means ready."""
    if is_stopping:
        return (STOPPING,)
    if not is_open:
        return (STARTING,)
    codes = ((is_draining, DRAINING), (not can_write, STORAGE))
    return tuple(code for holds, code in codes if holds)
