"""A job type with phases, progress and checkpoints: it counts the words of text files.

Serve it with the standalone server, from this folder::

    CIDX_JOBS_HANDLERS=word_count:JOB_TYPES cidx-jobs serve
    cidx-jobs submit word_count --project texts -o folder=/usr/share/doc --watch

Interrupted in the middle, by Ctrl-C or by a crash, it goes on where it was, not from the start.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from cidx_jobs import Fatal, JobContext, JobType

CHECKPOINT_EVERY = 20
"""Files between two checkpoints: the most that is read a second time after a crash."""


@attrs.frozen(kw_only=True)
class Options:
    """What a submit must say; other members, and wrong types, are refused with a 422."""

    folder: str
    pattern: str = "*.txt"
    most: int = 10
    """How many words the result names."""


async def count_words(context: JobContext[Options]) -> dict[str, Any]:
    """Find the files, count their words, and rank them."""
    context.plan([("finding", 0.1), ("counting", 0.8), ("ranking", 0.1)])
    files = await find_files(context)
    words = await count_files(context, files)
    async with context.phase("ranking", weight=0.1):
        ranked = words.most_common(context.options.most)
    return {"files": len(files), "words": words.total(), "ranked": ranked}


async def find_files(context: JobContext[Options]) -> list[Path]:
    """List the files, always in the same order, so that a checkpoint can name a place in it."""
    folder = Path(context.options.folder)
    async with context.phase("finding", weight=0.1) as phase:
        # Whatever may block belongs in a thread: the loop also answers everybody else. This one
        # counts as the run: nothing of the job starts beside it.
        files = await context.in_thread(_list, folder, context.options.pattern)
        if not files:
            message = f"there is nothing to count in {folder}"
            raise Fatal(message, code="NOTHING_TO_COUNT")
        await phase.report(done=len(files), total=len(files), unit="files")
    return files


async def count_files(context: JobContext[Options], files: list[Path]) -> Counter[str]:
    """Count file by file, going on from the last checkpoint."""
    done, counts = context.checkpoint or (0, {})
    words = Counter(counts)
    async with context.phase("counting", weight=0.8) as phase:
        for number, file in enumerate(files[done:], done + 1):
            context.raise_if_cancelled()
            words.update(await context.in_thread(_words_of, file))
            await phase.report(done=number, total=len(files), unit="files", current_item=file.name)
            if number % CHECKPOINT_EVERY == 0:
                await context.save_checkpoint([number, dict(words)])
    return words


def _list(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def _words_of(file: Path) -> list[str]:
    return file.read_text("utf-8", errors="replace").lower().split()


WORD_COUNT = JobType("word_count", count_words, max_attempts=3, options=Options)
JOB_TYPES = [WORD_COUNT]
