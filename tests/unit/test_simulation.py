"""Order and limits over many simulated worlds (guarantees.md, G9 and G10)."""

import os
from collections.abc import Iterable

import pytest

from cidx_jobs.engine.queue.order import JobQueue
from cidx_jobs.engine.queue.slots import SlotError, Slots
from cidx_jobs.model.ids import JobId
from tests.worlds import World

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "100"))


def run_worlds(seeds: Iterable[int], **plants: object) -> int:
    """Run a world for each seed; give how many jobs started; a failure names its seed."""
    starts = 0
    for seed in seeds:
        world = World(seed, **plants)  # type: ignore[arg-type]  # what a test plants
        try:
            world.run()
        except (AssertionError, SlotError, KeyError) as error:
            error.add_note(f"seed {seed}: World({seed}).run() replays it")
            raise
        starts += world.audit.starts
    return starts


def test_limits_and_order_hold_in_a_few_worlds() -> None:
    """Floods, failures, cancels, restarts and changing limits: nothing passes, nothing is over."""
    assert run_worlds(range(2)) > 100


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_limits_and_order_hold_in_many_worlds() -> None:
    """The same over many seeds; SIMULATION_SEEDS says how many."""
    assert run_worlds(range(1_000, 1_000 + SEEDS)) > 20 * SEEDS


@pytest.mark.slow
def test_a_world_follows_from_its_seed() -> None:
    """A seed replays: what happened once happens again."""
    first, again = World(7), World(7)
    first.run()
    again.run()

    assert (first.outcomes, first.now) == (again.outcomes, again.now)


class CarelessSlots(Slots):
    """Slots that believe whoever takes one."""

    def has_room(self, *_: object) -> bool:
        """Find room always."""
        return True


@pytest.mark.slow
def test_a_planted_race_is_caught_by_the_slots() -> None:
    """A scheduler that looks first and takes later is stopped by the check in each take."""
    with pytest.raises(SlotError, match="cannot take a slot"):
        run_worlds(range(20), takes_late=True)


@pytest.mark.slow
def test_a_planted_race_is_caught_by_the_auditor() -> None:
    """The same is found by the books of the simulation, where the slots believe everybody."""
    with pytest.raises(AssertionError, match="started beyond a limit"):
        run_worlds(range(20), takes_late=True, make_slots=CarelessSlots)


@pytest.mark.slow
def test_a_queue_that_forgets_the_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that starts any startable job is found."""

    def any_startable(queue: JobQueue) -> JobId | None:
        heads = [
            rank
            for rank, lane in queue._lanes._at_head.items()
            if all(gate.is_open for gate in lane.gates)
        ]
        return queue._job_ids[max(heads)] if heads else None

    monkeypatch.setattr(JobQueue, "next_startable", any_startable)

    with pytest.raises(AssertionError, match=r"passed|idle"):
        run_worlds(range(20))


@pytest.mark.slow
def test_a_slot_that_is_not_given_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that stays closed after a slot came back leaves slots idle, and is found."""
    monkeypatch.setattr(Slots, "has_user_room", lambda *_: False)

    with pytest.raises(AssertionError, match="idle"):
        run_worlds(range(20))
