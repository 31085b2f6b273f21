//! Tables for spreadsheets: comma-separated values (RFC 4180).

use csv::{Terminator, WriterBuilder};

/// The table as text, with a line of headings.
///
/// # Errors
/// When a row has another number of cells than there are headings.
pub fn csv<R, C>(
    headings: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> Result<Vec<u8>, csv::Error>
where
    R: IntoIterator<Item = C>,
    C: Into<String>,
{
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(headings)?;
    for row in rows {
        writer.write_record(row.into_iter().map(|cell| harmless(cell.into())))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Names and errors come from others, and spreadsheets take a cell that begins like this for a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells_and_never_become_formulas() {
        let rows = [["a,b", "say \"hi\""], ["=1+1", "two\nlines"]];
        let text = String::from_utf8(csv(&["one", "other"], rows).unwrap()).unwrap();
        assert_eq!(text, "one,other\r\n\"a,b\",\"say \"\"hi\"\"\"\r\n'=1+1,\"two\nlines\"\r\n");
        assert!(csv(&["one"], [["a", "b"]]).is_err());
    }
}
