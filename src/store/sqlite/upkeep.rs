//! Sums of usage, and deleting old rows, in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, functions::FunctionFlags, params};
use uuid::Uuid;

use super::{
    Sqlite, Trouble,
    tasks::{micros, now},
};
use crate::store::{Aging, Deleted, Span, StoreError, UpkeepStore};

/// The task's row in `upkeep`.
const TASK: &str = "rows";

/// Rows added to the sums at a time; the writer's thread does nothing else meanwhile.
const MOST_ROWS: i64 = 2_000;

/// The rows whose turn it is, as the statements below want them.
const FRESH: &str = "
CREATE TEMPORARY TABLE fresh AS
SELECT id, started_at - started_at % 3600000000 AS hour,
       date(started_at / 1000000, 'unixepoch') AS day, username, cluster, endpoint, model,
       prompt_tokens, completion_tokens, duration_us, first_byte_us, status < 400 AS succeeded,
       status BETWEEN 400 AND 499 AS client_error, status >= 500 AS server_error
FROM usage_pending LIMIT ?1";

/// Adds them to the sums.
const ADD: &str = "
INSERT INTO usage_hourly
SELECT hour, cluster, endpoint, model, count(*), sum(succeeded), sum(client_error),
       sum(server_error), sum(prompt_tokens), sum(completion_tokens), sum(duration_us)
FROM temp.fresh WHERE true GROUP BY hour, cluster, endpoint, model
ON CONFLICT (hour, cluster, endpoint, model) DO UPDATE SET
    requests = requests + excluded.requests,
    succeeded = succeeded + excluded.succeeded,
    client_errors = client_errors + excluded.client_errors,
    server_errors = server_errors + excluded.server_errors,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    duration_us = duration_us + excluded.duration_us;

INSERT INTO usage_daily
SELECT day, username, cluster, endpoint, model, count(*), sum(succeeded), sum(client_error),
       sum(server_error), sum(prompt_tokens), sum(completion_tokens), sum(duration_us)
FROM temp.fresh WHERE true GROUP BY day, username, cluster, endpoint, model
ON CONFLICT (day, username, cluster, endpoint, model) DO UPDATE SET
    requests = requests + excluded.requests,
    succeeded = succeeded + excluded.succeeded,
    client_errors = client_errors + excluded.client_errors,
    server_errors = server_errors + excluded.server_errors,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    duration_us = duration_us + excluded.duration_us;

INSERT INTO usage_latency
SELECT day, cluster, endpoint, model, measure, log_bucket(value), count(*)
FROM (
    SELECT day, cluster, endpoint, model, 1 AS measure, CAST(duration_us AS REAL) AS value
    FROM temp.fresh WHERE succeeded
    UNION ALL
    SELECT day, cluster, endpoint, model, 2, CAST(first_byte_us AS REAL)
    FROM temp.fresh WHERE succeeded
    UNION ALL
    SELECT day, cluster, endpoint, model, 3, completion_tokens * 1e9 / nullif(duration_us, 0)
    FROM temp.fresh WHERE succeeded
) WHERE value >= 1 GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (day, cluster, endpoint, model, measure, bucket) DO UPDATE SET
    requests = requests + excluded.requests;";

/// Teaches the connection `log_bucket(value)`: floor(4 * log2(value)), which SQLite has no words for.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("log_bucket", 1, flags, |context| {
        let value: f64 = context.get(0)?;
        #[allow(clippy::cast_possible_truncation, reason = "logarithms are small")]
        Ok((4.0 * value.ln() / 2_f64.ln()).floor() as i64)
    })
}

fn roll_up(transaction: &Connection) -> Result<Option<u64>, Trouble> {
    transaction.execute_batch("DROP TABLE IF EXISTS temp.fresh")?;
    transaction.execute(FRESH, [MOST_ROWS])?;
    transaction.execute_batch(ADD)?;
    let summed_up = transaction
        .execute("DELETE FROM usage_pending WHERE id IN (SELECT id FROM temp.fresh)", [])?;
    transaction.execute_batch("DROP TABLE temp.fresh")?;
    Ok(Some(summed_up as u64))
}

fn delete_old(
    transaction: &Connection,
    table: Aging,
    span: Span,
    most: u32,
) -> Result<Deleted, Trouble> {
    let table = table.table();
    let (from, until) = (span.from.as_microsecond(), span.until.as_microsecond());
    let up_to: Option<i64> = transaction.query_row(
        &format!(
            "SELECT max(started_at) FROM (SELECT started_at FROM {table} \
             WHERE started_at >= ?1 AND started_at < ?2 ORDER BY started_at LIMIT ?3)"
        ),
        params![from, until, most],
        |row| row.get(0),
    )?;
    let Some(up_to) = up_to else { return Ok(Deleted { rows: 0, up_to: None }) };
    let rows = transaction.execute(
        &format!("DELETE FROM {table} WHERE started_at >= ?1 AND started_at <= ?2"),
        [from, up_to],
    )?;
    Ok(Deleted { rows: rows as u64, up_to: Timestamp::from_microsecond(up_to).ok() })
}

#[async_trait]
impl UpkeepStore for Sqlite {
    async fn lease_upkeep(&self, holder: Uuid, lease: Duration) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            let now = now();
            let taken = transaction.execute(
                "INSERT INTO upkeep (task, holder, leased_until) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, \
                 leased_until = excluded.leased_until \
                 WHERE upkeep.holder = excluded.holder OR upkeep.leased_until <= ?4",
                params![TASK, holder, now.saturating_add(micros(lease)), now],
            )?;
            Ok(taken == 1)
        })
        .await
    }

    async fn release_upkeep(&self, holder: Uuid) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let delete = "DELETE FROM upkeep WHERE task = ?1 AND holder = ?2";
            transaction.execute(delete, params![TASK, holder])?;
            Ok(())
        })
        .await
    }

    async fn roll_up(&self) -> Result<Option<u64>, StoreError> {
        self.write(roll_up).await
    }

    async fn delete_old(&self, table: Aging, span: Span, most: u32) -> Result<Deleted, StoreError> {
        self.write(move |transaction| delete_old(transaction, table, span, most)).await
    }
}
