-- Rows from before the trigger of V5 are to be summed up, too. Those that have come since are noted.
INSERT INTO usage_pending (hour, username, cluster, endpoint, model, requests, succeeded,
    client_errors, server_errors, prompt_tokens, completion_tokens, duration_us, durations,
    first_bytes, speeds)
SELECT date_trunc('hour', started_at, 'UTC'), username, cluster, endpoint, model, count(*),
    count(*) FILTER (WHERE status < 400), count(*) FILTER (WHERE status BETWEEN 400 AND 499),
    count(*) FILTER (WHERE status >= 500), sum(prompt_tokens), sum(completion_tokens),
    sum(duration_us),
    array_agg(latency_bucket(duration_us)) FILTER (WHERE status < 400),
    array_agg(latency_bucket(first_byte_us)) FILTER (WHERE status < 400),
    array_agg(latency_bucket(completion_tokens * 1e9::float8 / nullif(duration_us, 0)))
        FILTER (WHERE status < 400)
FROM usage
WHERE id NOT IN (SELECT unnest(ids) FROM usage_pending WHERE ids IS NOT NULL)
GROUP BY 1, 2, 3, 4, 5;

-- From now on nobody needs to know which rows they were.
CREATE OR REPLACE FUNCTION note_usage_pending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_pending (hour, username, cluster, endpoint, model, requests, succeeded,
        client_errors, server_errors, prompt_tokens, completion_tokens, duration_us, durations,
        first_bytes, speeds)
    SELECT date_trunc('hour', started_at, 'UTC'), username, cluster, endpoint, model, count(*),
        count(*) FILTER (WHERE status < 400), count(*) FILTER (WHERE status BETWEEN 400 AND 499),
        count(*) FILTER (WHERE status >= 500), sum(prompt_tokens), sum(completion_tokens),
        sum(duration_us),
        array_agg(latency_bucket(duration_us)) FILTER (WHERE status < 400),
        array_agg(latency_bucket(first_byte_us)) FILTER (WHERE status < 400),
        array_agg(latency_bucket(completion_tokens * 1e9::float8 / nullif(duration_us, 0)))
            FILTER (WHERE status < 400)
    FROM written GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END
$$;
ALTER TABLE usage_pending DROP COLUMN ids;
