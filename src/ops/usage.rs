//! Reports of usage for spreadsheets.

use crate::domain::report::{Grouping, UsageSum};

/// The report as CSV (RFC 4180), with a line of headings.
///
/// # Errors
/// When there is no memory for it.
pub fn csv(by: Grouping, sums: &[UsageSum]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record([
        by.name(),
        "users",
        "requests",
        "succeeded",
        "client_errors",
        "server_errors",
        "prompt_tokens",
        "completion_tokens",
        "duration_us",
    ])?;
    for sum in sums {
        let numbers = [
            sum.users,
            sum.requests,
            sum.succeeded,
            sum.client_errors,
            sum.server_errors,
            sum.prompt_tokens,
            sum.completion_tokens,
            sum.duration_us,
        ];
        let name = std::iter::once(harmless(&sum.name));
        writer.write_record(name.chain(numbers.iter().map(u64::to_string)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Models are named by callers, and spreadsheets take a cell that begins like this for a formula.
#[must_use]
pub fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_formulas() {
        let sums = ["a \"b\", c", "=1+1"].map(|name| UsageSum {
            name: name.to_owned(),
            users: 1,
            requests: 2,
            ..UsageSum::default()
        });
        let text = String::from_utf8(csv(Grouping::Model, &sums).unwrap()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("model,users,requests,succeeded,"));
        assert_eq!(lines[1], "\"a \"\"b\"\", c\",1,2,0,0,0,0,0,0");
        assert_eq!(lines[2], "'=1+1,1,2,0,0,0,0,0,0");
    }
}
