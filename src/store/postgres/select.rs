//! Putting a [`Select`] to PostgreSQL.

use std::time::Duration;

use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};

use super::error::Trouble;
use crate::store::select::{Cell, Row, Select, Selected, Value};

/// Answers, or gives up after `limit`; the server is told to do so itself.
pub(super) async fn ask(
    client: &mut Client,
    select: &Select,
    limit: Duration,
) -> Result<Selected, Trouble> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    // For this transaction alone: a pooler may give the next one another connection. The planner
    // takes long to compile a question that runs for a moment.
    let settings =
        format!("SET LOCAL statement_timeout = {}; SET LOCAL jit = off", limit.as_millis());
    transaction.batch_execute(&settings).await?;
    let values: Vec<_> = select.values.iter().map(bound).collect();
    let rows = match transaction.query_typed(&select.postgres, &values).await {
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
            transaction.rollback().await?;
            return Ok(Selected::TooSlow);
        }
        rows => rows?,
    };
    let rows = rows.iter().map(read).collect::<Result<_, _>>()?;
    transaction.commit().await?;
    Ok(Selected::Rows(rows))
}

fn bound(value: &Value) -> (&(dyn ToSql + Sync), Type) {
    match value {
        Value::Text(text) => (text, Type::TEXT),
        Value::Int(number) => (number, Type::INT8),
        Value::Time(time) => (time, Type::TIMESTAMPTZ),
        Value::Day(day) => (day, Type::DATE),
        Value::Uuid(id) => (id, Type::UUID),
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Row, Trouble> {
    let cells = row.columns().iter().enumerate().map(|(index, column)| {
        let cell = match *column.type_() {
            Type::BOOL => row.try_get::<_, Option<bool>>(index)?.map(Cell::Bool),
            Type::INT2 => row.try_get::<_, Option<i16>>(index)?.map(|n| Cell::Int(n.into())),
            Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(|n| Cell::Int(n.into())),
            Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(Cell::Int),
            Type::TIMESTAMPTZ => row.try_get::<_, Option<_>>(index)?.map(Cell::Time),
            Type::UUID => row.try_get::<_, Option<_>>(index)?.map(Cell::Uuid),
            _ => row.try_get::<_, Option<String>>(index)?.map(Cell::Text),
        };
        Ok(cell.unwrap_or(Cell::Null))
    });
    cells.collect::<Result<_, Trouble>>().map(Row)
}
