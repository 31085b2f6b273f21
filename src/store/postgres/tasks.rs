//! Submitted tasks in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{Postgres, error::Trouble, rows::storable, run};
use crate::{
    domain::{RemoteTask, TaskOutcome},
    store::{StoreError, TaskStore},
};

const COLUMNS: &str = "id, username, cluster, framework, endpoint, model, compute_endpoint, \
                       submitted_at, result, error";

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

fn task(row: &Row) -> Result<RemoteTask, Trouble> {
    Ok(RemoteTask {
        id: row.try_get(0)?,
        user: row.try_get(1)?,
        cluster: row.try_get(2)?,
        framework: row.try_get(3)?,
        endpoint: row.try_get(4)?,
        model: row.try_get(5)?,
        compute_endpoint: row.try_get(6)?,
        submitted_at: row.try_get(7)?,
        outcome: TaskOutcome::of(row.try_get(8)?, row.try_get(9)?),
    })
}

async fn execute(
    client: &Client,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<u64, Trouble> {
    Ok(client.execute_typed(statement, parameters).await?)
}

async fn read(
    client: &Client,
    query: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<RemoteTask>, Trouble> {
    client.query_typed(query, parameters).await?.iter().map(task).collect()
}

#[async_trait]
impl TaskStore for Postgres {
    async fn add_task(&self, task: &RemoteTask) -> Result<(), StoreError> {
        let insert = "INSERT INTO tasks (id, username, cluster, framework, endpoint, model, \
             compute_endpoint, submitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT DO NOTHING";
        let columns: [Parameter<'_>; 8] = [
            (&task.id, Type::UUID),
            (&task.user, Type::TEXT),
            (&task.cluster, Type::TEXT),
            (&task.framework, Type::TEXT),
            (&task.endpoint, Type::TEXT),
            (&task.model, Type::TEXT),
            (&task.compute_endpoint, Type::UUID),
            (&task.submitted_at, Type::TIMESTAMPTZ),
        ];
        run!(self, c => execute(c, insert, &columns)).map(drop)
    }

    async fn task(&self, user: &str, id: Uuid) -> Result<Option<RemoteTask>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM tasks WHERE id = $1 AND username = $2");
        let parameters: [Parameter<'_>; 2] = [(&id, Type::UUID), (&user, Type::TEXT)];
        Ok(run!(self, c => read(c, &query, &parameters))?.pop())
    }

    async fn lease_task(&self, id: Uuid, lease: Duration) -> Result<bool, StoreError> {
        let update = "UPDATE tasks SET leased_until = now() + make_interval(secs => $2) \
             WHERE id = $1 AND finished_at IS NULL \
             AND (leased_until IS NULL OR leased_until <= now())";
        let seconds = lease.as_secs_f64();
        let parameters: [Parameter<'_>; 2] = [(&id, Type::UUID), (&seconds, Type::FLOAT8)];
        Ok(run!(self, c => execute(c, update, &parameters))? == 1)
    }

    async fn lease_tasks(&self, lease: Duration, most: u32) -> Result<Vec<RemoteTask>, StoreError> {
        let update = format!(
            "UPDATE tasks SET leased_until = now() + make_interval(secs => $1) WHERE id IN \
             (SELECT id FROM tasks WHERE finished_at IS NULL \
             AND (leased_until IS NULL OR leased_until <= now()) \
             ORDER BY leased_until NULLS FIRST, submitted_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
             RETURNING {COLUMNS}"
        );
        let (seconds, most) = (lease.as_secs_f64(), i64::from(most));
        let parameters: [Parameter<'_>; 2] = [(&seconds, Type::FLOAT8), (&most, Type::INT8)];
        run!(self, c => read(c, &update, &parameters))
    }

    async fn rest_tasks(&self, ids: &[Uuid], pause: Duration) -> Result<(), StoreError> {
        let update = "UPDATE tasks SET leased_until = now() + make_interval(secs => $2) \
             WHERE id = ANY ($1) AND finished_at IS NULL";
        let seconds = pause.as_secs_f64();
        let parameters: [Parameter<'_>; 2] = [(&ids, Type::UUID_ARRAY), (&seconds, Type::FLOAT8)];
        run!(self, c => execute(c, update, &parameters)).map(drop)
    }

    async fn finish_task(&self, id: Uuid, outcome: &TaskOutcome) -> Result<bool, StoreError> {
        let update = "UPDATE tasks SET finished_at = now(), result = $2, error = $3, \
             leased_until = NULL \
             WHERE id = $1 AND (finished_at IS NULL OR (result IS NULL AND $2::text IS NOT NULL))";
        let (result, error) = (outcome.result().map(storable), outcome.error().map(storable));
        let parameters: [Parameter<'_>; 3] =
            [(&id, Type::UUID), (&result, Type::TEXT), (&error, Type::TEXT)];
        Ok(run!(self, c => execute(c, update, &parameters))? == 1)
    }

    async fn prune_tasks(
        &self,
        results_for: Duration,
        open_for: Duration,
    ) -> Result<u64, StoreError> {
        let delete = "DELETE FROM tasks WHERE finished_at < now() - make_interval(secs => $1) \
             OR submitted_at < now() - make_interval(secs => $2)";
        let (results, open) = (results_for.as_secs_f64(), open_for.as_secs_f64());
        let parameters: [Parameter<'_>; 2] = [(&results, Type::FLOAT8), (&open, Type::FLOAT8)];
        run!(self, c => execute(c, delete, &parameters))
    }
}
