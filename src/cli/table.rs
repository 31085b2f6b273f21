//! Lists as people read them: columns aligned by their widest cell.

use std::fmt::{self, Display};

/// A table with a heading line. Shows `(none)` when it has no rows.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column headings.
    #[must_use]
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row; empty cells are shown as `-`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { printable(cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }
}

/// A text that breaks no line and gives the terminal no order, whoever wrote it.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escaped = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.len() < 2 {
            return f.write_str("(none)");
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// One object in full: a name and a value per line, values aligned.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    lines: Vec<(String, String)>,
}

impl Sheet {
    /// Adds a line; an empty value is shown as `-`.
    pub(super) fn line(&mut self, name: &str, value: impl Display) -> &mut Self {
        let value = value.to_string();
        self.lines.push((name.to_owned(), if value.is_empty() { "-".to_owned() } else { value }));
        self
    }
}

impl Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (i, (name, value)) in self.lines.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{name:<width$}  {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(&["NAME", "FRAMEWORKS", "NOTE"]);
        table.row(["sophia".into(), "vllm".into(), String::new()]);
        table.row(["é".into(), "api".into(), "x".into()]);
        assert_eq!(
            table.to_string(),
            "NAME    FRAMEWORKS  NOTE\nsophia  vllm        -\né       api         x"
        );
    }

    #[test]
    fn a_name_gives_the_terminal_no_order() {
        let mut table = Table::new(&["NAME"]);
        table.row(["u\nx\u{1b}[31m".into()]);
        assert_eq!(table.to_string(), "NAME\nu\\nx\\u{1b}[31m");
    }
}
