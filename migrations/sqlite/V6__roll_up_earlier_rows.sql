-- Rows from before the trigger of V5 are to be summed up, too. Those that have come since are noted.
-- In the order of the ids, for that is the order in which they are kept.
INSERT OR IGNORE INTO usage_pending (id, started_at, username, cluster, endpoint, model, status,
    prompt_tokens, completion_tokens, first_byte_us, duration_us)
SELECT id, started_at, username, cluster, endpoint, model, status, prompt_tokens, completion_tokens,
    first_byte_us, duration_us
FROM usage ORDER BY id;
