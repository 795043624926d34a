"""What users need to test with us: a system in memory, a clock by hand, a gate, and assertions.

Nothing here sleeps, and nothing depends on pytest.
"""

from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.testing.clock import ManualClock
from cidx_jobs.testing.gate import Gate
from cidx_jobs.testing.steps import advance, run_job, run_until_idle
from cidx_jobs.testing.submitted import assert_submitted, submitted
from cidx_jobs.testing.system import open_for_tests

__all__ = [
    "Gate",
    "ManualClock",
    "MemoryPersistence",
    "advance",
    "assert_submitted",
    "open_for_tests",
    "run_job",
    "run_until_idle",
    "submitted",
]
