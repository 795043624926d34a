"""What every `Indexer` promises; run over all implementations."""

import asyncio
import contextlib
import sqlite3
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs.interfaces.index import IndexDraft, Indexer
from cidx_jobs.model.errors import (
    IndexDamagedError,
    InvalidParameterError,
    JobFailure,
    NotIndexedError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.index import (
    Document,
    DraftRequest,
    SearchPage,
    SearchPlace,
    SearchRequest,
    TreeEntry,
)
from cidx_jobs.store.index import fts
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.text import fold

ALICE, BOB = UserId("alice"), UserId("bob")
PROJECT = ProjectId("project")
COPY, OTHER = CopyId("copy"), CopyId("other")
MAX_FILE_BYTES = 1_000
WAIT_SECONDS = 10.0

Files = dict[str, str | bytes]


@pytest.fixture(params=["fts"])
async def indexer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Indexer]:
    """Yield an indexer that has nothing yet."""
    assert request.param == "fts"
    made = FtsIndexer(tmp_path / "projects")
    yield made
    await made.close()


def data_of(content: str | bytes) -> bytes:
    """Return the bytes of a file."""
    return content if isinstance(content, bytes) else content.encode()


def name_of(content: str | bytes) -> str:
    """Return a name for a content, as git does: the same for the same bytes."""
    return data_of(content).hex()[:40].rjust(40, "0")


def tree_of(files: Files, modes: dict[str, str] | None = None) -> list[TreeEntry]:
    """Return the tree that holds the files."""
    return [
        TreeEntry(path, (modes or {}).get(path, "100644"), name_of(content), len(data_of(content)))
        for path, content in sorted(files.items())
    ]


async def fill(draft: IndexDraft, files: Files) -> int:
    """Add what the draft wants, in small batches, and count it."""
    contents = {name_of(content): data_of(content) for content in files.values()}
    added = 0
    while wanted := await draft.take_wanted(2, MAX_FILE_BYTES):
        await draft.add(Document(file.blob, contents[file.blob]) for file in wanted)
        added += len(wanted)
    return added


def request_of(job: str, *, run: int = 1, full: bool = False) -> DraftRequest:
    """Return the request of alice's job for a draft."""
    return DraftRequest(
        copy_id=COPY, user_id=ALICE, project_id=PROJECT, job_id=JobId(job), run=run, full=full
    )


async def index(
    indexer: Indexer, files: Files, *, commit: str = "c1", job: str = "job-1", full: bool = False
) -> int:
    """Bring the index to the files, and return how many had to be read."""
    async with indexer.draft(request_of(job, full=full)) as draft:
        await draft.compare(tree_of(files), MAX_FILE_BYTES)
        added = await fill(draft, files)
        await draft.publish(commit, {"by": job})
    return added


async def find(indexer: Indexer, text: str, **options: Any) -> list[tuple[str, int, str]]:
    """Search as alice, and return (path, line number, line)."""
    page = await indexer.search(
        SearchRequest(
            copy_id=COPY, text=text, user_id=ALICE, project_id=PROJECT, limit=50, **options
        )
    )
    return [(hit.path, hit.line_number, hit.line) for hit in page.hits]


async def test_lines_are_found_by_path_and_then_line(indexer: Indexer) -> None:
    """A search gives each line that holds the text, once, in order."""
    await index(
        indexer, {"b.py": "needle\n", "a/z.py": "x\nneedle needle\r\nneedles", "c.py": "none"}
    )

    assert await find(indexer, "needle") == [
        ("a/z.py", 2, "needle needle"),
        ("a/z.py", 3, "needles"),
        ("b.py", 1, "needle"),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Straße NACH Köln", "köln"),
        ("ΛΟΓΟΣΑ", "ΛΟΓΟΣ"),
        ("λόγος", "ΓΟΣ"),
        ("select * from t where a='x\"y'", "* from"),
        ("a='x\"y'", "'x\"y'"),
        ('say "OR" NEAR(x)', '"or" near('),
        ("100%_done", "0%_d"),
        ("C:\\path\\to", "\\PATH\\"),
        ("日本語のテキスト", "本語の"),
        ("emoji 🎉🎊🎈 here", "🎉🎊🎈"),
        ("one   two", "e   t"),
        ("first\nsecond", "t\ns"),
        ("ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ", "საქართველო"),
        ("ꮳꮃꭹ", "ᏣᎳᎩ"),
        ("𞤆𞤓𞤂𞤀𞤈", "𞤨𞤵𞤤𞤢𞤪"),
        ("ԨԪԬԮ", "ԩԫԭԯ"),
        ("İSTANBUL", "istanbul"),
        ("istanbul", "İSTANBUL"),
        ("STRAẞE", "strasse"),
        ("strasse", "STRAẞE"),
        ("ﬁnally", "FINALLY"),
    ],
)
async def test_a_text_is_only_a_text(indexer: Indexer, content: str, text: str) -> None:
    """Nothing of the text searched for is a pattern or an operator; letter case does not count."""
    await index(indexer, {"file": content, "other": "nothing of it"})

    assert [path for path, _, _ in await find(indexer, text)] == ["file"]


@pytest.mark.parametrize("text", ["abc\0", "\ud800xx", "xyz" * 2_000, '""" AND "', "^*():-"])
async def test_no_text_breaks_a_search(indexer: Indexer, text: str) -> None:
    """Texts that can be in no file, and very long ones, find nothing."""
    await index(indexer, {"file": "content"})

    assert await find(indexer, text) == []


async def test_all_of_the_text_must_be_there_in_one_piece(indexer: Indexer) -> None:
    """A file that holds all parts of the text, elsewhere, is not found."""
    await index(indexer, {"file": "abcd\nbcde\ncdef\n"})

    assert await find(indexer, "abcdef") == []


async def test_a_path_narrows_a_search(indexer: Indexer) -> None:
    """A path prefix is a plain prefix, and wildcards are letters in it."""
    await index(
        indexer, {"src/a.py": "word", "src/b.py": "word", "tests/a.py": "word", "s%": "word"}
    )

    assert [path for path, _, _ in await find(indexer, "word", path_prefix="src/")] == [
        "src/a.py",
        "src/b.py",
    ]
    assert await find(indexer, "word", path_prefix="s%") == [("s%", 1, "word")]
    assert await find(indexer, "word", path_prefix="\ud800") == []


async def test_a_limit_cuts_a_search_off(indexer: Indexer) -> None:
    """At most so many lines are given, the first ones."""
    await index(indexer, {"a": "hit hit\n" * 3, "b": "hit\n" * 3})

    page = await indexer.search(
        SearchRequest(copy_id=COPY, text="hit", user_id=ALICE, project_id=PROJECT, limit=4)
    )

    assert [(hit.path, hit.line_number) for hit in page.hits] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
    ]
    assert (page.is_truncated, page.commit) == (True, "c1")


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
async def test_pages_are_all_of_the_list(indexer: Indexer, limit: int) -> None:
    """No line twice, and none left out, wherever a page ends."""
    await index(indexer, {"a": "hit\n" * 3, "a/b": "hit\n", "b": "hit\n" * 2, "c": "none"})
    found: list[tuple[str, int]] = []
    place: SearchPlace | None = None
    while True:
        page = await indexer.search(
            SearchRequest(
                copy_id=COPY,
                text="hit",
                user_id=ALICE,
                project_id=PROJECT,
                limit=limit,
                after=place,
            )
        )
        found += [(hit.path, hit.line_number) for hit in page.hits]
        if not page.is_truncated:
            break
        place = SearchPlace(*found[-1])

    assert found == [("a", 1), ("a", 2), ("a", 3), ("a/b", 1), ("b", 1), ("b", 2)]


async def test_what_is_not_in_the_index_is_kept_with_it(indexer: Indexer) -> None:
    """Each path with its reason and size, page by page, also after later publications."""
    files: Files = {"bin": b"\0\1", "large": "l" * 2_000, "link": "to", "a.txt": "text"}
    tree = tree_of(files, {"link": "120000"})
    tree.append(TreeEntry("module", "160000", "3" * 40, None))
    for number in range(2):
        async with indexer.draft(request_of(f"j{number}")) as draft:
            await draft.compare(tree, MAX_FILE_BYTES)
            await fill(draft, files)
            await draft.publish(f"c{number}", {})

    listed = await indexer.list_skipped(COPY, limit=3)
    rest = await indexer.list_skipped(COPY, limit=3, after=listed[-1].path)
    state = await indexer.load_state(COPY)

    assert [(file.path, file.reason, file.bytes) for file in (*listed, *rest)] == [
        ("bin", "binary", 2),
        ("large", "too_large", 2_000),
        ("link", "link", 2),
        ("module", "submodule", None),
    ]
    assert state is not None
    assert state.skipped == {"binary": 1, "too_large": 1, "link": 1, "submodule": 1}
    assert list(await indexer.list_skipped(OTHER, limit=3)) == []


@pytest.mark.parametrize("harm", ["cut", "no_table", "no_content", "scribbled"])
async def test_a_damaged_index_is_noticed_and_made_anew(
    indexer: Indexer, tmp_path: Path, harm: str
) -> None:
    """A search says so, a look finds it, and the next publication is whole again."""
    files: Files = {f"f{n}": f"word {n} " * 50 for n in range(100)}
    await index(indexer, files)
    (path,) = (tmp_path / "projects").rglob("*.db")
    harm_index(path, harm)

    with pytest.raises(IndexDamagedError):
        await find(indexer, "word 1")
    assert await indexer.find_fault(COPY, deep=False) is not None
    assert await indexer.load_state(COPY) is None
    await index(indexer, files, job="j2")

    assert await indexer.find_fault(COPY, deep=True) is None
    assert len(await find(indexer, "word 1")) == 11


async def test_words_that_are_lost_are_found_by_a_deep_look(
    indexer: Indexer, tmp_path: Path
) -> None:
    """A search finds nothing then, and does not know that it should."""
    await index(indexer, {"a": "some words"})
    (path,) = (tmp_path / "projects").rglob("*.db")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', 1, 'some words')")

    assert await find(indexer, "some words") == []
    assert await indexer.find_fault(COPY, deep=True) is not None
    with pytest.raises(IndexDamagedError):
        await find(indexer, "some words")


def harm_index(path: Path, harm: str) -> None:
    """Damage a database, its log brought into it before."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        if harm == "no_table":
            db.execute("DROP TABLE contents")
        elif harm == "no_content":
            db.execute("DELETE FROM contents")
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "scribbled":
        path.write_bytes(data[:4_096] + b"\xa5" * (len(data) - 4_096))


async def test_of_a_long_line_the_part_around_the_text_is_given(indexer: Indexer) -> None:
    """A line of a minified file is cut to what is of use."""
    content = "x" * 400 + "needle" + "y" * 400
    async with indexer.draft(request_of("j")) as draft:
        await draft.compare([TreeEntry("f", "100644", "1" * 40, 9_000)], 10_000)
        await draft.add([Document("1" * 40, (content * 10).encode())])
        await draft.publish("c", {})

    ((_, _, line),) = await find(indexer, "needle")

    assert len(line) == 1_000
    assert "needle" in line


@pytest.mark.parametrize("text", ["", "a", "ab", "日本"])
async def test_a_short_text_is_refused(indexer: Indexer, text: str) -> None:
    """Less than three characters cannot be searched for; the error points at ``q``."""
    with pytest.raises(ValidationError) as refused:
        await find(indexer, text)

    assert refused.value.faults[0].pointer == "/q"


async def test_there_is_nothing_to_search_before_the_first_publication(indexer: Indexer) -> None:
    """A project that was never indexed, or whose draft was not published, is not indexed."""
    with pytest.raises(NotIndexedError):
        await find(indexer, "word")

    async with indexer.draft(request_of("j")) as draft:
        await draft.compare(tree_of({"a": "word"}), MAX_FILE_BYTES)
        await fill(draft, {"a": "word"})
        with pytest.raises(NotIndexedError):
            await find(indexer, "word")

    assert await indexer.load_state(COPY) is None


async def test_users_do_not_see_each_others_projects(indexer: Indexer) -> None:
    """A project of the same name of another user is another project."""
    await index(indexer, {"a": "word"})

    with pytest.raises(NotIndexedError):
        await indexer.search(
            SearchRequest(copy_id=OTHER, text="word", user_id=BOB, project_id=PROJECT, limit=50)
        )


async def test_searches_see_all_of_a_publication_or_nothing(indexer: Indexer) -> None:
    """While a draft is filled, searches see the index as it was, to the end."""
    await index(indexer, {"a": "word one", "b": "word two"})
    changed: Files = {"a": "word changed", "c": "word new"}

    async with indexer.draft(request_of("j2")) as draft:
        await draft.compare(tree_of(changed), MAX_FILE_BYTES)
        await fill(draft, changed)
        before = await find(indexer, "word")
        await draft.publish("c2", {})
        after = await find(indexer, "word")

    assert before == [("a", 1, "word one"), ("b", 1, "word two")]
    assert after == [("a", 1, "word changed"), ("c", 1, "word new")]


async def test_of_a_path_that_comes_twice_the_first_counts(indexer: Indexer) -> None:
    """A broken tree is compared as if it named each path once, whatever is shown already."""
    first, second = tree_of({"a": "first", "b": "same"}), tree_of({"a": "second"})

    await index(indexer, {"a": "first", "b": "same"})
    async with indexer.draft(request_of("j2", full=True)) as draft:
        changes = await draft.compare([*first, *second], MAX_FILE_BYTES)
        await fill(draft, {"a": "first", "b": "same"})
        await draft.publish("c1", {})

    assert (changes.total, changes.total_bytes) == (2, len("first") + len("same"))
    assert (changes.added, changes.modified) == (0, 0)
    assert await find(indexer, "first") == [("a", 1, "first")]


async def test_a_tree_takes_no_memory(indexer: Indexer) -> None:
    """What a tree claims, and what the index shows, lies on the disk while they are compared."""

    def claim(kind: str) -> Iterator[TreeEntry]:
        for number in range(10_000):
            yield TreeEntry(f"{'directory/' * 100}{number}", kind, "1" * 40, 1)

    tracemalloc.start()
    try:
        for kind in ("120000", "160000"):
            async with indexer.draft(request_of("job-1")) as draft:
                await draft.compare(claim(kind), MAX_FILE_BYTES)
                await draft.publish(kind, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000


async def test_a_comparison_tells_what_changed(indexer: Indexer) -> None:
    """Added, modified, renamed and deleted are counted apart, modes and kinds included."""
    await index(indexer, {"same": "s", "text": "old", "mode": "m", "moved": "mv", "gone": "g"})
    files: Files = {"same": "s", "text": "new", "mode": "m", "elsewhere": "mv", "added": "a"}

    async with indexer.draft(request_of("j2")) as draft:
        changes = await draft.compare(tree_of(files, {"mode": "100755"}), MAX_FILE_BYTES)

    counts = (changes.added, changes.modified, changes.renamed, changes.deleted)
    assert counts == (1, 2, 1, 1)
    assert (changes.total, changes.total_bytes, changes.wanted) == (5, 8, 2)


async def test_only_contents_that_are_new_are_read(indexer: Indexer) -> None:
    """What the index holds already, under whatever path, is not asked for again."""
    await index(indexer, {"a": "one", "b": "two"})

    read = await index(indexer, {"x": "one", "y": "one", "z": "three"}, commit="c2", job="j2")

    assert read == 1
    assert [path for path, _, _ in await find(indexer, "one")] == ["x", "y"]
    assert await find(indexer, "two") == []


async def test_a_full_draft_reads_everything(indexer: Indexer) -> None:
    """A full draft makes the index anew and still tells what is different."""
    await index(indexer, {"a": "one", "b": "two"})

    async with indexer.draft(request_of("j2", full=True)) as draft:
        changes = await draft.compare(tree_of({"a": "one", "c": "three"}), MAX_FILE_BYTES)
        assert draft.is_full
        assert await fill(draft, {"a": "one", "c": "three"}) == 2
        publication = await draft.publish("c2", {})

    assert (changes.added, changes.deleted, changes.modified) == (1, 1, 0)
    assert publication.state.note["files_indexed"] == 2


async def test_what_is_left_out_is_told(indexer: Indexer) -> None:
    """Binary and large files, links and submodules are named with their reasons."""
    files: Files = {"bin": b"\0\1", "large": "l" * 2_000, "link": "target", "text": "text"}
    tree = tree_of(files, {"link": "120000"})
    tree.append(TreeEntry("module", "160000", "3" * 40, None))

    async with indexer.draft(request_of("j")) as draft:
        await draft.compare(tree, MAX_FILE_BYTES)
        await fill(draft, files)
        publication = await draft.publish("c", {})

    assert [(some.reason, some.count, some.examples) for some in publication.skipped] == [
        ("binary", 1, ("bin",)),
        ("link", 1, ("link",)),
        ("submodule", 1, ("module",)),
        ("too_large", 1, ("large",)),
    ]
    assert (publication.state.files_total, publication.state.files_indexed) == (5, 1)
    assert publication.state.note == {"files_indexed": 1, "files_skipped": 4}


async def test_a_raised_bound_lets_large_files_in(indexer: Indexer) -> None:
    """A file that was too large is read once the bound allows it."""
    files: Files = {"large": "wide " * 400}
    await index(indexer, files)

    async with indexer.draft(request_of("j2")) as draft:
        changes = await draft.compare(tree_of(files), 10_000)
        (wanted,) = await draft.take_wanted(10, 10_000)
        await draft.add([Document(wanted.blob, data_of(files["large"]))])
        await draft.publish("c2", {})

    assert changes.wanted == 1
    assert len(await find(indexer, "wide")) == 1


async def test_the_state_is_what_was_published_last(indexer: Indexer) -> None:
    """Commit, counts, size, job and note are kept with the index."""
    await index(indexer, {"a": "one", "b": b"\0"}, commit="c9", job="job-9")

    state = await indexer.load_state(COPY)

    assert state is not None
    assert (state.commit, state.files_total, state.files_indexed) == ("c9", 2, 1)
    assert (state.published_by, state.note["by"]) == ("job-9", "job-9")
    assert state.bytes > 0


async def test_a_later_run_goes_on_with_the_draft(indexer: Indexer) -> None:
    """What an interrupted run added is found by the next run of the job, and not asked for."""
    files: Files = {name: f"content of {name}" for name in "abcdef"}
    async with indexer.draft(request_of("j", full=True)) as draft:
        await draft.compare(tree_of(files), MAX_FILE_BYTES)
        wanted = await draft.take_wanted(4, MAX_FILE_BYTES)
        await draft.add(Document(f.blob, data_of(files[f.path])) for f in wanted)

    async with indexer.draft(request_of("j", run=2, full=True)) as draft:
        changes = await draft.compare(tree_of(files), MAX_FILE_BYTES)
        added = await fill(draft, files)
        publication = await draft.publish("c", {})

    assert (changes.staged, changes.wanted, added) == (4, 2, 2)
    assert publication.state.note["files_indexed"] == 6
    assert len(await find(indexer, "content of")) == 6


@pytest.mark.slow
async def test_a_draft_that_is_cut_off_loses_eight_megabytes_at_the_most(indexer: Indexer) -> None:
    """However much was to be added at a time; and what was told as added is all there."""
    size, read = 500_000, 0
    lines = [f"line {number} of many\n" * (size // 20) for number in range(36)]
    names = [f"{number:040x}" for number in range(len(lines))]
    tree = [
        TreeEntry(name, "100644", name, len(text)) for name, text in zip(names, lines, strict=True)
    ]

    def broken() -> Iterator[Document]:
        nonlocal read
        for name, text in zip(names[:-1], lines, strict=False):
            read += len(text)
            yield Document(name, text.encode())
        message = "the end"
        raise JobFailure(message, code="GIT-005")

    async with indexer.draft(request_of("j")) as draft:
        await draft.compare(tree, 2 * size)
        with pytest.raises(JobFailure, match="the end"):
            await draft.add(broken())
        added = draft.added
    async with indexer.draft(request_of("j", run=2)) as draft:
        changes = await draft.compare(tree, 2 * size)

    assert changes.staged == added
    assert read - sum(map(len, lines[:added])) <= 8_000_000


@pytest.mark.slow
async def test_a_large_change_of_an_index_is_found_whole(indexer: Indexer, tmp_path: Path) -> None:
    """Many new texts are added to an index as it is, and as many go, as in a full one."""
    for number, kind in enumerate(("first", "second", "third")):
        names = [f"{number}{place:039x}" for place in range(1_200)]
        texts = {name: f"{kind} {name}\n" * 45 + "shared\n" for name in names}
        tree = [TreeEntry(name[1:], "100644", name, len(texts[name])) for name in names]
        async with indexer.draft(request_of(kind)) as draft:
            changes = await draft.compare(tree, 10_000)
            wanted = await draft.take_wanted(len(names), 2**30)
            await draft.add(Document(file.blob, texts[file.blob].encode()) for file in wanted)
            await draft.publish(kind, {})
        assert changes.wanted == len(names)

    assert await indexer.find_fault(COPY, deep=True) is None
    assert await find(indexer, "second") == []
    page = await indexer.search(
        SearchRequest(copy_id=COPY, text="shared", user_id=ALICE, project_id=PROJECT, limit=2_000)
    )
    assert len(page.hits) == 1_200
    (file,) = (tmp_path / "projects").rglob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.create_function("fold", 1, fold, deterministic=True)
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


async def test_another_job_does_not_go_on_with_the_draft(indexer: Indexer) -> None:
    """A draft belongs to its job: another one begins anew, and what was left is removed."""
    files: Files = {"a": "one", "b": "two"}
    async with indexer.draft(request_of("j", full=True)) as draft:
        await draft.compare(tree_of(files), MAX_FILE_BYTES)
        await fill(draft, files)

    assert await index(indexer, files, job="other", full=True) == 2


async def test_a_discarded_draft_leaves_nothing(indexer: Indexer, tmp_path: Path) -> None:
    """A draft that is thrown away is gone, and the index stays as it was."""
    await index(indexer, {"a": "one"})
    before = {path.name for path in (tmp_path / "projects").rglob("*.db")}

    async with indexer.draft(request_of("j2", full=True)) as draft:
        await draft.compare(tree_of({"b": "two"}), MAX_FILE_BYTES)
        await fill(draft, {"b": "two"})
        await draft.discard()

    assert {path.name for path in (tmp_path / "projects").rglob("*.db")} == before
    assert await find(indexer, "one") == [("a", 1, "one")]


@pytest.mark.parametrize("full", [False, True])
async def test_a_draft_that_lacks_a_file_is_not_published(indexer: Indexer, *, full: bool) -> None:
    """A draft must hold everything: else IDX-002, and searches see what they saw."""
    await index(indexer, {"a": "one"})

    async with indexer.draft(request_of("j2", full=full)) as draft:
        await draft.compare(tree_of({"a": "one", "b": "two"}), MAX_FILE_BYTES)
        with pytest.raises(JobFailure) as failed:
            await draft.publish("c2", {})

    assert failed.value.failure_code == "IDX-002"
    assert await find(indexer, "one") == [("a", 1, "one")]
    state = await indexer.load_state(COPY)
    assert state is not None
    assert state.commit == "c1"


async def test_a_cancelled_draft_undoes_its_batch(indexer: Indexer) -> None:
    """A cancel ends the work between two files, and the batch under way is not kept."""
    reached, released = threading.Event(), threading.Event()

    def stream() -> Iterator[Document]:
        yield Document(name_of("one"), b"one")
        reached.set()
        released.wait(WAIT_SECONDS)
        yield Document(name_of("two"), b"two")

    async def work() -> None:
        async with indexer.draft(request_of("j", full=True)) as draft:
            await draft.compare(tree_of({"a": "one", "b": "two"}), MAX_FILE_BYTES)
            await draft.add(stream())

    task = asyncio.create_task(work())
    await asyncio.to_thread(reached.wait, WAIT_SECONDS)
    task.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with indexer.draft(request_of("j", run=2, full=True)) as draft:
        changes = await draft.compare(tree_of({"a": "one", "b": "two"}), MAX_FILE_BYTES)
    assert changes.staged == 0


async def test_an_error_of_the_source_comes_out(indexer: Indexer) -> None:
    """What the tree or the documents raise is raised to the caller, and nothing is stored."""

    def broken() -> Iterator[TreeEntry]:
        yield TreeEntry("a", "100644", "1" * 40, 3)
        message = "too many"
        raise JobFailure(message, code="RES-003")

    async with indexer.draft(request_of("j")) as draft:
        with pytest.raises(JobFailure, match="too many"):
            await draft.compare(broken(), MAX_FILE_BYTES)
        assert (await draft.compare([], MAX_FILE_BYTES)).total == 0


async def test_an_indexer_can_be_used_after_its_close(indexer: Indexer) -> None:
    """Closing lets go of threads; what comes later takes new ones."""
    await index(indexer, {"a": "one"})
    await indexer.close()
    await indexer.close()

    assert await find(indexer, "one") == [("a", 1, "one")]


async def test_a_search_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """The time of a search is bounded; the error says what to do."""
    indexer = FtsIndexer(tmp_path / "projects", search_seconds=0.0)
    await index(indexer, {"a": "one"})

    with pytest.raises(InvalidParameterError, match="too long"):
        await find(indexer, "one")
    await indexer.close()


async def test_one_users_searches_keep_nobody_else_waiting(
    indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are, and however long they take: others search and sync meanwhile."""
    await index(indexer, {"a": "slow word"})
    is_over = threading.Event()
    run = fts._Search.run

    def slowly(search: Any) -> SearchPage:
        if search.request.text == "slow":
            is_over.wait(WAIT_SECONDS)
        return run(search)

    monkeypatch.setattr(fts._Search, "run", slowly)
    slow = [asyncio.create_task(find(indexer, "slow")) for _ in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(NotIndexedError):
            await indexer.search(
                SearchRequest(
                    copy_id=OTHER, text="word", user_id=BOB, project_id=PROJECT, limit=50
                )
            )
        assert await indexer.load_state(COPY) is not None
    assert not any(task.done() for task in slow)

    is_over.set()
    assert await asyncio.gather(*slow) == [[("a", 1, "slow word")]] * 20


async def test_searches_of_a_user_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waited for the others of its user as long as a search may take is refused."""
    indexer = FtsIndexer(tmp_path / "projects", search_seconds=0.05)
    await index(indexer, {"a": "slow word"})
    is_over = threading.Event()
    nothing = SearchPage(commit="c1", hits=(), is_truncated=False)
    monkeypatch.setattr(fts._Search, "run", lambda _: is_over.wait(WAIT_SECONDS) and nothing)
    slow = [asyncio.create_task(find(indexer, "slow")) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError):
        await find(indexer, "word")

    is_over.set()
    assert await asyncio.gather(*slow) == [[], []]
    await indexer.close()


async def test_an_index_of_another_format_is_made_anew(indexer: Indexer, tmp_path: Path) -> None:
    """An index that another version wrote is no index to searches, and is replaced."""
    await index(indexer, {"a": "one"})
    (file,) = (tmp_path / "projects").rglob("*.db")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE meta SET value = 'other' WHERE name = 'format'")
    db.close()

    with pytest.raises(NotIndexedError):
        await find(indexer, "one")
    assert await index(indexer, {"a": "one"}, job="j2") == 1
    assert await find(indexer, "one") == [("a", 1, "one")]


async def test_words_that_do_not_fit_the_texts_are_noticed(
    indexer: Indexer, tmp_path: Path
) -> None:
    """The integrity check of the words is part of every publication of a small index."""
    await index(indexer, {"a": "one", "b": "two"})
    (file,) = (tmp_path / "projects").rglob("*.db")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE words_data SET block = zeroblob(length(block)) WHERE id > 10")
    db.close()

    with pytest.raises(JobFailure) as failed:
        await index(indexer, {"a": "one", "b": "two", "c": "three"}, job="j2", commit="c2")

    assert failed.value.failure_code == "IDX-002"


async def test_what_is_in_use_no_more_is_dropped(indexer: Indexer, tmp_path: Path) -> None:
    """Texts that no file has any more leave the index, and so do those of unfinished drafts."""
    await index(indexer, {"a": "one", "b": "two", "c": "two"})
    async with indexer.draft(request_of("x")) as draft:
        await draft.compare(tree_of({"a": "never shown"}), MAX_FILE_BYTES)
        await fill(draft, {"a": "never shown"})

    await index(indexer, {"a": "changed", "b": "two"}, job="j2", commit="c2")

    (file,) = (tmp_path / "projects").rglob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as db:
        texts = [text for (text,) in db.execute("SELECT text FROM contents ORDER BY text")]
        db.create_function("fold", 1, fold)
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert texts == ["changed", "two"]


@pytest.mark.slow
async def test_searches_go_on_while_the_index_is_replaced(indexer: Indexer) -> None:
    """Concurrent searches see one whole publication each, also while files are replaced."""
    await index(indexer, {"a": "word 0", "b": "word 0"})
    seen: set[tuple[str, ...]] = set()
    is_over = asyncio.Event()

    async def search() -> None:
        while not is_over.is_set():
            seen.add(tuple(line for _, _, line in await find(indexer, "word")))

    searching = [asyncio.create_task(search()) for _ in range(3)]
    for number in range(1, 9):
        text = f"word {number}"
        await index(indexer, {"a": text, "b": text}, job=f"j{number}", full=number % 2 == 0)
    is_over.set()
    await asyncio.gather(*searching)

    assert all(len(set(lines)) == 1 and len(lines) == 2 for lines in seen)


async def test_every_letter_is_found_by_its_other_case(indexer: Indexer) -> None:
    """Of all scripts: what Python folds to the same is the same to a search."""
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    pairs = [(letter, letter.casefold()) for letter in letters if letter.casefold() != letter]
    files = [pairs[start : start + 40] for start in range(0, len(pairs), 40)]
    await index(
        indexer,
        {
            f"{number}.txt": "".join(f"<<{letter}>>\n" for letter, _ in some)
            for number, some in enumerate(files)
        },
    )

    missed = [
        letter
        for letter, folded in pairs[:: len(pairs) // 60]
        if f"<<{letter}>>" not in [line for _, _, line in await find(indexer, f"<<{folded}>>")]
    ]

    assert len(pairs) > 1_400
    assert missed == []
