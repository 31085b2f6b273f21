//! Tables for programs.

use crate::spreadsheet;

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// One without rows.
    pub(super) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// As comma-separated values.
    pub(super) fn csv(self) -> Result<Vec<u8>, csv::Error> {
        spreadsheet::csv(&self.columns, self.rows)
    }
}
