CREATE TABLE accounts (
    user_id       TEXT PRIMARY KEY,
    scope         TEXT NOT NULL CHECK (scope IN ('write', 'audit', 'admin')),
    password_hash TEXT NOT NULL,
    generation    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
