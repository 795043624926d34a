"""What is said of one code of a job's error."""

import attrs

from cidx_jobs.model.job.job import Category, Severity


@attrs.frozen
class Guidance:
    """What a code stands for: one line for the docs, and what to do, most useful first."""

    category: Category
    severity: Severity
    retryable: bool
    meaning: str
    actions: tuple[str, ...]
