"""Words that are built in memory and put into an index as segments."""

import contextlib
import gc
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.index import Document, DraftRequest, TreeEntry
from cidx_jobs.store.index import sql
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.state import add_functions
from cidx_jobs.store.index.text import match_sample
from cidx_jobs.store.index.words import contents, segments
from cidx_jobs.store.index.words.builders import WordThreads, build_words
from cidx_jobs.store.index.words.contents import ContentWriter
from cidx_jobs.store.index.words.segments import (
    UnknownFormatError,
    merge_words,
    put_words,
    read_structure,
    take_words,
)

TEXTS = ["first words", "second WORDS", "ΛΌΓΟΣ, STRAẞE", "x" * 5_000, "日本語のテキスト"]


@pytest.fixture
def threads() -> Iterator[WordThreads]:
    """Yield threads that end with the test."""
    made = WordThreads()
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of an index without contents."""
    path = tmp_path / "index.db"
    with opened(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in sql.CREATE:
            db.execute(statement)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an index."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        add_functions(db)
        yield db


def write(
    db: sqlite3.Connection, path: Path, threads: WordThreads, given: Sequence[Document]
) -> ContentWriter:
    """Add documents, and return who wrote them."""

    @contextlib.contextmanager
    def begin() -> Iterator[None]:
        with db:
            db.execute("BEGIN")
            yield

    writer = ContentWriter(db, path, threads, {})
    writer.write(given, begin)
    return writer


def documents(texts: Sequence[str]) -> list[Document]:
    """Return texts as git gives them."""
    return [Document(f"{number:040x}", text.encode()) for number, text in enumerate(texts)]


def find(path: Path, text: str) -> list[int]:
    """Return the contents that hold a text of three characters, after the words' own check."""
    with opened(path) as db:
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        rows = db.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY 1", (f'"{text}"',))
        return [number for (number,) in rows]


def many_texts(number: int, characters: int) -> list[str]:
    """Return texts of few words."""
    random = Random(3)  # noqa: S311 - the same words in each run
    words = ["alpha", "beta", "Gamma", "delta", "epsilon", "ζήτα"]
    return [
        f"{n} {' '.join(random.choices(words, k=characters // 6))} end{n}" for n in range(number)
    ]


def test_words_that_were_put_are_found_as_those_that_were_added(
    path: Path, threads: WordThreads
) -> None:
    """The words fit the texts by SQLite's own check, and each text is found."""
    with opened(path) as db:
        write(db, path, threads, documents(TEXTS))

    assert find(path, "wor") == [1, 2]
    assert find(path, "ass") == [3]
    assert find(path, "xxx") == [4]
    assert find(path, "本語の") == [5]


@pytest.mark.parametrize(
    "text", ["i\u0307\u0307\u0307" * 9, "abci\u0307def", "\ufffd" * 40, "ab", "é" * 40]
)
def test_whatever_a_text_holds_its_sample_is_found(
    text: str, path: Path, threads: WordThreads
) -> None:
    """A text that folds otherwise in parts than as a whole is no damage."""
    with opened(path) as db:
        write(db, path, threads, documents([text]))
        (kept,) = db.execute("SELECT text FROM contents").fetchone()
        expression = match_sample(kept)
        found = expression and db.execute(sql.IS_FOUND, (expression, 1)).fetchone()

    assert len(text) < 3 or found == (1,)


def test_portions_are_built_side_by_side_and_nothing_is_lost(
    path: Path, threads: WordThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many portions, of several writers one after the other, are one table of words."""
    monkeypatch.setattr(contents, "_PORTION_BYTES", 4_000)
    texts = many_texts(200, 300)
    with opened(path) as db:
        write(db, path, threads, documents(texts[:150]))
        write(db, path, threads, documents(texts)[150:])
        structure = read_structure(db)

    assert len(structure.segments) > 10
    assert find(path, "alp") == [n + 1 for n, text in enumerate(texts) if "alp" in text]
    assert find(path, "d19") == [20, *range(191, 201)]


def test_many_segments_are_merged(
    path: Path, threads: WordThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is added: a search looks into few segments."""
    monkeypatch.setattr(contents, "_PORTION_BYTES", 1_000)
    monkeypatch.setattr(contents, "_MANY_SEGMENTS", 8)
    texts = many_texts(40, 500)

    with opened(path) as db:
        write(db, path, threads, documents(texts))
        number = len(read_structure(db).segments)

    assert number < 20
    assert find(path, "end") == list(range(1, 41))


def test_words_can_be_removed_and_merged_after_they_were_put(
    path: Path, threads: WordThreads
) -> None:
    """FTS5 goes on with segments that were put as with its own."""
    with opened(path) as db:
        write(db, path, threads, documents(TEXTS))
    with opened(path) as db, db:
        db.execute("BEGIN")
        db.execute(
            "INSERT INTO words (words, rowid, text) SELECT 'delete', id, text FROM folded"
            " WHERE id < 3"
        )
        db.execute("DELETE FROM contents WHERE id < 3")
        db.execute("INSERT INTO words (words) VALUES ('optimize')")

    assert find(path, "wor") == []
    assert find(path, "ass") == [3]


def test_a_portion_is_there_whole_or_not_at_all(path: Path, threads: WordThreads) -> None:
    """A text whose transaction is undone leaves no words."""
    with opened(path) as db:
        db.execute("BEGIN")
        put_words(db, build_words([(1, b"some words")]))
        db.execute("ROLLBACK")

        assert read_structure(db).segments == []
    assert find(path, "wor") == []


def test_an_unknown_form_of_words_is_left_alone(
    path: Path, threads: WordThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite keeps words in another form, they are added one by one."""
    monkeypatch.setattr(contents, "put_words", _refuse)
    with opened(path) as db:
        added = write(db, path, threads, documents(TEXTS))

    assert added.unchecked == len(TEXTS)
    assert find(path, "wor") == [1, 2]


def _refuse(*_: object) -> int:
    raise UnknownFormatError


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\0\0\xff\0\0\1\1\0\0",
        b"\0\0\0\0\1\1\0\0\1\1\1",
        b"\0\0\0\0\0\1\0",
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\x80",
        b"\0\0\0\0" + b"\xff" * 9,
        None,
    ],
)
def test_what_is_no_structure_is_refused(path: Path, record: bytes | None) -> None:
    """A structure that cannot be understood whole is not written to."""
    with opened(path) as db:
        db.execute("UPDATE words_data SET block = ? WHERE id = 10", (record,))
        before = db.execute("SELECT * FROM words_data").fetchall()

        with pytest.raises(UnknownFormatError):
            put_words(db, build_words([(1, b"some words")]))

        assert db.execute("SELECT * FROM words_data").fetchall() == before


def test_there_is_no_room_for_more_segments_than_fts5_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused before anything is written."""
    monkeypatch.setattr(segments, "_MAX_SEGMENTS", 1)
    with opened(path) as db:
        assert put_words(db, build_words([(1, b"some words")])) == 1
        with pytest.raises(UnknownFormatError):
            put_words(db, build_words([(2, b"some words")]))


def test_numbers_of_any_length_are_read_as_they_were_written(path: Path) -> None:
    """Structures with more pages than a byte or two can count survive."""
    words = build_words([(number, b"word") for number in range(1, 4_000)])
    with opened(path) as db:
        put_words(db, words)
        totals = take_words(db).totals
        merge_words(path)

    assert list(totals) == [3_999, 2 * 3_999]


def test_threads_start_again_after_they_were_closed(threads: WordThreads) -> None:
    """An indexer that is used after its close gets new ones."""
    threads.close()
    threads.close()

    assert threads.start(lambda: 7).result() == 7
    assert 1 <= threads.share <= 4


async def test_a_draft_gives_its_memory_back_when_it_is_closed(tmp_path: Path) -> None:
    """Nothing of it waits for the collector of cycles: its connection has megabytes of pages."""
    indexer = FtsIndexer(tmp_path)
    gc.disable()
    try:
        async with indexer.draft(
            DraftRequest(
                copy_id=CopyId("copy"),
                user_id=UserId("alice"),
                project_id=ProjectId("project"),
                job_id=JobId("job"),
                run=1,
                full=False,
            )
        ) as draft:
            await draft.compare([TreeEntry("a", "100644", "1" * 40, 3)], 1_000)
            await draft.add([Document("1" * 40, b"one")])
            database = weakref.ref(draft.database)

        assert database() is None
    finally:
        gc.enable()
        await indexer.close()
