"""Where an operator's controls are kept: limits and pauses that were set while running."""

from typing import Protocol

from cidx_jobs.model.limits import Limits, Pauses


class ControlStore(Protocol):
    """Keeps what an operator set, over restarts."""

    async def save_controls(self, limits: Limits | None, pauses: Pauses) -> None:
        """Store the limits (None: those of the settings) and pauses that an operator set."""

    async def load_controls(self) -> tuple[Limits | None, Pauses]:
        """Return the limits and pauses that are kept; nothing set where none are."""
