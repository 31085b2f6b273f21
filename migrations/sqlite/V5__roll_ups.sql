-- As on PostgreSQL. Times are microseconds, days are texts such as 2026-01-31; `usage_pending` has what
-- the sums need of each row: triggers run for each.

CREATE TABLE usage_pending (
    id                BLOB PRIMARY KEY,
    started_at        INTEGER NOT NULL,
    username          TEXT NOT NULL,
    cluster           TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    model             TEXT NOT NULL,
    status            INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    first_byte_us     INTEGER,
    duration_us       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_hourly (
    hour              INTEGER NOT NULL,
    cluster           TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    model             TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    succeeded         INTEGER NOT NULL,
    client_errors     INTEGER NOT NULL,
    server_errors     INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    duration_us       INTEGER NOT NULL,
    PRIMARY KEY (hour, cluster, endpoint, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_daily (
    day               TEXT NOT NULL,
    username          TEXT NOT NULL,
    cluster           TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    model             TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    succeeded         INTEGER NOT NULL,
    client_errors     INTEGER NOT NULL,
    server_errors     INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    duration_us       INTEGER NOT NULL,
    PRIMARY KEY (day, username, cluster, endpoint, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_daily_by_user ON usage_daily (username, day);

CREATE TABLE usage_latency (
    day      TEXT NOT NULL,
    cluster  TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model    TEXT NOT NULL,
    measure  INTEGER NOT NULL,
    bucket   INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (day, cluster, endpoint, model, measure, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE upkeep (
    task         TEXT PRIMARY KEY,
    holder       BLOB NOT NULL,
    leased_until INTEGER NOT NULL
) STRICT;

CREATE TABLE prompts (
    id         BLOB PRIMARY KEY,
    started_at INTEGER NOT NULL,
    prompt     TEXT NOT NULL,
    answer     TEXT
) STRICT;
CREATE INDEX prompts_by_time ON prompts (started_at);

CREATE TRIGGER usage_pending AFTER INSERT ON usage BEGIN
    -- What was deleted and is written once more may be pending still.
    INSERT OR IGNORE INTO usage_pending (id, started_at, username, cluster, endpoint, model, status,
        prompt_tokens, completion_tokens, first_byte_us, duration_us)
    VALUES (new.id, new.started_at, new.username, new.cluster, new.endpoint, new.model, new.status,
        new.prompt_tokens, new.completion_tokens, new.first_byte_us, new.duration_us);
END;
