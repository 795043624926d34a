"""Many seeded lives of the whole engine: no promise is broken, and planted faults are found.

More of them: ``make torture-sim N=20000``; one again: ``python -m tests.simulation --seed 7``.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cidx_jobs.engine.engine import Engine
from tests.simulation.world import find_fault

SEEDS = 2_000
"""Minutes of one processor; the long form goes on from there."""
PART = 500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_no_promise_is_broken_in_a_few_lives() -> None:
    """G2, G4, G6, G9 and G10, in the engine as it is; here with coverage."""
    faults = [find_fault(seed) for seed in range(20)]

    assert [fault for fault in faults if fault] == []


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_no_promise_is_broken_in_many_lives(first: int) -> None:
    """The same in a process of its own, which nothing measures: that is twice as quick."""
    unmeasured = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    lives = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--first", str(first), "--seeds", str(PART)],
        env=unmeasured,
        capture_output=True,
        text=True,
        check=False,
    )

    assert lives.returncode == 0, lives.stdout + lives.stderr
    assert f"{PART} seeds from {first}: 0 faults" in lives.stdout


def forget_what_is_starting(engine: Engine) -> None:
    """Let a job that changes while its start is being stored stand in the queue again."""
    engine.board.reasons.starting = _NoSet()


def leave_lines_headless(engine: Engine) -> None:
    """Let nobody look for a follower that has lost its head in the moment it was stored."""
    engine.board._check_lines = _do_nothing  # type: ignore[method-assign, assignment]  # the planted fault


def forget_other_exclusive_types(engine: Engine) -> None:
    """Look for who is at work in a project only among its own type, as a line does."""
    board = engine.board
    is_busy = board.is_project_busy

    def is_line_busy(job: Any) -> bool:
        return is_busy(job) and (job.status != "queued" or job.place == "follower")

    board.reasons._is_project_busy = is_line_busy


def give_slots_back_early(engine: Engine) -> None:
    """Give a slot back before the end of its job is stored."""
    runner = engine.board.hooks
    slots = engine.slots
    give_back = slots.give_back

    def give_back_once(job_id: Any) -> Any:
        return give_back(job_id) if job_id in slots.holders() else None

    def note(job: Any, rows: Any) -> None:
        if any(row.event == "start" for row in rows):
            give_back_once(job.job_id)

    slots.give_back = give_back_once  # type: ignore[method-assign]  # the planted fault
    runner.add_observer(note)


def count_no_slots_of_users(engine: Engine) -> None:
    """Look at a user's limit and find room, whatever they hold: a check without its act."""
    engine.slots.has_user_room = bool  # type: ignore[method-assign, assignment]  # the planted fault


def keep_places_of_keys(engine: Engine) -> None:
    """Leak the place of a key whenever the slot that it was taken with goes back."""
    engine.slots.keys.give_back = _do_nothing  # type: ignore[method-assign, assignment]  # the planted fault


def find_room_in_every_key(engine: Engine) -> None:
    """Let as many jobs with a key run as there are slots."""
    engine.slots.keys.has_room = bool  # type: ignore[method-assign, assignment]  # the planted fault


def probe_no_host(engine: Engine) -> None:
    """Forget to ask a host that is down again: its jobs wait for ever."""
    engine.board.outages._ring = _do_nothing  # type: ignore[method-assign, assignment]  # the planted fault


def let_everybody_probe(engine: Engine) -> None:
    """Leave the gate of a host open behind the one who goes to probe it."""
    engine.board.outages.begin = _do_nothing  # type: ignore[method-assign, assignment]  # the planted fault


def look_at_keys_once(engine: Engine) -> None:
    """Close the gate of a key and forget to open it: its jobs are passed over for ever."""
    board = engine.board
    set_key_open = board.queue.set_key_open

    def only_close(key: Any, *, is_open: bool) -> None:
        if not is_open:
            set_key_open(key, is_open=False)

    board.queue.set_key_open = only_close  # type: ignore[method-assign]  # the planted fault


def forget_who_starts_with_a_submit(engine: Engine) -> None:
    """Let another exclusive type of the project start beside a job that is being submitted."""
    engine.board._newcomers = _NoDict()


def keep_slots_of_refused_submits(engine: Engine) -> None:
    """Leak the slot of a start whose submit was not stored."""
    engine.scheduler.abandon_submitted = engine.scheduler._settle  # type: ignore[method-assign]  # the planted fault


@pytest.mark.parametrize(
    "plant",
    [
        forget_who_starts_with_a_submit,
        keep_slots_of_refused_submits,
        keep_places_of_keys,
        find_room_in_every_key,
        look_at_keys_once,
        probe_no_host,
        let_everybody_probe,
        forget_what_is_starting,
        leave_lines_headless,
        forget_other_exclusive_types,
        give_slots_back_early,
        count_no_slots_of_users,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[Engine], None]) -> None:
    """A simulation that misses it would prove nothing."""

    def make_engine(**parts: Any) -> Engine:
        engine = Engine(**parts)
        plant(engine)
        return engine

    assert any(find_fault(seed, make_engine) for seed in range(300))


class _NoDict(dict[Any, Any]):
    """A dictionary that forgets what is put into it."""

    def __setitem__(self, _: Any, __: Any) -> None:
        return


class _NoSet(set[Any]):
    """A set that forgets what is put into it."""

    def add(self, _: Any) -> None:
        return


def _do_nothing(_: Any) -> None:
    return
