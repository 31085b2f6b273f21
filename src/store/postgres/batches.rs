//! Batches in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::{Client, Row, Transaction, types::Type};
use uuid::Uuid;

use super::{Postgres, error::Trouble, rows::storable, run, select};
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
impl BatchStore for Postgres {
    async fn create_batch(&self, batch: &Batch, quota: u32) -> Result<Admission, StoreError> {
        run!(self, c => create(c, batch, quota))
    }

    async fn batch_submitted(
        &self,
        id: Uuid,
        task: Uuid,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        run!(self, c => submitted(c, id, task, at))
    }

    async fn give_up_unsubmitted(&self, reason: &str) -> Result<Vec<Uuid>, StoreError> {
        run!(self, c => give_up(c, reason))
    }

    async fn batch(&self, user: &str, id: Uuid) -> Result<Option<Batch>, StoreError> {
        run!(self, c => one(c, user, id))
    }

    async fn batch_result(&self, user: &str, id: Uuid) -> Result<Option<String>, StoreError> {
        run!(self, c => result(c, user, id))
    }

    async fn claim_batches(
        &self,
        follower: Uuid,
        lease: Duration,
    ) -> Result<Vec<Batch>, StoreError> {
        run!(self, c => claim(c, follower, lease))
    }

    async fn renew_batches(&self, follower: Uuid, lease: Duration) -> Result<(), StoreError> {
        run!(self, c => renew(c, follower, lease))
    }

    async fn batch_running(&self, id: Uuid) -> Result<(), StoreError> {
        run!(self, c => running(c, id))
    }

    async fn finish_batch(
        &self,
        id: Uuid,
        outcome: &BatchOutcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        run!(self, c => finish(c, id, outcome, at))
    }
}

#[async_trait]
impl ReadStore for Postgres {
    async fn batches(
        &self,
        user: &str,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, StoreError> {
        run!(self, c => list(c, user, status))
    }

    async fn select(&self, select: &Select) -> Result<Selected, StoreError> {
        // Somewhat earlier than the connection would be given up.
        let limit = LONGEST_SELECT.min(self.patience.mul_f32(0.8));
        run!(self, c => select::ask(c, select, limit))
    }
}

async fn create(client: &mut Client, batch: &Batch, quota: u32) -> Result<Admission, Trouble> {
    let transaction = client.transaction().await?;
    // Whoever else admits a batch of this user's waits here until this transaction has ended.
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('figw batches of ' || $1, 0))";
    transaction.query_typed(lock, &[(&batch.user, Type::TEXT)]).await?;
    let open = "SELECT id, input_file = $2 FROM batches \
         WHERE username = $1 AND finished_at IS NULL";
    let parameters = [(&batch.user as _, Type::TEXT), (&batch.job.input_file as _, Type::TEXT)];
    let open = transaction.query_typed(open, &parameters).await?;
    for row in &open {
        if row.try_get(1)? {
            return Ok(Admission::SameInput(row.try_get(0)?));
        }
    }
    if quota > 0 && open.len() >= quota as usize {
        return Ok(Admission::OverQuota);
    }
    insert(&transaction, batch).await?;
    transaction.commit().await?;
    Ok(Admission::Admitted)
}

async fn insert(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Trouble> {
    let insert = "INSERT INTO batches (id, username, key_id, cluster, framework, endpoint, model, \
         compute_endpoint, input_file, output_folder, status, created_at, submit_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
         clock_timestamp() + ($13::timestamptz - $12::timestamptz))";
    let job = &batch.job;
    transaction
        .execute_typed(
            insert,
            &[
                (&batch.id, Type::UUID),
                (&batch.user, Type::TEXT),
                (&batch.key_id, Type::UUID),
                (&job.cluster, Type::TEXT),
                (&job.framework, Type::TEXT),
                (&job.endpoint, Type::TEXT),
                (&job.model, Type::TEXT),
                (&job.compute_endpoint, Type::UUID),
                (&job.input_file, Type::TEXT),
                (&job.output_folder, Type::TEXT),
                (&batch.status.as_str(), Type::TEXT),
                (&batch.created_at, Type::TIMESTAMPTZ),
                (&batch.submit_by, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(())
}

async fn submitted(client: &Client, id: Uuid, task: Uuid, at: Timestamp) -> Result<bool, Trouble> {
    // The same task once more: an answer to the first attempt got lost.
    let update = "UPDATE batches SET task = $2, submitted_at = $3 \
         WHERE id = $1 AND finished_at IS NULL AND (task IS NULL OR task = $2)";
    let parameters =
        [(&id as _, Type::UUID), (&task as _, Type::UUID), (&at as _, Type::TIMESTAMPTZ)];
    Ok(client.execute_typed(update, &parameters).await? > 0)
}

async fn give_up(client: &Client, reason: &str) -> Result<Vec<Uuid>, Trouble> {
    let update = "UPDATE batches SET status = 'failed', finished_at = clock_timestamp(), \
         error = $1 WHERE finished_at IS NULL AND task IS NULL \
         AND submit_by < clock_timestamp() RETURNING id";
    let rows = client.query_typed(update, &[(&reason, Type::TEXT)]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn list(
    client: &Client,
    user: &str,
    status: Option<BatchStatus>,
) -> Result<Vec<Batch>, Trouble> {
    let query = format!(
        "SELECT {BATCH_COLUMNS} FROM batches WHERE username = $1 \
         AND ($2::text IS NULL OR status = $2) ORDER BY id DESC LIMIT {LONGEST_LIST}"
    );
    let status = status.map(BatchStatus::as_str);
    let parameters = [(&user as _, Type::TEXT), (&status as _, Type::TEXT)];
    client.query_typed(&query, &parameters).await?.iter().map(read).collect()
}

async fn one(client: &Client, user: &str, id: Uuid) -> Result<Option<Batch>, Trouble> {
    let query = format!("SELECT {BATCH_COLUMNS} FROM batches WHERE id = $1 AND username = $2");
    let parameters = [(&id as _, Type::UUID), (&user as _, Type::TEXT)];
    client.query_typed_opt(&query, &parameters).await?.as_ref().map(read).transpose()
}

async fn result(client: &Client, user: &str, id: Uuid) -> Result<Option<String>, Trouble> {
    let query = "SELECT result FROM batches WHERE id = $1 AND username = $2";
    let parameters = [(&id as _, Type::UUID), (&user as _, Type::TEXT)];
    let row = client.query_typed_opt(query, &parameters).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

async fn claim(client: &Client, follower: Uuid, lease: Duration) -> Result<Vec<Batch>, Trouble> {
    // Rows that another instance is claiming at this moment are passed over.
    let update = format!(
        "WITH free AS MATERIALIZED (SELECT id FROM batches \
             WHERE finished_at IS NULL AND task IS NOT NULL \
             AND (leased_until IS NULL OR leased_until < clock_timestamp() OR follower = $1) \
             ORDER BY leased_until NULLS FIRST LIMIT {MOST_CLAIMED} FOR UPDATE SKIP LOCKED) \
         UPDATE batches SET follower = $1, \
         leased_until = clock_timestamp() + $2 * interval '1 second' \
         WHERE id IN (SELECT id FROM free) RETURNING {BATCH_COLUMNS}"
    );
    let seconds = lease.as_secs_f64();
    let parameters = [(&follower as _, Type::UUID), (&seconds as _, Type::FLOAT8)];
    client.query_typed(&update, &parameters).await?.iter().map(read).collect()
}

async fn renew(client: &Client, follower: Uuid, lease: Duration) -> Result<(), Trouble> {
    let update = "UPDATE batches SET leased_until = clock_timestamp() + $2 * interval '1 second' \
         WHERE finished_at IS NULL AND follower = $1 AND leased_until >= clock_timestamp()";
    let seconds = lease.as_secs_f64();
    let parameters = [(&follower as _, Type::UUID), (&seconds as _, Type::FLOAT8)];
    client.execute_typed(update, &parameters).await?;
    Ok(())
}

async fn running(client: &Client, id: Uuid) -> Result<(), Trouble> {
    let update = "UPDATE batches SET status = 'running' WHERE id = $1 AND finished_at IS NULL";
    client.execute_typed(update, &[(&id, Type::UUID)]).await?;
    Ok(())
}

async fn finish(
    client: &Client,
    id: Uuid,
    outcome: &BatchOutcome,
    at: Timestamp,
) -> Result<bool, Trouble> {
    let update = "UPDATE batches SET status = $2, finished_at = $3, result = $4, error = $5, \
         total_tokens = $6, responses = $7 \
         WHERE id = $1 AND (finished_at IS NULL OR (result IS NULL AND $4::text IS NOT NULL))";
    let metrics = outcome.metrics();
    let finished = client
        .execute_typed(
            update,
            &[
                (&id, Type::UUID),
                (&outcome.status().as_str(), Type::TEXT),
                (&at, Type::TIMESTAMPTZ),
                (&outcome.result().map(storable), Type::TEXT),
                (&outcome.error().map(storable), Type::TEXT),
                (&metrics.total_tokens.map(to_bigint), Type::INT8),
                (&metrics.responses.map(to_bigint), Type::INT8),
            ],
        )
        .await?;
    Ok(finished > 0)
}

/// Reads [`BATCH_COLUMNS`].
fn read(row: &Row) -> Result<Batch, Trouble> {
    let id: Uuid = row.try_get(0)?;
    let object = format!("batch {id}");
    let number = |column: usize| -> Result<Option<u64>, Trouble> {
        let number: Option<i64> = row.try_get(column)?;
        Ok(number.map(|number| from_bigint(&object, number)).transpose()?)
    };
    Ok(Batch {
        id,
        user: row.try_get(1)?,
        key_id: row.try_get(2)?,
        job: BatchJob {
            cluster: row.try_get(3)?,
            framework: row.try_get(4)?,
            endpoint: row.try_get(5)?,
            model: row.try_get(6)?,
            compute_endpoint: row.try_get(7)?,
            input_file: row.try_get(8)?,
            output_folder: row.try_get(9)?,
        },
        task: row.try_get(10)?,
        status: batch_status(&object, row.try_get(11)?)?,
        created_at: row.try_get(12)?,
        submit_by: row.try_get(13)?,
        submitted_at: row.try_get(14)?,
        finished_at: row.try_get(15)?,
        error: row.try_get(16)?,
        metrics: BatchMetrics { total_tokens: number(17)?, responses: number(18)? },
    })
}
