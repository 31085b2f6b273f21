//! How a check comes out.

use serde::Serialize;

/// How a check has come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// It works, but an operator should know, or it could not be looked at.
    Warn,
    /// Not as it should be.
    Fail,
    /// There is nothing to check in this configuration.
    NotApplicable,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it has come out.
    pub outcome: Outcome,
    /// What was seen.
    pub evidence: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn pass(evidence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Pass, evidence: evidence.into(), remedy: None }
    }

    /// There is nothing to check.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotApplicable, evidence: why.into(), remedy: None }
    }

    /// Something an operator should know.
    pub fn warn(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { outcome: Outcome::Warn, evidence: evidence.into(), remedy }
    }

    /// Not as it should be.
    pub fn fail(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { outcome: Outcome::Fail, evidence: evidence.into(), remedy }
    }

    /// Fails with all complaints there are, or passes.
    pub(super) fn unless(complaints: &[String], remedy: &str, good: &str) -> Self {
        if complaints.is_empty() {
            Self::pass(good)
        } else {
            Self::fail(complaints.join("; "), remedy)
        }
    }
}
