-- Batches, with their results. One is open as long as it has not finished.

CREATE TABLE batches (
    id               uuid PRIMARY KEY,
    username         text NOT NULL,
    key_id           uuid,
    cluster          text NOT NULL,
    framework        text NOT NULL,
    endpoint         text NOT NULL,
    model            text NOT NULL,
    compute_endpoint uuid NOT NULL,
    input_file       text NOT NULL,
    output_folder    text,
    task             uuid,
    status           text NOT NULL,
    created_at       timestamptz NOT NULL,
    submit_by        timestamptz NOT NULL,
    submitted_at     timestamptz,
    finished_at      timestamptz,
    error            text,
    total_tokens     bigint,
    responses        bigint,
    result           text,
    -- Which process asks after it, and until when that is nobody else's business.
    follower         uuid,
    leased_until     timestamptz
);
-- A user has one open batch per input file.
CREATE UNIQUE INDEX batches_open_input ON batches (username, input_file) WHERE finished_at IS NULL;
CREATE INDEX batches_open ON batches (leased_until) WHERE finished_at IS NULL;
CREATE INDEX batches_by_user ON batches (username, id);
