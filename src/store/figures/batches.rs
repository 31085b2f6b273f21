//! Everybody's batches.

use uuid::Uuid;

use super::{
    super::{
        Reader,
        record::{BATCH_COLUMNS, Unfit, batch_status},
        select::{Draft, Row, Value},
    },
    Answer,
};
use crate::domain::{Batch, BatchJob, BatchMetrics, BatchStatus};

/// Which batches are wanted. What is not set does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchFilter {
    /// Whose.
    pub user: Option<String>,
    /// How far they are.
    pub status: Option<BatchStatus>,
    /// Only those that are older than this one.
    pub before: Option<Uuid>,
}

impl Reader {
    /// Batches, the newest first.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn all_batches(&self, filter: &BatchFilter, limit: u32) -> Answer<Vec<Batch>> {
        let mut draft = Draft::default();
        if let Some(user) = &filter.user {
            draft.only_if("username =", Value::Text(user.clone()));
        }
        if let Some(status) = filter.status {
            draft.only_if("status =", Value::Text(status.as_str().to_owned()));
        }
        if let Some(before) = filter.before {
            draft.only_if("id <", Value::Uuid(before));
        }
        let conditions = draft.conditions();
        let limit = draft.bind(Value::Int(limit.into()));
        let select = draft.ask(filter.user.as_deref(), |_| {
            format!(
                "SELECT {BATCH_COLUMNS} FROM batches WHERE {conditions} \
                 ORDER BY id DESC LIMIT {limit}"
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// Reads [`BATCH_COLUMNS`].
fn read(row: &Row) -> Result<Batch, Unfit> {
    let id = row.uuid(0)?;
    Ok(Batch {
        id,
        user: row.text(1)?,
        key_id: row.optional_uuid(2)?,
        job: BatchJob {
            cluster: row.text(3)?,
            framework: row.text(4)?,
            endpoint: row.text(5)?,
            model: row.text(6)?,
            compute_endpoint: row.uuid(7)?,
            input_file: row.text(8)?,
            output_folder: row.optional_text(9)?,
        },
        task: row.optional_uuid(10)?,
        status: batch_status(&format!("batch {id}"), &row.text(11)?)?,
        created_at: row.time(12)?,
        submit_by: row.time(13)?,
        submitted_at: row.optional_time(14)?,
        finished_at: row.optional_time(15)?,
        error: row.optional_text(16)?,
        metrics: BatchMetrics {
            total_tokens: row.optional_count(17)?,
            responses: row.optional_count(18)?,
        },
    })
}
