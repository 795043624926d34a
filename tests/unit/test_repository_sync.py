"""What a sync need not do again."""

from types import SimpleNamespace
from typing import Any

import pytest

from cidx_jobs.handlers.repository_sync.job_type import _SyncRun
from cidx_jobs.handlers.repository_sync.options import SyncOptions
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.index import IndexState


@pytest.mark.parametrize(
    ("is_full", "published_by", "commit", "is_shown"),
    [
        (False, "another", "c1", True),
        (False, "this", "c2", False),
        (True, "another", "c1", False),
        (True, "this", "c1", True),
        (True, "this", "c2", False),
    ],
)
def test_a_full_reindex_is_not_made_twice(
    published_by: str, commit: str, *, is_full: bool, is_shown: bool
) -> None:
    """One that was published before its job could end counts; that of another job does not."""
    run: Any = SimpleNamespace(
        _options=SyncOptions(full_reindex=is_full), _job=SimpleNamespace(job_id="this")
    )
    state = IndexState(
        commit="c1",
        files_total=1,
        files_indexed=1,
        skipped={},
        bytes=1,
        published_by=JobId(published_by),
        note={},
    )

    assert _SyncRun._shows(run, state, commit) is is_shown
