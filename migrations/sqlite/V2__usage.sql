-- What is written down of every request: append-only, in the order of the ids (UUIDv7).
-- Times are microseconds since 1970-01-01 UTC; ids are their 16 bytes.

CREATE TABLE usage (
    id                BLOB PRIMARY KEY,
    request_id        TEXT NOT NULL,
    started_at        INTEGER NOT NULL,
    username          TEXT NOT NULL,
    key_id            BLOB,
    cluster           TEXT NOT NULL,
    framework         TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    model             TEXT NOT NULL,
    route             TEXT NOT NULL,
    streamed          INTEGER NOT NULL,
    status            INTEGER NOT NULL,
    backend_status    INTEGER,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    tokens_estimated  INTEGER NOT NULL,
    first_byte_us     INTEGER,
    duration_us       INTEGER NOT NULL,
    request_bytes     INTEGER NOT NULL,
    response_bytes    INTEGER NOT NULL,
    error             TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_time ON usage (started_at);
CREATE INDEX usage_by_user ON usage (username, started_at);
CREATE INDEX usage_by_model ON usage (model, started_at);
CREATE INDEX usage_by_cluster ON usage (cluster, started_at);
-- Nobody looks for what went well, which is nearly all.
CREATE INDEX usage_by_status ON usage (status, started_at) WHERE status <> 200;

CREATE TABLE access (
    id          BLOB PRIMARY KEY,
    request_id  TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    username    TEXT NOT NULL,
    key_id      BLOB,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    status      INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    model       TEXT,
    error       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX access_by_time ON access (started_at);
CREATE INDEX access_by_user ON access (username, started_at);
CREATE INDEX access_by_model ON access (model, started_at) WHERE model IS NOT NULL;
CREATE INDEX access_by_status ON access (status, started_at) WHERE status <> 200;
