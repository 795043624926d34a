"""The SQL of the index.

A file's text is kept once for each content (git's blob), and indexed with it. What searches see
is the table ``files``: contents that no file refers to are invisible. So contents can be added in
many transactions, and one last transaction shows them all.

The words are trigrams with ``detail=none``: for each trigram the contents that hold it, without
places. That is half the size and three quarters of the time of full detail; the places are found
in the texts.
"""

FORMAT = "1"
"""Of the tables and of how texts are made; an index of another format is made anew."""

CREATE = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY,
        blob BLOB NOT NULL UNIQUE,
        skipped TEXT CHECK (skipped IN ('binary', 'large')),
        text TEXT CHECK ((text IS NULL) = (skipped IS NOT NULL))
    ) STRICT
    """,
    """
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        mode TEXT NOT NULL,
        blob BLOB NOT NULL,
        content INTEGER REFERENCES contents (id)
    ) STRICT
    """,
    "CREATE INDEX files_by_content ON files (content)",
    """
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='contents', content_rowid='id',
        tokenize='trigram', detail=none, columnsize=0
    )
    """,
)

READ_META = "SELECT name, value FROM meta"
WRITE_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"

# --- a draft: the tree to come, against what searches see now -----------------------------------

CREATE_INCOMING = """
    CREATE TEMP TABLE incoming (
        path TEXT PRIMARY KEY, mode TEXT NOT NULL, blob BLOB NOT NULL, size INTEGER
    ) WITHOUT ROWID
    """
CREATE_WANTED = """
    CREATE TEMP TABLE wanted (
        number INTEGER PRIMARY KEY, path TEXT NOT NULL, blob BLOB NOT NULL, size INTEGER NOT NULL
    )
    """
CREATE_STAGED = "CREATE TEMP TABLE staged (content INTEGER PRIMARY KEY)"

# What searches see lies in this database or, where the index is made anew, in the one before.
VIEW_OWN_BASE = "CREATE TEMP VIEW base AS SELECT path, mode, blob FROM main.files"
VIEW_OLD_BASE = "CREATE TEMP VIEW base AS SELECT path, mode, blob FROM old.files"

ADD_INCOMING = "INSERT OR IGNORE INTO incoming VALUES (?, ?, ?, ?)"

COUNT_INCOMING = "SELECT count(*), coalesce(sum(size), 0) FROM incoming"
COUNT_ADDED = """
    SELECT count(*) FROM incoming i WHERE NOT EXISTS (SELECT 1 FROM base b WHERE b.path = i.path)
    """
COUNT_MODIFIED = """
    SELECT count(*) FROM incoming i JOIN base b ON b.path = i.path
    WHERE b.blob <> i.blob OR b.mode <> i.mode
    """
COUNT_DELETED = """
    SELECT count(*) FROM base b WHERE NOT EXISTS (SELECT 1 FROM incoming i WHERE i.path = b.path)
    """
COUNT_RENAMED = """
    SELECT coalesce(sum(min(a.n, d.n)), 0)
    FROM (
        SELECT i.blob, count(*) AS n FROM incoming i
        WHERE NOT EXISTS (SELECT 1 FROM base b WHERE b.path = i.path) GROUP BY i.blob
    ) a
    JOIN (
        SELECT b.blob, count(*) AS n FROM base b
        WHERE NOT EXISTS (SELECT 1 FROM incoming i WHERE i.path = b.path) GROUP BY b.blob
    ) d ON d.blob = a.blob
    """
COUNT_STAGED = """
    SELECT count(*) FROM contents c
    WHERE c.id NOT IN (SELECT content FROM main.files WHERE content IS NOT NULL)
    AND c.blob IN (SELECT blob FROM incoming)
    """

# Modes 100644 and 100755 are files (100664 in very old trees); links and submodules hold no text.
ADD_TOO_LARGE = """
    INSERT OR IGNORE INTO contents (blob, skipped)
    SELECT DISTINCT blob, 'large' FROM incoming
    WHERE mode GLOB '100*' AND size > :max_file_bytes
    """
FORGET_ONCE_TOO_LARGE = """
    DELETE FROM contents WHERE skipped = 'large'
    AND blob IN (SELECT blob FROM incoming WHERE size <= :max_file_bytes)
    """
DETACH_ONCE_TOO_LARGE = """
    UPDATE files SET content = NULL WHERE content IN (
        SELECT id FROM contents WHERE skipped = 'large'
        AND blob IN (SELECT blob FROM incoming WHERE size <= :max_file_bytes)
    )
    """
ADD_WANTED = """
    INSERT INTO wanted (path, blob, size)
    SELECT min(i.path), i.blob, i.size FROM incoming i
    WHERE i.mode GLOB '100*' AND NOT EXISTS (SELECT 1 FROM contents c WHERE c.blob = i.blob)
    GROUP BY i.blob ORDER BY 1
    """
COUNT_WANTED = "SELECT count(*) FROM wanted"
TAKE_WANTED = """
    SELECT number, path, blob, size FROM wanted WHERE number > ? ORDER BY number LIMIT ?
    """

ADD_CONTENT = "INSERT OR IGNORE INTO contents (blob, skipped, text) VALUES (?, ?, ?)"
ADD_WORDS = "INSERT INTO words (rowid, text) VALUES (?, ?)"

# --- publishing, in one transaction -------------------------------------------------------------

ADD_STAGED = """
    INSERT INTO staged SELECT c.id FROM contents c
    WHERE c.id NOT IN (SELECT content FROM main.files WHERE content IS NOT NULL)
    """
COUNT_NEWLY_INDEXED = """
    SELECT count(*) FROM incoming i
    JOIN contents c ON c.blob = i.blob JOIN staged s ON s.content = c.id
    WHERE i.mode GLOB '100*' AND c.text IS NOT NULL
    """
LIST_SKIPPED = """
    SELECT reason, path FROM (
        SELECT i.path, CASE i.mode WHEN '120000' THEN 'symlink' WHEN '160000' THEN 'submodule'
            ELSE c.skipped END AS reason
        FROM incoming i
        LEFT JOIN contents c ON c.blob = i.blob
        LEFT JOIN base b ON b.path = i.path
        WHERE :all OR b.path IS NULL OR b.blob <> i.blob OR b.mode <> i.mode
    ) WHERE reason IS NOT NULL ORDER BY reason, path
    """
DROP_GONE_FILES = """
    DELETE FROM main.files WHERE NOT EXISTS (SELECT 1 FROM incoming i WHERE i.path = files.path)
    """
TAKE_OVER_FILES = """
    INSERT OR REPLACE INTO main.files (path, mode, blob, content)
    SELECT i.path, i.mode, i.blob, CASE WHEN i.mode GLOB '100*' THEN c.id END
    FROM incoming i LEFT JOIN contents c ON c.blob = i.blob
    WHERE NOT EXISTS (
        SELECT 1 FROM main.files f
        WHERE f.path = i.path AND f.blob = i.blob AND f.mode = i.mode
        AND (f.content IS NOT NULL OR i.mode NOT GLOB '100*')
    )
    """
DROP_UNUSED_WORDS = """
    INSERT INTO words (words, rowid, text)
    SELECT 'delete', id, text FROM contents
    WHERE text IS NOT NULL
    AND id NOT IN (SELECT content FROM main.files WHERE content IS NOT NULL)
    """
DROP_UNUSED_CONTENTS = """
    DELETE FROM contents
    WHERE id NOT IN (SELECT content FROM main.files WHERE content IS NOT NULL)
    """
COUNT_LACKING = "SELECT count(*) FROM main.files WHERE mode GLOB '100*' AND content IS NULL"
COUNT_FILES = "SELECT count(*) FROM main.files"
COUNT_FINDABLE = """
    SELECT count(*) FROM main.files f JOIN contents c ON c.id = f.content WHERE c.text IS NOT NULL
    """
CHECK_WORDS = "INSERT INTO words (words) VALUES ('integrity-check')"
SAMPLE_STAGED = """
    SELECT c.id, c.text FROM staged s JOIN contents c ON c.id = s.content
    WHERE length(c.text) >= 3 LIMIT 3
    """
IS_FOUND = "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?"

# --- searching ----------------------------------------------------------------------------------

FIND_FILES = """
    SELECT f.path, f.content FROM words JOIN files f ON f.content = words.rowid
    WHERE words MATCH ? ORDER BY f.path
    """
FIND_FILES_BELOW = """
    SELECT f.path, f.content FROM words JOIN files f ON f.content = words.rowid
    WHERE words MATCH ? AND f.path >= ? AND f.path < ? ORDER BY f.path
    """
READ_TEXT = "SELECT text FROM contents WHERE id = ?"
