"""What processes use of the machine, by psutil: the extra ``resources``.

Nobody imports this before there is a process to measure: a start need not wait for psutil.
"""

from collections.abc import Mapping, Sequence

import psutil

from cidx_jobs.engine.run.usage import Usage
from cidx_jobs.interfaces.run import ActiveRun


def measure_all(children: Mapping[ActiveRun, Sequence[int]]) -> dict[ActiveRun, Usage]:
    """Return what the child processes of each run use, from their process ids."""
    return {run: measure(process_ids) for run, process_ids in children.items()}


def measure(process_ids: Sequence[int]) -> Usage:
    """Return what these processes and all below them use; one that has ended counts nothing."""
    memory, seconds = 0, 0.0
    for process_id in process_ids:
        try:
            root = psutil.Process(process_id)
            family = [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
        for process in family:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory += process.memory_info().rss
            except psutil.Error:
                continue
            seconds += times.user + times.system + times.children_user + times.children_system
    return Usage(memory_bytes=memory, cpu_seconds=round(seconds, 2))
