"""Fakes that tests share: those of the testing kit, under our own names, and a child runner."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from cidx_jobs.interfaces.run import ActiveRun, ChildResult
from cidx_jobs.interfaces.store.files import ProjectKey
from cidx_jobs.model.ids import CopyId
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
    """The directories of copies for engines whose jobs write none."""

    @contextlib.asynccontextmanager
    async def hold(self, copy_id: CopyId) -> AsyncIterator[None]:  # noqa: ARG002 - as the interface has it
        """Let anybody work."""
        yield

    def is_held(self, copy_id: CopyId) -> bool:  # noqa: ARG002 - as the interface has it
        """Return that nobody works."""
        return False

    async def find_unused(self, before: datetime) -> Sequence[CopyId]:  # noqa: ARG002 - as the interface has it
        """Give none."""
        return []

    async def release(
        self,
        copy_id: CopyId,  # noqa: ARG002 - as the interface has it
        but: Collection[ProjectKey] = (),  # noqa: ARG002 - as the interface has it
    ) -> bool:
        """Find nothing."""
        return False

    def take_over(self, old: CopyId, new: CopyId) -> bool:  # noqa: ARG002 - as the interface has it
        """Find nothing."""
        return False

    def has_foreign(self, copy_id: CopyId) -> bool:  # noqa: ARG002 - as the interface has it
        """Find nothing."""
        return False

    def clear(self) -> None:
        """Delete nothing."""
