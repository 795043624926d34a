"""The jobs in memory, and which of them want a place in the line of their project."""

from msgspec.structs import replace

from cidx_jobs.engine.state.job_cache import LiveJobs
from tests.stored import new_job


def test_only_jobs_that_want_a_place_are_gone_through() -> None:
    """A thousand held jobs of a project cost its other submits nothing; a released one counts."""
    live = LiveJobs(lambda job: not job.hold)
    held = new_job(hold=True)
    live.put(held)
    had_lines = live.has_lines

    released = replace(held, version=2, hold=False)
    live.put(released)
    wanting = live.apart(held.user_id, held.project_id)
    live.put(replace(released, version=3, hold=True))

    assert not had_lines
    assert wanting == [released]
    assert not live.has_lines
