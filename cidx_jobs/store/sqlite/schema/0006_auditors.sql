-- Tokens of auditors, too: SQLite changes no CHECK, so the table is made anew.
CREATE TABLE tokens_of_all_scopes (
    token_id     TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'write', 'audit', 'admin')),
    digest       TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    label        TEXT
) STRICT;
INSERT INTO tokens_of_all_scopes
SELECT token_id, user_id, scope, digest, created_at, expires_at, last_used_at, label FROM tokens;
DROP TABLE tokens;
ALTER TABLE tokens_of_all_scopes RENAME TO tokens;
