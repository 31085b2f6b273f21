//! Batches in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use uuid::Uuid;

use super::{
    Sqlite, Trouble,
    catalog::{optional_time, time},
    select,
};
use crate::{
    domain::{Batch, BatchJob, BatchMetrics, BatchOutcome, BatchStatus},
    store::{
        Admission, BatchStore, ReadStore, Select, Selected, StoreError,
        batches::{LONGEST_LIST, MOST_CLAIMED},
        reader::LONGEST_SELECT,
        record::{BATCH_COLUMNS, batch_status, from_bigint, to_bigint},
    },
};

#[async_trait]
impl BatchStore for Sqlite {
    async fn create_batch(&self, batch: &Batch, quota: u32) -> Result<Admission, StoreError> {
        let batch = batch.clone();
        self.write(move |transaction| create(transaction, &batch, quota)).await
    }

    async fn batch_submitted(
        &self,
        id: Uuid,
        task: Uuid,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |transaction| submitted(transaction, id, task, at)).await
    }

    async fn give_up_unsubmitted(&self, reason: &str) -> Result<Vec<Uuid>, StoreError> {
        let reason = reason.to_owned();
        self.write(move |transaction| give_up(transaction, &reason)).await
    }

    async fn batch(&self, user: &str, id: Uuid) -> Result<Option<Batch>, StoreError> {
        let user = user.to_owned();
        self.read(move |connection| one(connection, &user, id)).await
    }

    async fn batch_result(&self, user: &str, id: Uuid) -> Result<Option<String>, StoreError> {
        let user = user.to_owned();
        self.read(move |connection| result(connection, &user, id)).await
    }

    async fn claim_batches(
        &self,
        follower: Uuid,
        lease: Duration,
    ) -> Result<Vec<Batch>, StoreError> {
        self.write(move |transaction| claim(transaction, follower, lease)).await
    }

    async fn renew_batches(&self, follower: Uuid, lease: Duration) -> Result<(), StoreError> {
        self.write(move |transaction| renew(transaction, follower, lease)).await
    }

    async fn batch_running(&self, id: Uuid) -> Result<(), StoreError> {
        self.write(move |transaction| running(transaction, id)).await
    }

    async fn finish_batch(
        &self,
        id: Uuid,
        outcome: &BatchOutcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let outcome = outcome.clone();
        self.write(move |transaction| finish(transaction, id, &outcome, at)).await
    }
}

#[async_trait]
impl ReadStore for Sqlite {
    async fn batches(
        &self,
        user: &str,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, StoreError> {
        let user = user.to_owned();
        self.read(move |connection| list(connection, &user, status)).await
    }

    async fn select(&self, select: &Select) -> Result<Selected, StoreError> {
        let select = select.clone();
        let limit = LONGEST_SELECT.min(self.patience.mul_f32(0.8));
        self.read(move |connection| select::ask(connection, &select, limit)).await
    }
}

/// The one writer, and the lock that its transaction begins with, keep others out meanwhile.
fn create(transaction: &Connection, batch: &Batch, quota: u32) -> Result<Admission, Trouble> {
    let same = "SELECT id FROM batches \
         WHERE username = ?1 AND input_file = ?2 AND finished_at IS NULL";
    let parameters = [&batch.user, &batch.job.input_file];
    if let Some(id) = transaction.query_row(same, parameters, |row| row.get(0)).optional()? {
        return Ok(Admission::SameInput(id));
    }
    let open = "SELECT count(*) FROM batches WHERE username = ?1 AND finished_at IS NULL";
    let open: u32 = transaction.query_row(open, [&batch.user], |row| row.get(0))?;
    if quota > 0 && open >= quota {
        return Ok(Admission::OverQuota);
    }
    insert(transaction, batch)?;
    Ok(Admission::Admitted)
}

fn insert(transaction: &Connection, batch: &Batch) -> Result<(), Trouble> {
    let job = &batch.job;
    let patience =
        batch.submit_by.as_microsecond().saturating_sub(batch.created_at.as_microsecond());
    transaction.execute(
        "INSERT INTO batches (id, username, key_id, cluster, framework, endpoint, model, \
         compute_endpoint, input_file, output_folder, status, created_at, submit_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            batch.id,
            batch.user,
            batch.key_id,
            job.cluster,
            job.framework,
            job.endpoint,
            job.model,
            job.compute_endpoint,
            job.input_file,
            job.output_folder,
            batch.status.as_str(),
            batch.created_at.as_microsecond(),
            Timestamp::now().as_microsecond().saturating_add(patience),
        ],
    )?;
    Ok(())
}

fn submitted(
    transaction: &Connection,
    id: Uuid,
    task: Uuid,
    at: Timestamp,
) -> Result<bool, Trouble> {
    // The same task once more: an answer to the first attempt got lost.
    let update = "UPDATE batches SET task = ?2, submitted_at = ?3 \
         WHERE id = ?1 AND finished_at IS NULL AND (task IS NULL OR task = ?2)";
    Ok(transaction.execute(update, params![id, task, at.as_microsecond()])? > 0)
}

fn give_up(transaction: &Connection, reason: &str) -> Result<Vec<Uuid>, Trouble> {
    let update = "UPDATE batches SET status = 'failed', finished_at = ?2, error = ?1 \
         WHERE finished_at IS NULL AND task IS NULL AND submit_by < ?2 RETURNING id";
    let mut update = transaction.prepare_cached(update)?;
    let ids = update
        .query_map(params![reason, Timestamp::now().as_microsecond()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(ids)
}

fn list(
    connection: &Connection,
    user: &str,
    status: Option<BatchStatus>,
) -> Result<Vec<Batch>, Trouble> {
    let query = format!(
        "SELECT {BATCH_COLUMNS} FROM batches WHERE username = ?1 \
         AND (?2 IS NULL OR status = ?2) ORDER BY id DESC LIMIT {LONGEST_LIST}"
    );
    all(connection, &query, params![user, status.map(BatchStatus::as_str)])
}

fn one(connection: &Connection, user: &str, id: Uuid) -> Result<Option<Batch>, Trouble> {
    let query = format!("SELECT {BATCH_COLUMNS} FROM batches WHERE id = ?1 AND username = ?2");
    Ok(all(connection, &query, params![id, user])?.pop())
}

fn result(connection: &Connection, user: &str, id: Uuid) -> Result<Option<String>, Trouble> {
    let query = "SELECT result FROM batches WHERE id = ?1 AND username = ?2";
    let result = connection.query_row(query, params![id, user], |row| row.get(0)).optional()?;
    Ok(result.flatten())
}

fn claim(transaction: &Connection, follower: Uuid, lease: Duration) -> Result<Vec<Batch>, Trouble> {
    let update = format!(
        "UPDATE batches SET follower = ?1, leased_until = ?3 \
         WHERE id IN (SELECT id FROM batches WHERE finished_at IS NULL AND task IS NOT NULL \
             AND (leased_until IS NULL OR leased_until < ?2 OR follower = ?1) \
             ORDER BY leased_until NULLS FIRST LIMIT {MOST_CLAIMED}) \
         RETURNING {BATCH_COLUMNS}"
    );
    let (now, until) = from_now(lease);
    all(transaction, &update, params![follower, now, until])
}

fn renew(transaction: &Connection, follower: Uuid, lease: Duration) -> Result<(), Trouble> {
    let update = "UPDATE batches SET leased_until = ?3 \
         WHERE finished_at IS NULL AND follower = ?1 AND leased_until >= ?2";
    let (now, until) = from_now(lease);
    transaction.execute(update, params![follower, now, until])?;
    Ok(())
}

/// Now, and the end of a lease that begins now, in microseconds. All processes that share an SQLite
/// file share the machine's clock.
fn from_now(lease: Duration) -> (i64, i64) {
    let now = Timestamp::now().as_microsecond();
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    (now, now.saturating_add(lease))
}

fn running(transaction: &Connection, id: Uuid) -> Result<(), Trouble> {
    let update = "UPDATE batches SET status = 'running' WHERE id = ?1 AND finished_at IS NULL";
    transaction.execute(update, [id])?;
    Ok(())
}

fn finish(
    transaction: &Connection,
    id: Uuid,
    outcome: &BatchOutcome,
    at: Timestamp,
) -> Result<bool, Trouble> {
    let metrics = outcome.metrics();
    let finished = transaction.execute(
        "UPDATE batches SET status = ?2, finished_at = ?3, result = ?4, error = ?5, \
         total_tokens = ?6, responses = ?7 \
         WHERE id = ?1 AND (finished_at IS NULL OR (result IS NULL AND ?4 IS NOT NULL))",
        params![
            id,
            outcome.status().as_str(),
            at.as_microsecond(),
            outcome.result(),
            outcome.error(),
            metrics.total_tokens.map(to_bigint),
            metrics.responses.map(to_bigint),
        ],
    )?;
    Ok(finished > 0)
}

fn all(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
) -> Result<Vec<Batch>, Trouble> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        batches.push(read(row)?);
    }
    Ok(batches)
}

/// Reads [`BATCH_COLUMNS`].
fn read(row: &Row<'_>) -> Result<Batch, Trouble> {
    let id: Uuid = row.get(0)?;
    let object = format!("batch {id}");
    let number = |column: usize| -> Result<Option<u64>, Trouble> {
        let number: Option<i64> = row.get(column)?;
        Ok(number.map(|number| from_bigint(&object, number)).transpose()?)
    };
    let status: String = row.get(11)?;
    Ok(Batch {
        id,
        user: row.get(1)?,
        key_id: row.get(2)?,
        job: BatchJob {
            cluster: row.get(3)?,
            framework: row.get(4)?,
            endpoint: row.get(5)?,
            model: row.get(6)?,
            compute_endpoint: row.get(7)?,
            input_file: row.get(8)?,
            output_folder: row.get(9)?,
        },
        task: row.get(10)?,
        status: batch_status(&object, &status)?,
        created_at: time(row, 12)?,
        submit_by: time(row, 13)?,
        submitted_at: optional_time(row, 14)?,
        finished_at: optional_time(row, 15)?,
        error: row.get(16)?,
        metrics: BatchMetrics { total_tokens: number(17)?, responses: number(18)? },
    })
}
