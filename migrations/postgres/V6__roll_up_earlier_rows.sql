-- Rows from before the trigger of V5 are to be summed up, too. Those that have come since are noted.
INSERT INTO usage_pending (hour, username, cluster, endpoint, model, requests, succeeded,
    client_errors, server_errors, prompt_tokens, completion_tokens, duration_us, durations,
    first_bytes, speeds)
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
            AND completion_tokens * 1e9::float8 >= duration_us)
FROM usage
WHERE NOT EXISTS (SELECT FROM usage_pending, unnest(ids) AS noted (id) WHERE noted.id = usage.id)
GROUP BY 1, 2, 3, 4, 5;

-- From now on nobody needs to know which rows they were. The column stays, for dropping it would keep
-- writers waiting while the rows above are read.
CREATE OR REPLACE FUNCTION note_usage_pending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_pending (hour, username, cluster, endpoint, model, requests, succeeded,
        client_errors, server_errors, prompt_tokens, completion_tokens, duration_us, durations,
        first_bytes, speeds)
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
                AND completion_tokens * 1e9::float8 >= duration_us)
    FROM written GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END
$$;
