//! Submitted tasks in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Sqlite, Trouble, catalog::time};
use crate::{
    domain::{RemoteTask, TaskOutcome},
    store::{StoreError, TaskStore},
};

const COLUMNS: &str = "id, username, cluster, framework, endpoint, model, compute_endpoint, \
                       submitted_at, result, error";

/// Every process with this file is on this machine, so its clock is the database's.
pub(super) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn task(row: &Row<'_>) -> rusqlite::Result<RemoteTask> {
    Ok(RemoteTask {
        id: row.get(0)?,
        user: row.get(1)?,
        cluster: row.get(2)?,
        framework: row.get(3)?,
        endpoint: row.get(4)?,
        model: row.get(5)?,
        compute_endpoint: row.get(6)?,
        submitted_at: time(row, 7)?,
        outcome: TaskOutcome::of(row.get(8)?, row.get(9)?),
    })
}

fn add(transaction: &Connection, task: &RemoteTask) -> Result<(), Trouble> {
    transaction.execute(
        "INSERT INTO tasks (id, username, cluster, framework, endpoint, model, compute_endpoint, \
         submitted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        params![
            task.id,
            task.user,
            task.cluster,
            task.framework,
            task.endpoint,
            task.model,
            task.compute_endpoint,
            task.submitted_at.as_microsecond(),
        ],
    )?;
    Ok(())
}

fn lease_many(
    transaction: &Connection,
    lease: Duration,
    most: u32,
) -> Result<Vec<RemoteTask>, Trouble> {
    let mut statement = transaction.prepare_cached(&format!(
        "UPDATE tasks SET leased_until = ?1 WHERE id IN (SELECT id FROM tasks \
         WHERE finished_at IS NULL AND (leased_until IS NULL OR leased_until <= ?2) \
         ORDER BY leased_until, submitted_at LIMIT ?3) RETURNING {COLUMNS}"
    ))?;
    let now = now();
    let leased =
        statement.query_map(params![now.saturating_add(micros(lease)), now, most], task)?;
    Ok(leased.collect::<Result<_, _>>()?)
}

#[async_trait]
impl TaskStore for Sqlite {
    async fn add_task(&self, task: &RemoteTask) -> Result<(), StoreError> {
        let task = task.clone();
        self.write(move |transaction| add(transaction, &task)).await
    }

    async fn task(&self, user: &str, id: Uuid) -> Result<Option<RemoteTask>, StoreError> {
        let user = user.to_owned();
        self.read(move |connection| {
            let query = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1 AND username = ?2");
            let mut statement = connection.prepare_cached(&query)?;
            Ok(statement.query_row(params![id, user], task).optional()?)
        })
        .await
    }

    async fn lease_task(&self, id: Uuid, lease: Duration) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            let now = now();
            let leased = transaction.execute(
                "UPDATE tasks SET leased_until = ?1 WHERE id = ?2 AND finished_at IS NULL \
                 AND (leased_until IS NULL OR leased_until <= ?3)",
                params![now.saturating_add(micros(lease)), id, now],
            )?;
            Ok(leased == 1)
        })
        .await
    }

    async fn lease_tasks(&self, lease: Duration, most: u32) -> Result<Vec<RemoteTask>, StoreError> {
        self.write(move |transaction| lease_many(transaction, lease, most)).await
    }

    async fn rest_tasks(&self, ids: &[Uuid], pause: Duration) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write(move |transaction| {
            let until = now().saturating_add(micros(pause));
            let mut statement = transaction.prepare_cached(
                "UPDATE tasks SET leased_until = ?1 WHERE id = ?2 AND finished_at IS NULL",
            )?;
            for id in ids {
                statement.execute(params![until, id])?;
            }
            Ok(())
        })
        .await
    }

    async fn finish_task(&self, id: Uuid, outcome: &TaskOutcome) -> Result<bool, StoreError> {
        let outcome = outcome.clone();
        self.write(move |transaction| {
            let finished = transaction.execute(
                "UPDATE tasks SET finished_at = ?1, result = ?2, error = ?3, leased_until = NULL \
                 WHERE id = ?4 AND (finished_at IS NULL OR (result IS NULL AND ?2 IS NOT NULL))",
                params![now(), outcome.result(), outcome.error(), id],
            )?;
            Ok(finished == 1)
        })
        .await
    }

    async fn prune_tasks(
        &self,
        results_for: Duration,
        open_for: Duration,
    ) -> Result<u64, StoreError> {
        self.write(move |transaction| {
            let now = now();
            let pruned = transaction.execute(
                "DELETE FROM tasks WHERE finished_at < ?1 OR submitted_at < ?2",
                params![
                    now.saturating_sub(micros(results_for)),
                    now.saturating_sub(micros(open_for))
                ],
            )?;
            Ok(pruned as u64)
        })
        .await
    }
}
