-- Submitted tasks, with their results until those are pruned. One is open as long as it has not finished.

CREATE TABLE tasks (
    -- Globus Compute's own id.
    id               uuid PRIMARY KEY,
    username         text NOT NULL,
    cluster          text NOT NULL,
    framework        text NOT NULL,
    endpoint         text NOT NULL,
    model            text NOT NULL,
    compute_endpoint uuid NOT NULL,
    submitted_at     timestamptz NOT NULL,
    finished_at      timestamptz,
    result           text,
    error            text,
    -- Until when nobody (else) may ask the service after it.
    leased_until     timestamptz,
    CHECK ((finished_at IS NULL) = (result IS NULL AND error IS NULL))
);
CREATE INDEX tasks_open ON tasks (leased_until) WHERE finished_at IS NULL;
CREATE INDEX tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;
