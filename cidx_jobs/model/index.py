"""What goes into an index and comes out of it: trees, files, changes, hits."""

from typing import NamedTuple

import msgspec

from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.job.job import JsonObject


class TreeEntry(NamedTuple):
    """One path of a commit's tree, as git lists it."""

    path: str
    mode: str
    """Six octal digits: 100644 and 100755 are files, 120000 a symlink, 160000 a submodule."""
    blob: str
    """The object's name, in hex."""
    size: int | None
    """Bytes; None for a submodule."""


class Document(NamedTuple):
    """The bytes of one file, as git gave them."""

    blob: str
    data: bytes
    encoding: str | None = None
    """What the repository calls it, where it does; not to be believed."""


class WantedFile(NamedTuple):
    """A file whose bytes an index lacks."""

    path: str
    blob: str
    size: int


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """One line that holds the text searched for."""

    path: str
    line_number: int
    """From 1."""
    line: str
    """Without its end; of a very long line the part around the text."""


class SearchPlace(NamedTuple):
    """Where a page of hits ended."""

    path: str
    line_number: int


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the lines that hold a text, by path and then line."""

    commit: str
    """What the index showed."""
    hits: tuple[SearchHit, ...]
    is_truncated: bool
    """There are more behind these."""


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of which index are looked for, and by whom."""

    copy_id: CopyId
    user_id: UserId
    project_id: ProjectId
    text: str
    """Letter case does not count."""
    limit: int
    path_prefix: str = ""
    after: SearchPlace | None = None
    """Only those behind this place, where an earlier page ended."""


class DraftRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Of which index the next state is made, for which run of whose job."""

    copy_id: CopyId
    user_id: UserId
    project_id: ProjectId
    job_id: JobId
    run: int
    full: bool
    """The index is made anew, not changed."""


class SkippedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A path of the commit that is not in the index."""

    path: str
    reason: str
    """As of `SkippedFiles`."""
    bytes: int | None
    """None for a submodule."""


class IndexState(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's index holds, as searches see it."""

    commit: str
    files_total: int
    """Paths of the commit, the skipped ones too."""
    files_indexed: int
    """Files that can be found by their text."""
    skipped: dict[str, int]
    """How many of the other paths there are, by their reason."""
    bytes: int
    """What the index takes on the disk."""
    published_by: JobId
    """The job that made it what it is."""
    note: JsonObject
    """What that job said of it when it published."""


class TreeChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How a commit's tree differs from what the index shows."""

    added: int
    modified: int
    """Content, mode or kind differs."""
    renamed: int
    """The same content under another path; counted neither as added nor as deleted."""
    deleted: int
    total: int
    """Paths of the new tree."""
    total_bytes: int
    wanted: int
    """Files to be read and added before the draft is whole."""
    staged: int
    """Files that an interrupted run of the same work had added already."""


class SkippedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Changed files that cannot be found by their text, and why."""

    reason: str
    """binary, encoding, too_large, path, link or submodule."""
    count: int
    examples: tuple[str, ...]
    """The first few paths, unescaped."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What became visible at once when a draft was published."""

    state: IndexState
    skipped: tuple[SkippedFiles, ...]
