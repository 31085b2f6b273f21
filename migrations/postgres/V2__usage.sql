-- What is written down of every request: append-only, in the order of the ids (UUIDv7).

CREATE TABLE usage (
    id                uuid PRIMARY KEY,
    request_id        text NOT NULL,
    started_at        timestamptz NOT NULL,
    username          text NOT NULL,
    key_id            uuid,
    cluster           text NOT NULL,
    framework         text NOT NULL,
    endpoint          text NOT NULL,
    model             text NOT NULL,
    route             text NOT NULL,
    streamed          boolean NOT NULL,
    status            integer NOT NULL,
    backend_status    integer,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    tokens_estimated  boolean NOT NULL,
    first_byte_us     bigint,
    duration_us       bigint NOT NULL,
    request_bytes     bigint NOT NULL,
    response_bytes    bigint NOT NULL,
    error             text
);
CREATE INDEX usage_by_time ON usage (started_at);
CREATE INDEX usage_by_user ON usage (username, started_at);
CREATE INDEX usage_by_model ON usage (model, started_at);
CREATE INDEX usage_by_cluster ON usage (cluster, started_at);
-- Nobody looks for what went well, which is nearly all.
CREATE INDEX usage_by_status ON usage (status, started_at) WHERE status <> 200;

CREATE TABLE access (
    id          uuid PRIMARY KEY,
    request_id  text NOT NULL,
    started_at  timestamptz NOT NULL,
    username    text NOT NULL,
    key_id      uuid,
    method      text NOT NULL,
    path        text NOT NULL,
    status      integer NOT NULL,
    duration_us bigint NOT NULL,
    model       text,
    error       text
);
CREATE INDEX access_by_time ON access (started_at);
CREATE INDEX access_by_user ON access (username, started_at);
CREATE INDEX access_by_model ON access (model, started_at) WHERE model IS NOT NULL;
CREATE INDEX access_by_status ON access (status, started_at) WHERE status <> 200;
