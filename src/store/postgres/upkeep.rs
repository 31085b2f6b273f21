//! Sums of usage, and deleting old rows, in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{Postgres, error::Trouble, run};
use crate::store::{Aging, Deleted, Span, StoreError, UpkeepStore};

/// The task's row in `upkeep`.
const TASK: &str = "rows";

/// Held while sums are changed: two transactions that add to the same ones would wait for each other.
const LOCK: i64 = 0x6669_6777_0002;

/// What is pending is added to the sums until it comes from at least so many rows.
const MOST_ROWS: i64 = 20_000;

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Takes the oldest of what is pending, and adds it to the sums, all in one statement.
const ROLL_UP: &str = "
WITH chosen AS (
    SELECT batch FROM (
        SELECT batch, sum(requests) OVER (ORDER BY batch) - requests AS before
        FROM (SELECT batch, requests FROM usage_pending ORDER BY batch LIMIT $1) AS oldest
    ) AS counted WHERE before < $1
), taken AS (
    DELETE FROM usage_pending USING chosen WHERE usage_pending.batch = chosen.batch
    RETURNING usage_pending.*, (hour AT TIME ZONE 'UTC')::date AS day
), hourly AS (
    INSERT INTO usage_hourly AS sums
    SELECT hour, cluster, endpoint, model, sum(requests), sum(succeeded), sum(client_errors),
           sum(server_errors), sum(prompt_tokens), sum(completion_tokens), sum(duration_us)
    FROM taken GROUP BY hour, cluster, endpoint, model
    ON CONFLICT (hour, cluster, endpoint, model) DO UPDATE SET
        requests = sums.requests + excluded.requests,
        succeeded = sums.succeeded + excluded.succeeded,
        client_errors = sums.client_errors + excluded.client_errors,
        server_errors = sums.server_errors + excluded.server_errors,
        prompt_tokens = sums.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = sums.completion_tokens + excluded.completion_tokens,
        duration_us = sums.duration_us + excluded.duration_us
), daily AS (
    INSERT INTO usage_daily AS sums
    SELECT day, username, cluster, endpoint, model, sum(requests), sum(succeeded),
           sum(client_errors), sum(server_errors), sum(prompt_tokens), sum(completion_tokens),
           sum(duration_us)
    FROM taken GROUP BY day, username, cluster, endpoint, model
    ON CONFLICT (day, username, cluster, endpoint, model) DO UPDATE SET
        requests = sums.requests + excluded.requests,
        succeeded = sums.succeeded + excluded.succeeded,
        client_errors = sums.client_errors + excluded.client_errors,
        server_errors = sums.server_errors + excluded.server_errors,
        prompt_tokens = sums.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = sums.completion_tokens + excluded.completion_tokens,
        duration_us = sums.duration_us + excluded.duration_us
), latency AS (
    INSERT INTO usage_latency AS sums
    SELECT day, cluster, endpoint, model, measure, bucket, sum(measured.requests)
    FROM taken, LATERAL (
        SELECT measure, bucket, count(*) AS requests FROM (
            SELECT 1 AS measure, unnest(durations) AS bucket
            UNION ALL SELECT 2, unnest(first_bytes)
            UNION ALL SELECT 3, unnest(speeds)
        ) AS buckets WHERE bucket IS NOT NULL GROUP BY measure, bucket
    ) AS measured
    GROUP BY day, cluster, endpoint, model, measure, bucket
    ON CONFLICT (day, cluster, endpoint, model, measure, bucket) DO UPDATE SET
        requests = sums.requests + excluded.requests
)
SELECT coalesce(sum(requests), 0)::int8 FROM taken";

async fn roll_up(client: &mut Client) -> Result<Option<u64>, Trouble> {
    let transaction = client.transaction().await?;
    let lock: [Parameter<'_>; 1] = [(&LOCK, Type::INT8)];
    let question = "SELECT pg_try_advisory_xact_lock($1)";
    if !transaction.query_typed_one(question, &lock).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let most: [Parameter<'_>; 1] = [(&MOST_ROWS, Type::INT8)];
    let rows: i64 = transaction.query_typed_one(ROLL_UP, &most).await?.try_get(0)?;
    transaction.commit().await?;
    Ok(Some(u64::try_from(rows).unwrap_or_default()))
}

/// Rows are found by `started_at`, whose index all of these tables have.
async fn delete_old(
    client: &Client,
    table: Aging,
    span: Span,
    most: u32,
) -> Result<Deleted, Trouble> {
    let table = table.table();
    let delete = format!(
        "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} \
         WHERE started_at >= $1 AND started_at < $2 ORDER BY started_at LIMIT $3)) \
         RETURNING started_at) SELECT count(*), max(started_at) FROM gone"
    );
    // Earlier times than the database knows are as good as its earliest.
    let from = span.from.max(Timestamp::UNIX_EPOCH);
    let most = i64::from(most);
    let parameters: [Parameter<'_>; 3] =
        [(&from, Type::TIMESTAMPTZ), (&span.until, Type::TIMESTAMPTZ), (&most, Type::INT8)];
    let row = client.query_typed_one(&delete, &parameters).await?;
    let rows: i64 = row.try_get(0)?;
    Ok(Deleted { rows: u64::try_from(rows).unwrap_or_default(), up_to: row.try_get(1)? })
}

async fn lease(client: &Client, holder: Uuid, lease: Duration) -> Result<bool, Trouble> {
    let upsert = "INSERT INTO upkeep (task, holder, leased_until) \
         VALUES ($1, $2, now() + make_interval(secs => $3)) \
         ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, \
         leased_until = excluded.leased_until \
         WHERE upkeep.holder = excluded.holder OR upkeep.leased_until <= now()";
    let seconds = lease.as_secs_f64();
    let parameters: [Parameter<'_>; 3] =
        [(&TASK, Type::TEXT), (&holder, Type::UUID), (&seconds, Type::FLOAT8)];
    Ok(client.execute_typed(upsert, &parameters).await? == 1)
}

async fn release(client: &Client, holder: Uuid) -> Result<(), Trouble> {
    let delete = "DELETE FROM upkeep WHERE task = $1 AND holder = $2";
    let parameters: [Parameter<'_>; 2] = [(&TASK, Type::TEXT), (&holder, Type::UUID)];
    client.execute_typed(delete, &parameters).await?;
    Ok(())
}

#[async_trait]
impl UpkeepStore for Postgres {
    async fn lease_upkeep(&self, holder: Uuid, length: Duration) -> Result<bool, StoreError> {
        run!(self, c => lease(c, holder, length))
    }

    async fn release_upkeep(&self, holder: Uuid) -> Result<(), StoreError> {
        run!(self, c => release(c, holder))
    }

    async fn roll_up(&self) -> Result<Option<u64>, StoreError> {
        run!(self, c => roll_up(c))
    }

    async fn delete_old(&self, table: Aging, span: Span, most: u32) -> Result<Deleted, StoreError> {
        run!(self, c => delete_old(c, table, span, most))
    }
}
