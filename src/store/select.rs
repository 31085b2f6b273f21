//! Questions that are put to either database in nearly the same words.
//!
//! Whatever comes from outside is bound, never part of the words. Moments are bound and read as each
//! database has them: `timestamptz` there, microseconds since 1970 here.

use jiff::{Timestamp, civil::Date};
use uuid::Uuid;

use super::record::Unfit;

/// A question that only reads, and may be given up when it takes too long.
#[derive(Debug, Clone)]
pub struct Select {
    /// Who has to see what they have written.
    pub(super) reader: String,
    pub(super) postgres: String,
    pub(super) sqlite: String,
    pub(super) values: Vec<Value>,
}

/// The answer.
#[derive(Debug)]
pub enum Selected {
    /// All of it.
    Rows(Vec<Row>),
    /// It would have taken too long.
    TooSlow,
}

/// A bound value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Time(Timestamp),
    Day(Date),
    Uuid(Uuid),
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Bool(bool),
    Time(Timestamp),
    Uuid(Uuid),
}

/// A row that was read.
#[derive(Debug)]
pub struct Row(pub(super) Vec<Cell>);

/// Where the databases' words differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// What a column of time holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeColumn {
    Moment,
    Day,
}

impl Dialect {
    /// A sum that stays within 64 bits, whatever back ends have claimed.
    pub(super) fn sum(self, column: &str) -> String {
        match self {
            Self::Postgres => {
                format!("CAST(least(coalesce(sum({column}), 0), 9223372036854775807) AS bigint)")
            }
            Self::Sqlite => format!("CAST(total({column}) AS INTEGER)"),
        }
    }

    /// The size of a text in bytes.
    pub(super) fn bytes_of(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("CAST(octet_length({column}) AS bigint)"),
            Self::Sqlite => format!("length(CAST({column} AS BLOB))"),
        }
    }

    /// The number of the step in which a moment lies; the steps begin at `origin`, both in seconds.
    pub(super) fn step(self, column: &str, kind: TimeColumn, origin: &str, step: &str) -> String {
        let seconds = match (self, kind) {
            (Self::Postgres, _) => format!("CAST(floor(extract(epoch FROM {column})) AS bigint)"),
            (Self::Sqlite, TimeColumn::Moment) => format!("{column} / 1000000"),
            (Self::Sqlite, TimeColumn::Day) => {
                format!("CAST(strftime('%s', {column}) AS INTEGER)")
            }
        };
        format!("({seconds} - {origin}) / {step}")
    }
}

/// A question that is being put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    values: Vec<Value>,
    conditions: Vec<String>,
}

impl Draft {
    /// Binds a value, and gives the name for it.
    pub(super) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Binds a text.
    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind(Value::Text(text.to_owned()))
    }

    /// Adds a condition, which is one of this program's own texts.
    pub(super) fn only(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Adds a condition on one bound value, such as `model =`.
    pub(super) fn only_if(&mut self, words: &str, value: Value) {
        let name = self.bind(value);
        self.conditions.push(format!("{words} {name}"));
    }

    /// All conditions, as one.
    pub(super) fn conditions(&self) -> String {
        if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" AND ") }
    }

    /// The question, with words for each of the databases.
    pub(super) fn ask(self, reader: Option<&str>, words: impl Fn(Dialect) -> String) -> Select {
        Select {
            reader: reader.unwrap_or_default().to_owned(),
            postgres: words(Dialect::Postgres),
            // SQLite numbers its parameters with another sign; no other text has this one.
            sqlite: words(Dialect::Sqlite).replace('$', "?"),
            values: self.values,
        }
    }
}

impl Row {
    fn cell(&self, column: usize) -> Result<&Cell, Unfit> {
        self.0.get(column).ok_or_else(|| unfit(column))
    }

    pub(super) fn text(&self, column: usize) -> Result<String, Unfit> {
        self.optional_text(column)?.ok_or_else(|| unfit(column))
    }

    pub(super) fn optional_text(&self, column: usize) -> Result<Option<String>, Unfit> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            _ => Err(unfit(column)),
        }
    }

    pub(super) fn int(&self, column: usize) -> Result<i64, Unfit> {
        match self.cell(column)? {
            Cell::Int(number) => Ok(*number),
            _ => Err(unfit(column)),
        }
    }

    /// A number that cannot be negative.
    pub(super) fn count(&self, column: usize) -> Result<u64, Unfit> {
        u64::try_from(self.int(column)?).map_err(|_| unfit(column))
    }

    pub(super) fn optional_count(&self, column: usize) -> Result<Option<u64>, Unfit> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            _ => self.count(column).map(Some),
        }
    }

    pub(super) fn bool(&self, column: usize) -> Result<bool, Unfit> {
        match self.cell(column)? {
            Cell::Bool(value) => Ok(*value),
            Cell::Int(number) => Ok(*number != 0),
            _ => Err(unfit(column)),
        }
    }

    pub(super) fn time(&self, column: usize) -> Result<Timestamp, Unfit> {
        self.optional_time(column)?.ok_or_else(|| unfit(column))
    }

    pub(super) fn optional_time(&self, column: usize) -> Result<Option<Timestamp>, Unfit> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Time(time) => Ok(Some(*time)),
            Cell::Int(micros) => {
                Timestamp::from_microsecond(*micros).map(Some).map_err(|_| unfit(column))
            }
            _ => Err(unfit(column)),
        }
    }

    pub(super) fn uuid(&self, column: usize) -> Result<Uuid, Unfit> {
        self.optional_uuid(column)?.ok_or_else(|| unfit(column))
    }

    pub(super) fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, Unfit> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Uuid(id) => Ok(Some(*id)),
            _ => Err(unfit(column)),
        }
    }
}

fn unfit(column: usize) -> Unfit {
    super::record::unreadable("a row", &format!("column {} is not what it should be", column + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_never_part_of_the_words() {
        let mut draft = Draft::default();
        draft.only_if("username =", Value::Text("'; DROP TABLE usage; --$1".into()));
        let conditions = draft.conditions();
        let select = draft.ask(None, |_| format!("SELECT 1 FROM usage WHERE {conditions}"));
        assert_eq!(select.postgres, "SELECT 1 FROM usage WHERE username = $1");
        assert_eq!(select.sqlite, "SELECT 1 FROM usage WHERE username = ?1");
        assert_eq!(select.values.len(), 1);
    }
}
