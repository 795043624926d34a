"""Phase validation: the draft is checked and published; files left out become warnings."""

from cidx_jobs.interfaces.index import IndexDraft
from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.index import Publication, SkippedFiles
from cidx_jobs.model.job.job import JsonObject

_EXAMPLE_CHARACTERS = 80
_ONE_AND_MANY = {
    "binary": ("binary file", "binary files"),
    "too_large": ("file larger than max_file_bytes", "files larger than max_file_bytes"),
    "encoding": ("file that cannot be decoded", "files that cannot be decoded"),
    "path": (
        "file with a path that cannot be laid out",
        "files with paths that cannot be laid out",
    ),
    "link": ("symbolic link", "symbolic links"),
    "submodule": ("submodule", "submodules"),
}
# The codes are older than the reasons.
_WARNINGS = {
    "binary": "SKIPPED_BINARY",
    "encoding": "SKIPPED_ENCODING",
    "too_large": "SKIPPED_LARGE",
    "path": "SKIPPED_PATH",
    "link": "SKIPPED_SYMLINK",
    "submodule": "SKIPPED_SUBMODULE",
}


async def validate_and_publish(
    context: JobContext, draft: IndexDraft, commit: str, note: JsonObject
) -> Publication:
    """Make the draft what searches see, if it is sound; warn of the files that it leaves out.

    Raises:
        JobFailure: it is not sound (IDX-002); searches go on seeing the index as it was.
    """
    publication = await draft.publish(commit, note)
    for skipped in publication.skipped:
        context.warn(_WARNINGS[skipped.reason], _sentence(skipped))
    return publication


def _sentence(skipped: SkippedFiles) -> str:
    one, many = _ONE_AND_MANY[skipped.reason]
    counted = f"1 {one} is" if skipped.count == 1 else f"{skipped.count} {many} are"
    examples = ", ".join(printable(path, _EXAMPLE_CHARACTERS) for path in skipped.examples)
    more = skipped.count - len(skipped.examples)
    return f"{counted} not indexed: {examples}" + (f" and {more} more" if more else "")
