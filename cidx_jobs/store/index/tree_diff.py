"""Diff of a commit's tree against the files in the index, entry by entry."""

from collections import Counter
from collections.abc import Iterable, Iterator
from sys import intern

from cidx_jobs.model.index import TreeEntry

ShownFile = tuple[str, bytes]
"""Mode and blob."""
DueRow = tuple[str, str, bytes, int | None]
"""Path, mode, blob and size of a file whose row is to be written."""


class Comparison:
    """Takes the entries of a tree, in any order, and counts how they differ from an index.

    Needs a quarter of a kilobyte of memory for each file that the index shows.
    """

    def __init__(
        self, shown: Iterable[tuple[str, str, bytes]], *, reread: frozenset[bytes], keep_all: bool
    ) -> None:
        """Begin with nothing compared.

        Args:
            shown: path, mode and blob of each file of the index.
            reread: blobs that were left out and shall be read now.
            keep_all: give a row for every entry, not only for those that differ.
        """
        self._shown: dict[str, ShownFile] = {
            path: (intern(mode), blob) for path, mode, blob in shown
        }
        self._reread = reread
        self._keep_all = keep_all
        self._added: Counter[bytes] = Counter()
        self._gone: Counter[bytes] = Counter()
        self.modified = 0
        self.total = 0
        self.total_bytes = 0

    def rows(self, tree: Iterable[TreeEntry]) -> Iterator[DueRow]:
        """Compare each entry, and return the rows to be written."""
        for path, mode, name, size in tree:
            blob = bytes.fromhex(name)
            self.total += 1
            self.total_bytes += size or 0
            before = self._shown.pop(path, None)
            if before is None:
                self._added[blob] += 1
            elif before != (mode, blob):
                self.modified += 1
            elif not self._keep_all and blob not in self._reread:
                continue
            yield path, mode, blob, size

    def gone(self) -> Iterator[tuple[str]]:
        """Yield the paths that the tree has no more; only after all of it was compared."""
        for path, (_, blob) in self._shown.items():
            self._gone[blob] += 1
            yield (path,)

    @property
    def renamed(self) -> int:
        """How many contents went from one path to another."""
        return (self._added & self._gone).total()

    @property
    def added(self) -> int:
        """How many paths are new, less the renamed."""
        return self._added.total() - self.renamed

    @property
    def deleted(self) -> int:
        """How many paths are gone, less the renamed."""
        return self._gone.total() - self.renamed
