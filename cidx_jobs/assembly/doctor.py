"""The doctor of a whole system: what does not fit together, of all that it is made of."""

from collections.abc import Sequence

import attrs

from cidx_jobs.engine.engine import Engine
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.process.orphans import end_strays, find_strays
from cidx_jobs.interfaces.index import Indexer
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.model.findings import Finding, Mended
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.store.copy_files import CopyDirectories


@attrs.define(eq=False, kw_only=True)
class SystemDoctor:
    """Asks the store, the engine, the processes and the projects' files in turn."""

    _store: Persistence
    _identity: StoreIdentity
    _engine: Engine
    _children: Children
    _files: CopyDirectories
    _indexer: Indexer
    _runs_jobs: bool

    async def examine(self, *, deep: bool = False) -> Sequence[Finding]:
        """Compare rows, log, slots, queue, runs and children; return what does not fit together.

        Args:
            deep: also what takes long: every index of the database, and of every project.
        """
        found = [*await self._store.examine(deep=deep)]
        if self._runs_jobs:
            # Otherwise nothing of the jobs is in memory that could differ from the rows.
            found += await self._engine.examine()
        found += await find_strays(self._identity, self._children)
        return [*found, *await self._examine_projects(deep=deep)]

    async def mend(self, *, deep: bool = False) -> Mended:
        """Put right what `examine` finds, as far as it can be while everything goes on."""
        found = await self.examine(deep=deep)
        kinds = {finding.kind for finding in found}
        if "counts" in kinds:
            await self._store.count_anew()
        if self._runs_jobs:
            await self._engine.mend()
        await end_strays(self._identity, self._children)
        if "files" in kinds:
            await self._engine.projects.remove_unused()
        # What was mended is what a second look does not find.
        left = await self.examine(deep=deep) if found else []
        return Mended(mended=tuple(one for one in found if one not in left), left=tuple(left))

    async def _examine_projects(self, *, deep: bool) -> Sequence[Finding]:
        """Return which projects' files the server may not use, and which indexes are damaged."""
        found = []
        for project in await self._store.projects.list_projects(None):
            copy_id, fault = project.copy_id, None
            if copy_id is None:
                continue
            if await in_own_thread(self._files.has_foreign, copy_id):
                fault = "the server may not read or change its files: they are another user's"
            elif deep:
                fault = await self._indexer.find_fault(copy_id, deep=True)
            if fault is not None:
                whose = f"{project.project_id} of {printable(project.user_id)}"
                found.append(Finding(kind="files", message=f"project {whose}: {fault}"))
        return found
