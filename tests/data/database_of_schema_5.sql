BEGIN TRANSACTION;
CREATE TABLE accounts (
    user_id       TEXT PRIMARY KEY,
    scope         TEXT NOT NULL CHECK (scope IN ('write', 'audit', 'admin')),
    password_hash TEXT NOT NULL,
    generation    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    job_id   TEXT PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
    run      INTEGER NOT NULL,
    data     TEXT NOT NULL,
    phase    TEXT,
    saved_at INTEGER NOT NULL
) STRICT;
INSERT INTO "checkpoints" VALUES('01a2310a-00f7-7004-bdac-f9dbac9bc851',1,'{"at":3}',NULL,1796119068927108);
CREATE TABLE controls (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    limits TEXT,
    pauses TEXT NOT NULL
) STRICT;
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    job_id      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    user_id     TEXT NOT NULL,
    event       TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    at          INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    reason      TEXT,
    UNIQUE (job_id, version)
) STRICT;
INSERT INTO "events" VALUES(1,'01a2310a-00c7-7001-9b47-23441a01f0b8',1,'alice','submit',NULL,'created',1796119068871341,0,0,NULL);
INSERT INTO "events" VALUES(2,'01a2310a-00c7-7001-9b47-23441a01f0b8',2,'alice','enqueue','created','queued',1796119068871341,0,0,NULL);
INSERT INTO "events" VALUES(3,'01a2310a-00c7-7001-9b47-23441a01f0b8',3,'alice','start','queued','running',1796119068877484,1,1,NULL);
INSERT INTO "events" VALUES(4,'01a2310a-00c7-7001-9b47-23441a01f0b8',4,'alice','complete','running','completed',1796119068887462,1,1,NULL);
INSERT INTO "events" VALUES(5,'01a2310a-00dc-7002-91f4-5bfd38b94d23',1,'bob','submit',NULL,'created',1796119068892691,0,0,NULL);
INSERT INTO "events" VALUES(6,'01a2310a-00dc-7002-91f4-5bfd38b94d23',2,'bob','enqueue','created','queued',1796119068892691,0,0,NULL);
INSERT INTO "events" VALUES(7,'01a2310a-00dc-7002-91f4-5bfd38b94d23',3,'bob','start','queued','running',1796119068898729,1,1,NULL);
INSERT INTO "events" VALUES(8,'01a2310a-00dc-7002-91f4-5bfd38b94d23',4,'bob','complete','running','completed',1796119068903462,1,1,NULL);
INSERT INTO "events" VALUES(9,'01a2310a-00ee-7003-a211-997157b1234e',1,'alice','submit',NULL,'created',1796119068910843,0,0,NULL);
INSERT INTO "events" VALUES(10,'01a2310a-00ee-7003-a211-997157b1234e',2,'alice','enqueue','created','queued',1796119068910843,0,0,NULL);
INSERT INTO "events" VALUES(11,'01a2310a-00ee-7003-a211-997157b1234e',3,'alice','start','queued','running',1796119068916377,1,1,NULL);
INSERT INTO "events" VALUES(12,'01a2310a-00ee-7003-a211-997157b1234e',4,'alice','fail','running','failed',1796119068918130,1,1,NULL);
INSERT INTO "events" VALUES(13,'01a2310a-00f7-7004-bdac-f9dbac9bc851',1,'alice','submit',NULL,'created',1796119068919283,0,0,NULL);
INSERT INTO "events" VALUES(14,'01a2310a-00f7-7004-bdac-f9dbac9bc851',2,'alice','enqueue','created','queued',1796119068919283,0,0,NULL);
INSERT INTO "events" VALUES(15,'01a2310a-00f7-7004-bdac-f9dbac9bc851',3,'alice','start','queued','running',1796119068922007,1,1,NULL);
INSERT INTO "events" VALUES(16,'01a2310a-0105-7005-8b68-5ab01634dd9c',1,'bob','submit',NULL,'created',1796119068933092,0,0,NULL);
INSERT INTO "events" VALUES(17,'01a2310a-0105-7006-88ab-40fddd640ad3',1,'bob','submit',NULL,'created',1796119068933924,0,0,NULL);
INSERT INTO "events" VALUES(18,'01a2310a-00f7-7004-bdac-f9dbac9bc851',5,'alice','interrupt','running','queued',1796119068939801,0,1,'the server stopped');
CREATE TABLE finals (
    user_id  TEXT NOT NULL,
    job_type TEXT NOT NULL,
    status   TEXT NOT NULL,
    jobs     INTEGER NOT NULL CHECK (jobs >= 0),
    PRIMARY KEY (user_id, job_type, status)
) STRICT, WITHOUT ROWID;
INSERT INTO "finals" VALUES('alice','broken','failed',1);
INSERT INTO "finals" VALUES('alice','quick','completed',1);
INSERT INTO "finals" VALUES('bob','quick','completed',1);
CREATE TABLE idempotency (
    user_id     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE jobs (
    row                 INTEGER PRIMARY KEY,
    job_id              TEXT NOT NULL UNIQUE,
    job_type            TEXT NOT NULL,
    user_id             TEXT NOT NULL,
    project_id          TEXT NOT NULL,
    timeout_seconds     REAL NOT NULL,
    created_at          INTEGER NOT NULL,
    status              TEXT NOT NULL,
    version             INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0,
    max_attempts        INTEGER NOT NULL,
    attempts_granted    INTEGER NOT NULL,
    run                 INTEGER NOT NULL DEFAULT 0,
    epoch               INTEGER NOT NULL DEFAULT 0,
    losses              INTEGER NOT NULL DEFAULT 0,
    place               TEXT,
    hold                INTEGER NOT NULL DEFAULT 0,
    start_at            INTEGER,
    retry_at            INTEGER,
    key_level           REAL,
    key_turn            INTEGER,
    key_arrival         INTEGER,
    progress            INTEGER NOT NULL DEFAULT 0,
    phase               TEXT,
    message             TEXT,
    queued_at           INTEGER,
    started_at          INTEGER,
    finished_at         INTEGER,
    updated_at          INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    cancel_reason       TEXT,
    labels              TEXT,
    options             TEXT,
    progress_detail     TEXT,
    phases              TEXT,
    checkpoint          TEXT,
    result              TEXT,
    error               TEXT,
    warnings            TEXT,
    attempts            TEXT, limits TEXT,
    -- What the code might forget. One CASE: it takes a third of the time of a list of rules.
    CHECK (
        CASE status
            WHEN 'created' THEN finished_at IS NULL AND progress < 100
            WHEN 'queued' THEN finished_at IS NULL AND progress < 100
            WHEN 'running' THEN
                finished_at IS NULL AND progress < 100 AND started_at IS NOT NULL AND run > 0
            WHEN 'completed' THEN
                finished_at IS NOT NULL AND progress <= 100 AND place IS NULL
                AND result IS NOT NULL
            WHEN 'failed' THEN
                finished_at IS NOT NULL AND progress < 100 AND place IS NULL AND error IS NOT NULL
            WHEN 'cancelled' THEN
                finished_at IS NOT NULL AND progress < 100 AND place IS NULL AND error IS NOT NULL
            ELSE 0
        END
    ),
    CHECK (version > 0 AND progress >= 0 AND attempt >= 0 AND run >= 0),
    CHECK (place IS NULL OR place = 'head' OR place = 'follower')
) STRICT;
INSERT INTO "jobs" VALUES(1,'01a2310a-00c7-7001-9b47-23441a01f0b8','quick','alice','p',3600.0,1796119068871341,'completed',4,5,1,3,3,1,1,0,NULL,0,NULL,NULL,2.99353128145230785008e+07,0,1,100,'reading','half',1796119068871341,1796119068877484,1796119068887431,1796119068887462,NULL,NULL,'{"origin":"ci"}','{"name":"ä"}','{"done":null,"total":null,"unit":null,"current_item":null,"rate_per_second":null,"eta_seconds":null,"progress_at":"2026-12-01T09:57:48.887332Z","waiting_for":null,"stalled":false,"memory_bytes":null,"cpu_seconds":null}','[{"name":"reading","status":"completed","weight":0.0,"progress":100,"started_at":"2026-12-01T09:57:48.887302Z","finished_at":"2026-12-01T09:57:48.887348Z","message":"half","result":null}]',NULL,'{"seen":1}',NULL,NULL,'[{"attempt":1,"started_at":"2026-12-01T09:57:48.877484Z","finished_at":"2026-12-01T09:57:48.887431Z","outcome":"completed","error":null}]',NULL);
INSERT INTO "jobs" VALUES(2,'01a2310a-00dc-7002-91f4-5bfd38b94d23','quick','bob','p',3600.0,1796119068892691,'completed',4,5,1,3,3,1,1,0,NULL,0,NULL,NULL,2.99353128148786686371e+07,1,2,100,'reading','half',1796119068892691,1796119068898729,1796119068903437,1796119068903462,NULL,NULL,'{"origin":"ci"}','{"name":"ä"}','{"done":null,"total":null,"unit":null,"current_item":null,"rate_per_second":null,"eta_seconds":null,"progress_at":"2026-12-01T09:57:48.903389Z","waiting_for":null,"stalled":false,"memory_bytes":null,"cpu_seconds":null}','[{"name":"reading","status":"completed","weight":0.0,"progress":100,"started_at":"2026-12-01T09:57:48.903363Z","finished_at":"2026-12-01T09:57:48.903403Z","message":"half","result":null}]',NULL,'{"seen":1}',NULL,NULL,'[{"attempt":1,"started_at":"2026-12-01T09:57:48.898729Z","finished_at":"2026-12-01T09:57:48.903437Z","outcome":"completed","error":null}]',NULL);
INSERT INTO "jobs" VALUES(3,'01a2310a-00ee-7003-a211-997157b1234e','broken','alice','q',3600.0,1796119068910843,'failed',4,5,1,1,1,1,1,0,NULL,0,NULL,NULL,2.99353128151811882853e+07,2,3,0,NULL,NULL,1796119068910843,1796119068916377,1796119068918112,1796119068918130,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"code":"HANDLER_ERROR","category":"system","severity":"recoverable","retryable":true,"message":"the job''s code raised RuntimeError: it broke","phase":null,"occurred_at":"2026-12-01T09:57:48.918088Z","actions":["Retry the job.","Look for the error in the server''s log."]}',NULL,'[{"attempt":1,"started_at":"2026-12-01T09:57:48.916377Z","finished_at":"2026-12-01T09:57:48.918112Z","outcome":"failed","error":{"code":"HANDLER_ERROR","category":"system","severity":"recoverable","retryable":true,"message":"the job''s code raised RuntimeError: it broke","phase":null,"occurred_at":"2026-12-01T09:57:48.918088Z","actions":["Retry the job.","Look for the error in the server''s log."]}}]',NULL);
INSERT INTO "jobs" VALUES(4,'01a2310a-00f7-7004-bdac-f9dbac9bc851','slow','alice','r',3600.0,1796119068919283,'queued',5,5,0,3,3,1,1,0,NULL,0,NULL,NULL,2.99353128153218217191e+07,3,4,0,NULL,NULL,1796119068919283,NULL,NULL,1796119068939801,NULL,NULL,NULL,NULL,NULL,NULL,'{"phase":null,"saved_at":"2026-12-01T09:57:48.927108Z"}',NULL,NULL,NULL,'[{"attempt":1,"started_at":"2026-12-01T09:57:48.922007Z","finished_at":"2026-12-01T09:57:48.939772Z","outcome":"interrupted","error":null}]',NULL);
INSERT INTO "jobs" VALUES(5,'01a2310a-0105-7005-8b68-5ab01634dd9c','quick','bob','h',3600.0,1796119068933092,'created',1,5,0,3,3,0,0,0,NULL,1,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,1796119068933092,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(6,'01a2310a-0105-7006-88ab-40fddd640ad3','quick','bob','k',3600.0,1796119068933924,'created',1,5,0,3,3,0,0,0,NULL,1,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,1796119068933924,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[{"key":["tenant:7","bob"],"limit":1,"set_at":1796119068.9339395}]');
CREATE TABLE migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
;
INSERT INTO "migrations" VALUES(1,'jobs','da98e033a68713cd9fff7698970f076dc022904f0b2ce24521be892dd8a5dd83',1796119068809181);
INSERT INTO "migrations" VALUES(2,'location','a2516da1d050d0693867df417ddb7198796d8e240cd948704014ba4b35b00b2f',1796119068809181);
INSERT INTO "migrations" VALUES(3,'accounts','f8aa1aa86960e7e48c86c6e79ad082dfc2f6f02e171f0035d8d904001de96db8',1796119068809181);
INSERT INTO "migrations" VALUES(4,'limits','b1cfb5cc8b2a7d7f3f5c87e41896ed368bc0c1d63f02f204e9c98fffa2fc76bf',1796119068809181);
INSERT INTO "migrations" VALUES(5,'lines','939ca4f5333374948d61ab95e41623f6ea37e87f68c60a97851e73c47f19e55b',1796119068809181);
CREATE TABLE owner (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    uuid            TEXT NOT NULL,
    epoch           INTEGER NOT NULL,   -- grows at each start; every batch checks it
    batch           INTEGER NOT NULL,   -- grows with each transaction of the writer
    sequence        INTEGER NOT NULL,   -- the last number of the log that was given out
    pruned_sequence INTEGER NOT NULL,   -- the highest number that was deleted from the log
    clock_seconds   REAL NOT NULL       -- the engine clock at the last write
, location TEXT) STRICT;
INSERT INTO "owner" VALUES(1,'7f0f012b-021c-4113-ae81-48a82aef08b8',1,17,18,0,1.7961190689398927689e+09,NULL);
CREATE TABLE projects (
    user_id          TEXT NOT NULL,
    project_id       TEXT NOT NULL,
    repository_url   TEXT,
    branch           TEXT,
    default_branch   TEXT,
    last_commit      TEXT,
    last_synced_at   INTEGER,
    last_job_id      TEXT,
    files_indexed    INTEGER,
    repository_bytes INTEGER,
    index_bytes      INTEGER,
    phase_seconds    TEXT,
    PRIMARY KEY (user_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    token_id     TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    digest       TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    label        TEXT
) STRICT;
INSERT INTO "tokens" VALUES('96d3867c8956b7b5','alice','write','280f9e9bdde3963495697cb9ceaa8f27d7aa58386e86eb551c6c9ab728a66da6',1796119068934649,NULL,NULL,'laptop');
CREATE INDEX jobs_live ON jobs (status, user_id, job_type) WHERE finished_at IS NULL;
CREATE INDEX jobs_final_of_user ON jobs (user_id, job_type, status) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_final ON jobs (job_type, status) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_expiry ON jobs (status, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX events_of_user ON events (user_id);
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE UNIQUE INDEX jobs_head ON jobs (user_id, project_id, job_type) WHERE place = 'head';
CREATE UNIQUE INDEX jobs_follower ON jobs (user_id, project_id, job_type) WHERE place = 'follower';
COMMIT;
