//! Putting a [`Select`] to SQLite.

use std::time::{Duration, Instant};

use rusqlite::{
    Connection, ErrorCode, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use super::Trouble;
use crate::store::select::{Cell, Row, Select, Selected, Value};

/// Instructions of SQLite's own between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

/// Answers, or gives up after `limit`.
pub(super) fn ask(
    connection: &Connection,
    select: &Select,
    limit: Duration,
) -> Result<Selected, Trouble> {
    let begun = Instant::now();
    connection.progress_handler(LOOK_EVERY, Some(move || begun.elapsed() > limit))?;
    let rows = rows(connection, select);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match rows {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Selected::TooSlow)
        }
        rows => Ok(Selected::Rows(rows?)),
    }
}

fn rows(connection: &Connection, select: &Select) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&select.sqlite)?;
    let columns = statement.column_count();
    let mut found = statement.query(params_from_iter(&select.values))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cells = (0..columns).map(|column| Ok(read(row.get_ref(column)?)));
        rows.push(Row(cells.collect::<rusqlite::Result<_>>()?));
    }
    Ok(rows)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Int(number) => number.to_sql(),
            Self::Time(time) => Ok(time.as_microsecond().into()),
            Self::Day(day) => Ok(day.to_string().into()),
            Self::Uuid(id) => id.to_sql(),
        }
    }
}

fn read(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).map_or(Cell::Null, Cell::Uuid),
        // No column that is asked for has numbers with a fraction.
        ValueRef::Null | ValueRef::Real(_) => Cell::Null,
    }
}
