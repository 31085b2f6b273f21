//! Tables for programs: comma-separated values (RFC 4180).

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

    /// As text.
    pub(super) fn csv(&self) -> String {
        let mut text = String::new();
        push_line(&mut text, self.columns.iter().copied());
        for row in &self.rows {
            push_line(&mut text, row.iter().map(String::as_str));
        }
        text
    }
}

fn push_line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_cell(text, cell);
    }
    text.push_str("\r\n");
}

fn push_cell(text: &mut String, cell: &str) {
    // A spreadsheet would take it for a formula: names and errors come from others.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !cell.contains([',', '"', '\r', '\n']) {
        return text.push_str(cell);
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells_and_never_become_formulas() {
        let rows =
            vec![vec!["a,b".into(), "say \"hi\"".into()], vec!["=1+1".into(), "two\nlines".into()]];
        let table = Table { columns: vec!["one", "other"], rows };
        assert_eq!(
            table.csv(),
            "one,other\r\n\"a,b\",\"say \"\"hi\"\"\"\r\n\"'=1+1\",\"two\nlines\"\r\n"
        );
    }
}
