-- Submitted tasks, with their results until those are pruned. One is open as long as it has not finished.
-- Times are microseconds since 1970-01-01 UTC; ids are their 16 bytes.

CREATE TABLE tasks (
    -- Globus Compute's own id.
    id               BLOB PRIMARY KEY,
    username         TEXT NOT NULL,
    cluster          TEXT NOT NULL,
    framework        TEXT NOT NULL,
    endpoint         TEXT NOT NULL,
    model            TEXT NOT NULL,
    compute_endpoint BLOB NOT NULL,
    submitted_at     INTEGER NOT NULL,
    finished_at      INTEGER,
    result           TEXT,
    error            TEXT,
    -- Until when nobody (else) may ask the service after it.
    leased_until     INTEGER,
    CHECK ((finished_at IS NULL) = (result IS NULL AND error IS NULL))
) STRICT;
CREATE INDEX tasks_open ON tasks (leased_until) WHERE finished_at IS NULL;
CREATE INDEX tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;
