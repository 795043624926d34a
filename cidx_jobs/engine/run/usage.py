"""What the child processes of a run use."""

import attrs


@attrs.frozen(kw_only=True)
class Usage:
    """What the child processes of one run use now."""

    memory_bytes: int
    """Resident memory of all of them."""
    cpu_seconds: float
    """Processor time of those that live, with what their own ended children took."""
