-- Sums of usage by hour and by day, which stay when the rows they were made from go. They are kept up
-- to date by one task of one instance; nothing on the way of a request changes them.

-- What is in no sum yet: what each statement has written to `usage`, by hour and user. A trigger fills
-- it, so that rows count which an older program writes. The last three are buckets as in `usage_latency`,
-- one for each request that succeeded; `ids` tells V6 which rows it need not count, and is empty since.
CREATE TABLE usage_pending (
    batch             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour              timestamptz NOT NULL,
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
    durations         smallint[],
    first_bytes       smallint[],
    speeds            smallint[],
    ids               uuid[]
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
    INSERT INTO usage_pending (hour, username, cluster, endpoint, model, requests, succeeded,
        client_errors, server_errors, prompt_tokens, completion_tokens, duration_us, durations,
        first_bytes, speeds, ids)
    SELECT date_trunc('hour', started_at, 'UTC'), username, cluster, endpoint, model, count(*),
        count(*) FILTER (WHERE status < 400), count(*) FILTER (WHERE status BETWEEN 400 AND 499),
        count(*) FILTER (WHERE status >= 500), sum(prompt_tokens), sum(completion_tokens),
        sum(duration_us),
        array_agg(floor(4 * ln(greatest(duration_us, 1)::float8) / ln(2::float8))::smallint)
            FILTER (WHERE status < 400 AND duration_us >= 1),
        array_agg(floor(4 * ln(greatest(first_byte_us, 1)::float8) / ln(2::float8))::smallint)
            FILTER (WHERE status < 400 AND first_byte_us >= 1),
        array_agg(floor(4 * ln(greatest(completion_tokens * 1e9::float8 / greatest(duration_us, 1), 1))
                / ln(2::float8))::smallint)
            FILTER (WHERE status < 400 AND duration_us >= 1
                AND completion_tokens * 1e9::float8 >= duration_us),
        array_agg(id)
    FROM written GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END
$$;

CREATE TRIGGER usage_pending AFTER INSERT ON usage REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION note_usage_pending();
