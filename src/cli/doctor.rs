//! `figw doctor`

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, Failure, Outcome};
use crate::ops::doctor::{self, Line, Outcome as Found, Subject};

/// Go through the production checklists
///
/// Each line is checked, not asked: what was seen, and what to do about it. Exits 1 when a check
/// fails; warnings and what does not apply to this configuration do not count.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only the checks of one stage [default: all]
    #[arg(long, value_enum, value_name = "STAGE")]
    stage: Option<Stage>,
}

/// When a checklist is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Before figw goes into production
    Pre,
    /// Once it is in production
    Post,
}

impl From<Stage> for doctor::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Pre => Self::Pre,
            Stage::Post => Self::Post,
        }
    }
}

impl DoctorArgs {
    /// Runs the checks.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let subject = Subject { config: context.config()?.config };
        let stage = self.stage.map(doctor::Stage::from);
        let lines = doctor::examine(&subject, stage).await;
        let count = |outcome| lines.iter().filter(|line| line.finding.outcome == outcome).count();
        let (passed, warned, failed) = (count(Found::Pass), count(Found::Warn), count(Found::Fail));
        let summary = json!({
            "pass": passed, "warn": warned, "fail": failed,
            "not_applicable": count(Found::NotApplicable),
        });
        // A list on which nothing was looked at proves nothing.
        let ok = failed == 0 && passed + warned > 0;
        let value = json!({ "ok": ok, "stage": stage, "summary": summary, "checks": lines });
        let total = match passed + warned + failed {
            0 => "nothing to check: the configuration uses nothing that the checks are about"
                .to_owned(),
            _ => format!("{passed} passed, {warned} warnings, {failed} failed"),
        };
        context.print(&value, format!("{}{total}", report(&lines)))?;
        Ok(if ok { Outcome::Done } else { Outcome::NotGood })
    }
}

/// A line for each check, and what to do below those that are not as they should be.
fn report(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { name, finding } in lines {
        let word = match finding.outcome {
            Found::Pass => "pass",
            Found::Warn => "WARN",
            Found::Fail => "FAIL",
            Found::NotApplicable => "n/a ",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {name:<width$}  {}", finding.evidence);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "      {:<width$}  -> {remedy}", "");
        }
    }
    text
}
