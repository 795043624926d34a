"""What every `ControlStore` promises."""

from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.ids import UserId
from cidx_jobs.model.limits import Limits, Pauses

ALICE = UserId("alice")


async def test_limits_and_pauses_are_kept(
    controls: ControlStore, persistence: Persistence
) -> None:
    """Nothing is set at first; what is set survives a restart; limits can be given back."""
    assert await controls.load_controls() == (None, Pauses())
    limits = Limits(max_running_total=3, resources={"git": 1}, user_max_priorities={"bob": 2})
    pauses = Pauses(users=frozenset({ALICE}), job_types=frozenset({"x"}), draining=True)

    await controls.save_controls(limits, pauses)
    await persistence.close()
    await persistence.open()

    assert await controls.load_controls() == (limits, pauses)
    await controls.save_controls(None, Pauses())
    assert await controls.load_controls() == (None, Pauses())
