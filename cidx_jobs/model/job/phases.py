"""The arithmetic of phases: from shares and parts to one number that never goes back."""

from collections.abc import Sequence

from cidx_jobs.model.job.job import PhaseState, PhaseStatus

ALMOST_DONE = 99
"""The highest progress of a job that has not completed (api.md 1.2: 100 only when completed)."""


def percent(done: float, total: float) -> int:
    """Return *done* of *total* as a whole number from 0 to 100; an unknown total is 0."""
    if total <= 0:
        return 0
    return max(0, min(100, int(done * 100 / total)))


def overall_progress(phases: Sequence[PhaseState]) -> int:
    """Return the progress of a job from its phases, 0 to 99.

    Weights count as shares of the whole: where they sum to more than 1 they are scaled down,
    where they sum to less the rest is work that no phase has named yet.
    """
    whole = max(1.0, sum(phase.weight for phase in phases))
    done = sum(phase.weight * _share_done(phase) for phase in phases)
    return max(0, min(ALMOST_DONE, int(done * 100 / whole + 1e-9)))


def _share_done(phase: PhaseState) -> float:
    if phase.status is PhaseStatus.COMPLETED:
        return 1.0
    return phase.progress / 100
