//! The whole, as monitoring plugins print it: a line with performance data, then the details.

use std::fmt;

use serde::Serialize;

use super::{Line, State};

/// What all checks have found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The worst of their states.
    pub state: State,
    /// What is wrong beside the checks: nothing could be checked, or nobody be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each check.
    pub checks: Vec<Line>,
}

impl Report {
    pub(super) fn new(checks: Vec<Line>) -> Self {
        match checks.iter().map(|line| line.finding.state).max() {
            Some(state) => Self { state, reason: None, checks },
            None => Self::unknown("nothing was checked: no check applies to this configuration"),
        }
    }

    /// Nothing could be checked, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { state: State::Unknown, reason: Some(reason.into()), checks: Vec::new() }
    }

    /// Whether the gateway can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.state, State::Ok | State::Warning)
    }

    /// What there is to say first: about all when all is well, or else about what is not.
    fn summary(&self) -> String {
        if let Some(reason) = &self.reason {
            return one_line(reason);
        }
        let told = self.checks.iter().filter(|line| line.finding.state == self.state);
        let told = told.map(|line| match self.checks.len() {
            1 => one_line(&line.finding.evidence),
            _ => format!("{}: {}", line.name, one_line(&line.finding.evidence)),
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FIGW {} - {}", self.state.word(), self.summary())?;
        let measures = self.checks.iter().flat_map(|line| &line.finding.measures);
        let measures: Vec<_> = measures.map(ToString::to_string).collect();
        if !measures.is_empty() {
            write!(f, " | {}", measures.join(" "))?;
        }
        let width = self.checks.iter().map(|line| line.name.len()).max().unwrap_or(0);
        for Line { name, finding } in &self.checks {
            let (word, evidence) = (finding.state.word(), one_line(&finding.evidence));
            write!(f, "\n{word:<8}  {name:<width$}  {evidence}")?;
        }
        Ok(())
    }
}

/// A bar would begin performance data, and a line break another line.
fn one_line(text: &str) -> String {
    text.replace('|', "/").lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Measure};
    use super::*;

    fn line(name: &'static str, state: State, evidence: &str) -> Line {
        Line { name, finding: Finding::new(state, evidence) }
    }

    #[test]
    fn it_reads_as_a_monitoring_plugin_does() {
        let age = Measure::seconds("backup_age", 123.0).above(Some(3600.0), Some(7200.5));
        let took = Measure::seconds("time", 0.0123);
        let mut backup = line("backup", State::Ok, "2m old");
        backup.finding = backup.finding.measuring([age, took]);
        let report = Report::new(vec![line("gateway", State::Ok, "ready"), backup.clone()]);
        assert_eq!(
            report.to_string(),
            "FIGW OK - gateway: ready; backup: 2m old | backup_age=123s;3600;7200.5 time=0.012s\n\
             OK        gateway  ready\nOK        backup   2m old"
        );
        let bad = line("drill", State::Critical, "a|b\nc");
        let odd = line("database", State::Warning, "slow");
        let report = Report::new(vec![backup, bad, odd]);
        assert!(
            report.to_string().starts_with("FIGW CRITICAL - drill: a/b; c | backup_age="),
            "{report}"
        );
        assert_eq!(report.state.exit_status(), 2);
    }

    #[test]
    fn nothing_checked_is_not_ok() {
        let report = Report::new(Vec::new());
        assert_eq!((report.state, report.state.exit_status()), (State::Unknown, 3));
        assert!(report.to_string().starts_with("FIGW UNKNOWN - nothing was checked"), "{report}");
    }

    #[test]
    fn the_worst_state_counts() {
        let of = |states: &[State]| {
            Report::new(states.iter().map(|state| line("x", *state, "")).collect()).state
        };
        assert_eq!(of(&[State::Ok, State::Unknown]), State::Unknown);
        assert_eq!(of(&[State::Unknown, State::Warning]), State::Warning);
        assert_eq!(of(&[State::Critical, State::Unknown]), State::Critical);
    }
}
