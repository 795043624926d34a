-- Who asked for a transition; NULL for the server itself.
ALTER TABLE events ADD COLUMN actor TEXT;

-- What administrators did, and which logins and tokens were refused.
CREATE TABLE admin_log (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT,
    action     TEXT NOT NULL,
    target     TEXT,
    address    TEXT,
    is_refusal INTEGER NOT NULL CHECK (is_refusal IN (0, 1))
) STRICT;

-- Of each kind the newest are kept.
CREATE INDEX admin_log_of_kind ON admin_log (is_refusal, number);
