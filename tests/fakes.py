"""Fakes that tests share: those of the testing kit, under our own names, and a child runner."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from cidx_jobs.interfaces.run import ActiveRun, ChildResult
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.runtime.log import LogEvent
from cidx_jobs.testing import Gate, ManualClock

__all__ = ["WAIT_SECONDS", "FakeClock", "Gate", "NoChildren", "NoFiles", "logged"]

WAIT_SECONDS = 5.0
"""How long a test waits for what should happen at once."""

FakeClock = ManualClock


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of the events that we logged."""
    return [record.msg.name for record in caplog.records if isinstance(record.msg, LogEvent)]


class NoChildren:
    """A child runner for engines whose jobs start no processes."""

    def find_by_run(self) -> Mapping[ActiveRun, Sequence[int]]:
        """Give none."""
        return {}

    def take_signalled(self, run: ActiveRun) -> bool:  # noqa: ARG002 - as the interface has it
        """Know of none."""
        return False

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - as the interface has it
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> ChildResult:
        """Refuse."""
        message = f"no children here: {argv}, {timeout}, {cwd}, {env}, {on_line}"
        raise AssertionError(message)


class NoFiles:
    """The directories of projects for engines whose jobs write none."""

    async def take_away(self, user_id: UserId, project_id: ProjectId) -> bool:  # noqa: ARG002 - as the interface has it
        """Find nothing."""
        return False

    async def settle(self, user_id: UserId, project_id: ProjectId) -> None:
        """Return at once."""

    def find_unused(
        self,
        projects: Sequence[Project],  # noqa: ARG002 - as the interface has it
        before: datetime,  # noqa: ARG002 - as the interface has it
    ) -> Sequence[Project]:
        """Give none."""
        return []

    def clear(self) -> None:
        """Delete nothing."""
