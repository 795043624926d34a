"""The SQL of the index.

A file's text is kept once for each content (git's blob), and indexed with it. What searches see
is the table ``files``: contents that no file refers to are invisible. So contents can be added in
many transactions, and one last transaction shows them all.

The words are those of the texts with letter case folded by Python (`str.casefold`): SQLite's own
folding knows the letters of 2012. They are trigrams with ``detail=none``: for each trigram the
contents that hold it, without places. That is half the size and three quarters of the time of
full detail; the places are found in the texts.
"""

FORMAT = "3"
"""Of the tables and of how texts are made; an index of another format is made anew."""

CREATE = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY,
        blob BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        skipped TEXT CHECK (skipped IN ('binary', 'encoding', 'too_large')),
        text TEXT CHECK ((text IS NULL) = (skipped IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX contents_skipped ON contents (skipped, size) WHERE skipped IS NOT NULL",
    """
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        mode TEXT NOT NULL,
        blob BLOB NOT NULL,
        size INTEGER,
        skipped TEXT CHECK (skipped IN ('link', 'submodule', 'path')),
        content INTEGER REFERENCES contents (id)
    ) STRICT
    """,
    "CREATE INDEX files_skipped ON files (path) WHERE skipped IS NOT NULL",
    "CREATE INDEX files_by_content ON files (content)",
    "CREATE VIEW folded AS SELECT id, fold(text) AS text FROM contents",
    """
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='folded', content_rowid='id',
        tokenize='trigram case_sensitive 1', detail=none, columnsize=0
    )
    """,
)

READ_META = "SELECT name, value FROM meta"
WRITE_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"

# --- a draft: the tree to come, against what searches see now -----------------------------------

# due: the files whose rows are to be written. gone: the paths whose rows are to go. wanted: the
# contents to be read. loose: contents that may be in use no more when all that is done.
# unwritten: files that a program could not be given.
CREATE_DRAFT = (
    """
    CREATE TEMP TABLE due (
        path TEXT PRIMARY KEY, mode TEXT NOT NULL, blob BLOB NOT NULL, size INTEGER
    ) WITHOUT ROWID
    """,
    "CREATE TEMP TABLE gone (path TEXT PRIMARY KEY) WITHOUT ROWID",
    """
    CREATE TEMP TABLE wanted (
        number INTEGER PRIMARY KEY, path TEXT NOT NULL, blob BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL
    )
    """,
    "CREATE TEMP TABLE unwritten (path TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TEMP TABLE loose (content INTEGER PRIMARY KEY)",
)

# What searches see is in this database, in another one's file, or nothing.
ATTACH_SHOWN = "ATTACH ? AS base"
DETACH_SHOWN = "DETACH base"
DROP_SHOWN = "DROP VIEW IF EXISTS temp.shown"
SHOW_MAIN = "CREATE TEMP VIEW shown AS SELECT path, mode, blob FROM main.files"
SHOW_BASE = "CREATE TEMP VIEW shown AS SELECT path, mode, blob FROM base.files"
SHOW_NOTHING = "CREATE TEMP VIEW shown AS SELECT path, mode, blob FROM main.files WHERE 0"

# Of a path that comes twice the first counts.
ADD_DUE = "INSERT OR IGNORE INTO due VALUES (?, ?, ?, ?)"
ADD_GONE = """
    INSERT INTO gone SELECT path FROM shown s
    WHERE NOT EXISTS (SELECT 1 FROM due d WHERE d.path = s.path)
    """
COUNT_CHANGES = """
    WITH fresh AS (
        SELECT blob FROM due d WHERE NOT EXISTS (SELECT 1 FROM shown s WHERE s.path = d.path)
    ), lost AS (
        SELECT s.blob FROM gone g CROSS JOIN shown s ON s.path = g.path
    ), moved AS (
        SELECT min(came.number, went.number) AS number
        FROM (SELECT blob, count(*) AS number FROM fresh GROUP BY blob) came
        JOIN (SELECT blob, count(*) AS number FROM lost GROUP BY blob) went
        ON came.blob = went.blob
    )
    SELECT
        (SELECT count(*) FROM fresh),
        (SELECT count(*) FROM due d CROSS JOIN shown s ON s.path = d.path
         WHERE (s.mode, s.blob) <> (d.mode, d.blob)),
        (SELECT coalesce(sum(number), 0) FROM moved),
        (SELECT count(*) FROM gone),
        (SELECT count(*) FROM due),
        (SELECT CAST(total(size) AS INTEGER) FROM due)
    """
# The same where nothing is shown yet.
COUNT_ALL_NEW = """
    SELECT count(*), 0, 0, 0, count(*), CAST(total(size) AS INTEGER) FROM due
    """
# A file that was left out for its size is read after all where the limit was raised.
DROP_UNCHANGED = """
    DELETE FROM due WHERE EXISTS (
        SELECT 1 FROM shown s
        WHERE s.path = due.path AND s.mode = due.mode AND s.blob = due.blob
    ) AND blob NOT IN (SELECT blob FROM contents WHERE skipped = 'too_large' AND size <= ?)
    """

# Contents get growing ids, and a publication leaves none that is in use nowhere: what is above
# its highest id was added since, by this draft or by one that came to no end.
COUNT_STAGED = """
    SELECT count(*) FROM due d JOIN contents c ON c.blob = d.blob
    WHERE d.mode GLOB '100*' AND c.id > ?
    """

# Modes 100644 and 100755 are files (100664 in very old trees); links and submodules hold no text.
ADD_TOO_LARGE = """
    INSERT OR IGNORE INTO contents (blob, size, skipped)
    SELECT DISTINCT blob, size, 'too_large' FROM due
    WHERE mode GLOB '100*' AND size > ?
    """
# By path; of those with one content the first.
ADD_WANTED = """
    INSERT OR IGNORE INTO wanted (path, blob, size)
    SELECT d.path, d.blob, d.size FROM due d
    WHERE d.mode GLOB '100*' AND d.size <= ? AND NOT EXISTS (
        SELECT 1 FROM contents c WHERE c.blob = d.blob AND c.skipped IS NOT 'too_large'
    )
    ORDER BY d.path
    """
COUNT_WANTED = "SELECT count(*), coalesce(sum(size), 0) FROM wanted"
TAKE_WANTED = """
    SELECT number, path, blob, size FROM wanted WHERE number > ? ORDER BY number LIMIT ?
    """

LIST_LARGE_WANTED = "SELECT c.blob, c.id FROM wanted w JOIN contents c ON c.blob = w.blob"

# Plain statements only: before one that could be undone by itself (an upsert, say) FTS5 writes
# what it has gathered to disk, which is four times as slow.
ADD_CONTENT = "INSERT INTO contents (id, blob, size, skipped, text) VALUES (?, ?, ?, ?, ?)"
CHANGE_LARGE_CONTENT = "UPDATE contents SET skipped = ?, text = ? WHERE id = ?"
ADD_WORDS = "INSERT INTO words (rowid, text) VALUES (?, ?)"

# --- for a program in place of the words: files by path, without their texts -------------------

COUNT_DUE = "SELECT count(*) FROM due WHERE mode GLOB '100*' AND size <= ?"
LIST_DUE = """
    SELECT path, mode, blob, size FROM due
    WHERE path > ? AND mode GLOB '100*' AND size <= ? ORDER BY path LIMIT ?
    """
IS_DUE = "SELECT 1 FROM due WHERE path = ? AND mode GLOB '100*' AND size <= ?"
LIST_GONE = """
    SELECT path FROM gone
    UNION ALL SELECT path FROM due WHERE mode NOT GLOB '100*' OR size > ?
    """
ADD_UNWRITTEN = "INSERT OR IGNORE INTO unwritten VALUES (?)"
ADD_WITHOUT_TEXTS = """
    INSERT OR IGNORE INTO contents (blob, size, text) SELECT blob, size, '' FROM wanted
    """

# --- publishing, in one transaction -------------------------------------------------------------

ADD_LOOSE = (
    """
    INSERT OR IGNORE INTO loose SELECT f.content FROM gone g JOIN files f ON f.path = g.path
    WHERE f.content IS NOT NULL
    """,
    """
    INSERT OR IGNORE INTO loose SELECT f.content FROM due d JOIN files f ON f.path = d.path
    WHERE f.content IS NOT NULL
    """,
)
ADD_STAGED_TO_LOOSE = "INSERT OR IGNORE INTO loose SELECT id FROM contents WHERE id > ?"
DROP_FILES = "DELETE FROM files"
DROP_GONE_FILES = "DELETE FROM files WHERE path IN (SELECT path FROM gone)"
WRITE_FILES = """
    INSERT OR REPLACE INTO files (path, mode, blob, size, skipped, content)
    SELECT d.path, d.mode, d.blob, d.size,
        CASE WHEN d.path IN (SELECT path FROM unwritten) THEN 'path'
        WHEN d.mode GLOB '100*' THEN NULL WHEN d.mode = '160000' THEN 'submodule'
        ELSE 'link' END,
        CASE WHEN d.mode GLOB '100*' THEN c.id END
    FROM due d LEFT JOIN contents c ON c.blob = d.blob
    """
# A text without words is left out: a program's index has no words that could be taken away, and
# FTS5 takes one removal too many for damage.
DROP_UNUSED_WORDS = """
    INSERT INTO words (words, rowid, text)
    SELECT 'delete', c.id, fold(c.text) FROM loose l CROSS JOIN contents c ON c.id = l.content
    WHERE c.text <> '' AND NOT EXISTS (SELECT 1 FROM files f WHERE f.content = c.id)
    """
DROP_UNUSED_CONTENTS = """
    DELETE FROM contents WHERE id IN (
        SELECT l.content FROM loose l
        WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.content = l.content)
    )
    """

COUNT_UNUSED = """
    SELECT (SELECT count(*) FROM contents) - (SELECT count(DISTINCT content) FROM files)
    """
COUNT_NEWLY_INDEXED = """
    SELECT count(*) FROM due d CROSS JOIN files f ON f.path = d.path
    CROSS JOIN contents c ON c.id = f.content
    WHERE f.content > ? AND c.skipped IS NULL AND f.skipped IS NULL
    """
LIST_LEFT_OUT = """
    SELECT c.skipped, f.path FROM contents c CROSS JOIN files f ON f.content = c.id
    WHERE c.skipped IS NOT NULL AND f.path IN (SELECT path FROM due)
    UNION ALL SELECT 'path', path FROM unwritten
    UNION ALL
    SELECT CASE mode WHEN '160000' THEN 'submodule' ELSE 'link' END, path FROM due
    WHERE mode NOT GLOB '100*'
    ORDER BY 1, 2
    """
COUNT_LACKING = "SELECT count(*) FROM files WHERE content IS NULL AND mode GLOB '100*'"
COUNT_FILES = "SELECT count(*) FROM files"
COUNT_FINDABLE = """
    SELECT (SELECT count(content) FROM files) - (
        SELECT count(*) FROM contents c CROSS JOIN files f ON f.content = c.id
        WHERE c.skipped IS NOT NULL
    ) - (SELECT count(*) FROM files WHERE skipped = 'path')
    """
COUNT_SKIPPED = """
    SELECT c.skipped, count(*) FROM contents c CROSS JOIN files f ON f.content = c.id
    WHERE c.skipped IS NOT NULL AND f.skipped IS NULL GROUP BY 1
    UNION ALL SELECT skipped, count(*) FROM files WHERE skipped IS NOT NULL GROUP BY 1
    """
HIGHEST_CONTENT = "SELECT coalesce(max(id), 0) FROM contents"
CHECK_WORDS = "INSERT INTO words (words) VALUES ('integrity-check')"
SAMPLE_STAGED = """
    SELECT id, text FROM contents WHERE id > ? AND skipped IS NULL AND length(text) >= 3 LIMIT 3
    """
IS_FOUND = "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?"

# --- searching ----------------------------------------------------------------------------------

FIND_FILES = """
    SELECT f.path, f.content FROM words JOIN files f ON f.content = words.rowid
    WHERE words MATCH ? AND f.path >= ? AND f.path < ? ORDER BY f.path
    """
READ_TEXT = "SELECT text FROM contents WHERE id = ?"

# --- what else is asked -------------------------------------------------------------------------

LIST_SKIPPED = """
    SELECT f.path, coalesce(f.skipped, c.skipped) AS reason, f.size
    FROM files f LEFT JOIN contents c ON c.id = f.content
    WHERE f.path > ? AND reason IS NOT NULL ORDER BY f.path LIMIT ?
    """
CHECK_PAGES = "PRAGMA quick_check(1)"
SAMPLE_SHOWN = """
    SELECT id, text FROM contents
    WHERE id >= (SELECT max(id) * ? / 100 FROM contents)
    AND skipped IS NULL AND length(text) >= 3 LIMIT 1
    """
