"""Watches of the machine: an event loop that is late, a slow commit, a disk that is full."""

import asyncio
import time
from pathlib import Path

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.engine.upkeep import loop_watch
from cidx_jobs.engine.upkeep.disk import LOW, find_shortage, free_bytes_of
from cidx_jobs.engine.upkeep.loop_watch import LoopWatch
from cidx_jobs.runtime.meters import Meters
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit import committer
from cidx_jobs.store.sqlite.persistence import JobPersistence
from tests.fakes import WAIT_SECONDS, logged
from tests.stored import store_completed


async def test_a_loop_that_is_late_is_a_line_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Something blocks it for longer than somebody would bear."""
    monkeypatch.setattr(loop_watch, "_TICK_SECONDS", 0.001)
    monkeypatch.setattr(loop_watch, "LATE_SECONDS", 0.01)
    meters = Meters()
    watch = LoopWatch(meters)

    await watch.start()
    await asyncio.sleep(0)
    _block_for(0.05)
    async with asyncio.timeout(WAIT_SECONDS):
        while "loop_lag" not in logged(caplog):  # noqa: ASYNC110 - nobody is told of a line
            await asyncio.sleep(0.001)
    await watch.stop()

    assert meters.loop_lag.sum > 0.01


def _block_for(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_a_commit_that_is_slow_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With how long it took; each is counted with its changes."""
    monkeypatch.setattr(committer, "SLOW_SECONDS", 0.0)
    meters = Meters()
    store = JobPersistence(DataDirectory(tmp_path / "data"), clock=SystemClock(), meters=meters)
    await store.open()

    await store_completed(store.jobs)
    await store.close()

    assert "slow_commit" in logged(caplog)
    assert sum(meters.commits.counts) == sum(meters.batches.counts) > 0


def test_a_disk_with_little_room_is_warned_of(tmp_path: Path) -> None:
    """Where nothing tells, nothing is warned of."""
    free = free_bytes_of(tmp_path)

    found = find_shortage(tmp_path, 2**60)

    assert free is not None
    assert found is not None
    assert found.code == LOW
    assert str(tmp_path) not in found.message
    assert find_shortage(tmp_path, 0) is None
    assert find_shortage(tmp_path / "none", 2**60) is None
