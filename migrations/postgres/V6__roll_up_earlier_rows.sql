-- Rows from before the trigger of V5 are to be summed up, too. Those that have come since are noted.
INSERT INTO usage_pending (ids)
SELECT array_agg(id) FROM (
    SELECT id, row_number() OVER () AS number FROM usage
    WHERE NOT EXISTS (SELECT FROM usage_pending)
       OR id NOT IN (SELECT unnest(ids) FROM usage_pending)
) AS earlier
GROUP BY number / 5000;
