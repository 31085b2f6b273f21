-- Sums of usage by hour and by day, which stay when the rows they were made from go. They are kept up
-- to date by one task of one instance; nothing on the way of a request changes them.

-- Rows that are in no sum yet: their ids, in lists of at most 5,000. A trigger fills it, so that rows
-- count which an older program writes, and no row counts that was there already.
CREATE TABLE usage_pending (
    batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ids   uuid[] NOT NULL
);

-- Requests with a status below 400 have succeeded; durations are sums of microseconds.
CREATE TABLE usage_hourly (
    hour              timestamptz NOT NULL,
    cluster           text NOT NULL,
    endpoint          text NOT NULL,
    model             text NOT NULL,
    requests          bigint NOT NULL,
    succeeded         bigint NOT NULL,
    client_errors     bigint NOT NULL,
    server_errors     bigint NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    duration_us       bigint NOT NULL,
    PRIMARY KEY (hour, cluster, endpoint, model)
);

-- Days are those of UTC.
CREATE TABLE usage_daily (
    day               date NOT NULL,
    username          text NOT NULL,
    cluster           text NOT NULL,
    endpoint          text NOT NULL,
    model             text NOT NULL,
    requests          bigint NOT NULL,
    succeeded         bigint NOT NULL,
    client_errors     bigint NOT NULL,
    server_errors     bigint NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    duration_us       bigint NOT NULL,
    PRIMARY KEY (day, username, cluster, endpoint, model)
);
CREATE INDEX usage_daily_by_user ON usage_daily (username, day);

-- How often a request that succeeded took how long. measure: 1 microseconds to the end, 2
-- microseconds to the first byte, 3 tokens written in 1,000 seconds. A value v is in the bucket
-- floor(4 * log2(v)).
CREATE TABLE usage_latency (
    day      date NOT NULL,
    cluster  text NOT NULL,
    endpoint text NOT NULL,
    model    text NOT NULL,
    measure  smallint NOT NULL,
    bucket   smallint NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (day, cluster, endpoint, model, measure, bucket)
);

-- Which process does what one process at a time does, and until when that is nobody else's business.
CREATE TABLE upkeep (
    task         text PRIMARY KEY,
    holder       uuid NOT NULL,
    leased_until timestamptz NOT NULL
);

-- What was asked and answered, as far as it is stored (logging.prompts). The id is that of the usage.
CREATE TABLE prompts (
    id         uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    prompt     text NOT NULL,
    answer     text
);
CREATE INDEX prompts_by_time ON prompts (started_at);

CREATE FUNCTION note_usage_pending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_pending (ids)
    SELECT array_agg(id) FROM (SELECT id, row_number() OVER () AS number FROM written) AS numbered
    GROUP BY number / 5000;
    RETURN NULL;
END
$$;

CREATE TRIGGER usage_pending AFTER INSERT ON usage REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION note_usage_pending();
