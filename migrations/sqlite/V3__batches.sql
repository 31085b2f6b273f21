-- Batches, with their results. One is open as long as it has not finished.
-- Times are microseconds since 1970-01-01 UTC; ids are their 16 bytes.

CREATE TABLE batches (
    id               BLOB PRIMARY KEY,
    username         TEXT NOT NULL,
    key_id           BLOB,
    cluster          TEXT NOT NULL,
    framework        TEXT NOT NULL,
    endpoint         TEXT NOT NULL,
    model            TEXT NOT NULL,
    compute_endpoint BLOB NOT NULL,
    input_file       TEXT NOT NULL,
    output_folder    TEXT,
    task             BLOB,
    status           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    submit_by        INTEGER NOT NULL,
    submitted_at     INTEGER,
    finished_at      INTEGER,
    error            TEXT,
    total_tokens     INTEGER,
    responses        INTEGER,
    result           TEXT,
    -- Which process asks after it, and until when that is nobody else's business.
    follower         BLOB,
    leased_until     INTEGER
) STRICT;
-- A user has one open batch per input file.
CREATE UNIQUE INDEX batches_open_input ON batches (username, input_file) WHERE finished_at IS NULL;
CREATE INDEX batches_open ON batches (leased_until) WHERE finished_at IS NULL;
CREATE INDEX batches_by_user ON batches (username, id);
